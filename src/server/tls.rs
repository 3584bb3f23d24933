//! TLS in front of HTTP: a handshake for each connection, by the certificate that there is now.
//!
//! Handshakes are bounded in time and in number. Where there are too many, the one that has taken
//! longest gives way: whoever begins many and ends none cannot keep out those that take milliseconds.
//!
//! With authorities for callers' certificates (mutual TLS) a certificate is asked for, and one that is
//! of none of them ends the handshake. Whether one is needed is asked later, for each request
//! ([`super::routes`]): probes of Kubernetes show none, and must get through at the same port.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::ServerError;
use super::problem::{Kind, Problem};
use crate::tls::{PairFiles, PemFile, Watched, authorities, pair, provider};

/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Handshakes at once.
const HANDSHAKES: usize = 256;
/// First byte of a handshake.
const HANDSHAKE_RECORD: u8 = 22;
/// How long who speaks plain HTTP may take to read what is said to it.
const LINGER: Duration = Duration::from_secs(1);

/// How TLS is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsConfig {
    /// The server's certificate and its key.
    pub pair: PairFiles,
    /// Authorities that callers' certificates have to be of; without, none is asked for.
    pub client_ca: Option<PemFile>,
}

/// TLS as it is served.
pub(super) struct Tls {
    served: Watched<Served>,
    pending: Pending,
    needs_certificate: bool,
}

struct Served {
    config: Arc<ServerConfig>,
    not_after: i64,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It took too long.
    Timeout,
    /// It took longest when there were too many.
    Crowded,
    /// It was plain HTTP.
    PlainHttp,
    /// The caller's certificate can't be used.
    Certificate,
    /// Anything else: it broke off, or was no TLS, or the caller does not trust the server.
    Broken,
}

impl Failure {
    pub(super) const ALL: [Self; 5] =
        [Self::Timeout, Self::Crowded, Self::PlainHttp, Self::Certificate, Self::Broken];

    /// The label that it is counted under.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Crowded => "crowded_out",
            Self::PlainHttp => "plain_http",
            Self::Certificate => "client_certificate",
            Self::Broken => "broken",
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
                Self::Certificate
            }
            _ => Self::Broken,
        }
    }
}

impl Tls {
    /// Reads the files.
    pub(super) fn open(config: &ServerTlsConfig) -> Result<Self, ServerError> {
        let ServerTlsConfig { pair, client_ca } = config.clone();
        let needs_certificate = client_ca.is_some();
        let mut files = vec![pair.cert.clone(), pair.key.clone()];
        files.extend(client_ca.clone());
        let make = move |held: &[Vec<u8>]| served(&pair, client_ca.as_ref(), held);
        let served = Watched::open(files, make).map_err(ServerError::Tls)?;
        Ok(Self { served, pending: Pending::default(), needs_certificate })
    }

    /// Whether callers need a certificate.
    pub(super) const fn needs_certificate(&self) -> bool {
        self.needs_certificate
    }

    /// When the certificate ends, seconds since the epoch.
    pub(super) fn not_after(&self) -> i64 {
        self.served.get().not_after
    }

    /// States of the files that could not be used since the start.
    pub(super) fn failures(&self) -> u64 {
        self.served.failures()
    }

    /// Shakes hands.
    pub(super) async fn accept(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let (_place, crowded_out) = self.pending.enter();
        tokio::select! {
            shaken = timeout(HANDSHAKE_WITHIN, self.shake(stream)) => shaken.unwrap_or(Err(Failure::Timeout)),
            _ = crowded_out => Err(Failure::Crowded),
        }
    }

    async fn shake(&self, mut stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE_RECORD {
            if first[0].is_ascii_uppercase() {
                say_https(&mut stream).await;
                return Err(Failure::PlainHttp);
            }
            return Err(Failure::Broken);
        }
        let acceptor = TlsAcceptor::from(Arc::clone(&self.served.get().config));
        Ok(acceptor.accept(stream).await?)
    }
}

/// What the files make.
fn served(files: &PairFiles, client_ca: Option<&PemFile>, held: &[Vec<u8>]) -> Result<Served, String> {
    let read = pair(files, &held[0], &held[1])?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let roots = authorities(file, held.last().map(Vec::as_slice).unwrap_or_default())?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
            let verifier = verifier.allow_unauthenticated().build().map_err(|e| format!("{file}: {e}"))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(read.key)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if client_ca.is_some() {
        // A session that is taken up again would not show its certificate, which may have ended.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Served { config: Arc::new(config), not_after: read.not_after })
}

/// Tells who speaks plain HTTP what is spoken here.
async fn say_https(stream: &mut TcpStream) {
    let reply =
        Problem::new(Kind::PLAIN_HTTP, "this port speaks HTTPS: use https:// in the address").into_reply();
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        reply.body.len()
    );
    let talk = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&reply.body).await?;
        stream.shutdown().await?;
        // To close while something is unread would take back what was said.
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = timeout(LINGER, talk).await;
}

/// Handshakes that have begun and not ended, by their age.
#[derive(Default)]
struct Pending {
    begun: Mutex<Begun>,
}

#[derive(Default)]
struct Begun {
    next: u64,
    by_age: BTreeMap<u64, oneshot::Sender<Infallible>>,
}

/// The place of one of them, given back when the value goes.
struct Place<'a> {
    pending: &'a Pending,
    number: u64,
}

impl Pending {
    /// A place for one more, and what resolves when it has to go for another one.
    fn enter(&self) -> (Place<'_>, oneshot::Receiver<Infallible>) {
        let (keep, crowded_out) = oneshot::channel();
        let mut begun = self.begun.lock();
        if begun.by_age.len() >= HANDSHAKES {
            begun.by_age.pop_first();
        }
        let number = begun.next;
        begun.next += 1;
        begun.by_age.insert(number, keep);
        (Place { pending: self, number }, crowded_out)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pending.begun.lock().by_age.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way_and_places_come_back() {
        let pending = Pending::default();
        let mut held: Vec<_> = (0..HANDSHAKES).map(|_| pending.enter()).collect();
        assert!(held.iter_mut().all(|(_, gone)| gone.try_recv() == Err(oneshot::error::TryRecvError::Empty)));
        let mut newest = pending.enter();
        let gone = |place: &mut (Place<'_>, oneshot::Receiver<Infallible>)| {
            place.1.try_recv() == Err(oneshot::error::TryRecvError::Closed)
        };
        assert!(gone(&mut held[0]) && !gone(&mut held[1]) && !gone(&mut newest));
        drop(held);
        assert_eq!(pending.begun.lock().by_age.len(), 1);
    }
}
