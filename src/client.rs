//! What the HTTP clients in here share.

pub(crate) mod answer;
pub(crate) mod backoff;
mod remote_write;
mod server_url;
pub(crate) mod token;

use reqwest::ClientBuilder;

use crate::tls::{ClientTls, why_not_trusted};
pub(crate) use remote_write::remote_write;
pub use server_url::ServerUrl;

/// Says which cryptography TLS uses, once for the process. Another part of it may have said so
/// before, which is as good.
pub(crate) fn install_crypto() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

/// Makes a client speak TLS as it is told; without, it is for plain HTTP.
///
/// # Errors
/// A sentence, where TLS can't be set up.
pub(crate) fn with_tls(client: ClientBuilder, tls: Option<&ClientTls>) -> Result<ClientBuilder, String> {
    Ok(match tls {
        Some(tls) => client.tls_backend_preconfigured(tls.config()?),
        // Roots are for TLS only, and loading none works in an image that has none.
        None => client.tls_certs_only([]),
    })
}

/// The same for a client of a server of this program, which may be on this machine's loopback: that no
/// proxy of the environment could reach.
///
/// # Errors
/// As those of [`with_tls`].
pub(crate) fn of_server(
    client: ClientBuilder,
    url: &ServerUrl,
    tls: Option<&ClientTls>,
) -> Result<ClientBuilder, String> {
    let client = with_tls(client, tls)?;
    Ok(if url.is_loopback() { client.no_proxy() } else { client })
}

/// An error with what caused it: reqwest's own text ends at "error sending request". Without the
/// URL, which may carry credentials.
pub(crate) fn causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut advice = None;
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        advice = advice.or_else(|| why_not_trusted(cause));
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = if text.is_empty() { cause_text } else { format!("{text}: {cause_text}") };
        }
        next = cause.source();
    }
    if let Some(advice) = advice {
        return format!("{advice} ({text})");
    }
    if error.is_timeout() {
        return format!("no answer within the time allowed ({text})");
    }
    if text.is_empty() { "the request failed".to_owned() } else { text }
}
