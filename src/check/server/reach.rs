//! The way to the server: its name, a connection, its certificate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::super::ServerConfig;
use super::super::catalogue::{CONNECTS, NAME_KNOWN, TLS_EXPIRY, TLS_TRUSTED};
use super::super::report::{Outcome, Report, failed, left_out, passed, warning};
use crate::model::Millis;
use crate::tls::{ClientTls, not_after, why_not_trusted};

const TIMEOUT: Duration = Duration::from_secs(5);
/// A certificate that ends sooner is worth a look.
const EXPIRY_DAYS: i64 = 14;
const DAY_SECONDS: i64 = 86_400;
/// Variables that name a proxy, which has a way of its own.
const PROXIES: [&str; 6] =
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Each step of the way, until one is not possible.
pub(super) async fn note(
    config: &ServerConfig,
    tls: Option<&ClientTls>,
    report: &mut Report<'_>,
) -> Result<(), &'static str> {
    if !config.url.is_loopback() && PROXIES.iter().any(|name| std::env::var_os(name).is_some()) {
        let why = "a proxy is set in the environment, and finds its own way";
        for check in [NAME_KNOWN, CONNECTS, TLS_TRUSTED, TLS_EXPIRY] {
            report.note(check, left_out(why));
        }
        return Ok(());
    }
    let (host, port) = config.url.host_and_port();
    let addresses = resolve(&host, port).await;
    let seen = addresses.as_ref().map(|all| passed(addressed(&host, all))).map_err(|why| failed(why.clone()));
    if !report.note(NAME_KNOWN, seen) {
        return Err("the server's name is not known");
    }
    let connection = connect(&addresses.unwrap_or_default()).await;
    let seen = match &connection {
        Ok((_, address)) => passed(format!("{address} takes connections")),
        Err(why) => failed(why.clone()),
    };
    if !report.note(CONNECTS, seen) {
        return Err("the server takes no connection");
    }
    let (Some(tls), Ok((connection, _))) = (tls, connection) else {
        report.note(TLS_TRUSTED, left_out("it is plain HTTP"));
        report.note(TLS_EXPIRY, left_out("it is plain HTTP"));
        return Ok(());
    };
    match shake(tls, &host, connection).await {
        Ok(ends) => {
            report.note(TLS_TRUSTED, passed("its authority and its name are right"));
            report.note(TLS_EXPIRY, ends.map_or_else(left_out, |ends| expiry(ends, Millis::now().0 / 1000)));
            Ok(())
        }
        Err(why) => {
            report.note(TLS_TRUSTED, failed(why));
            Err("there is no TLS with it")
        }
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let looked_up = tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((host, port))).await;
    match looked_up {
        Ok(Ok(found)) => Some(found.collect::<Vec<_>>())
            .filter(|all| !all.is_empty())
            .ok_or_else(|| format!("{host} has no address")),
        Ok(Err(error)) => Err(format!("{host}: {error}")),
        Err(_) => Err(format!("{host}: DNS did not answer within {TIMEOUT:?}")),
    }
}

fn addressed(host: &str, all: &[SocketAddr]) -> String {
    let all: Vec<_> = all.iter().map(|address| address.ip().to_string()).collect();
    if all == [host] { format!("{host} is an address") } else { format!("{host} is {}", all.join(", ")) }
}

/// The first of the addresses that takes a connection; else why the last one does not.
async fn connect(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), String> {
    let mut why = String::new();
    for address in addresses {
        match tokio::time::timeout(TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(connection)) => return Ok((connection, *address)),
            Ok(Err(error)) => why = format!("{address}: {error}"),
            Err(_) => why = format!("{address}: no answer within {TIMEOUT:?}: something between may drop it"),
        }
    }
    Err(why)
}

/// A handshake; when the server's certificate ends, where that can be read.
async fn shake(tls: &ClientTls, host: &str, connection: TcpStream) -> Result<Result<i64, String>, String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
    let connector = TlsConnector::from(Arc::new(tls.config()?));
    let shaken = tokio::time::timeout(TIMEOUT, connector.connect(name, connection)).await;
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            let advice = why_not_trusted(&error);
            return Err(advice.map_or_else(|| error.to_string(), |advice| format!("{advice} ({error})")));
        }
        Err(_) => return Err(format!("no handshake within {TIMEOUT:?}")),
    };
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    Ok(shown.map_or_else(|| Err("it shows no certificate".to_owned()), not_after))
}

fn expiry(ends: i64, now: i64) -> Outcome {
    let days = (ends - now) / DAY_SECONDS;
    let words = format!("it ends in {days} days");
    if days < EXPIRY_DAYS { warning(words) } else { passed(words) }
}

#[cfg(test)]
mod tests {
    use super::super::super::report::Status;
    use super::*;

    #[test]
    fn a_certificate_that_ends_soon_is_worth_a_look() {
        let in_days = |days| expiry(days * DAY_SECONDS + 60, 60).0;
        assert_eq!([in_days(13), in_days(14)], [Status::Warning, Status::Passed]);
    }
}
