//! What the HTTP clients in here share.

/// Says which cryptography TLS uses, once for the process. Another part of it may have said so
/// before, which is as good.
pub(crate) fn install_crypto() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

/// An error with what caused it: reqwest's own text ends at "error sending request". Without the
/// URL, which may carry credentials.
pub(crate) fn causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = if text.is_empty() { cause_text } else { format!("{text}: {cause_text}") };
        }
        next = cause.source();
    }
    if error.is_timeout() {
        return format!("no answer within the time allowed ({text})");
    }
    if text.is_empty() { "the request failed".to_owned() } else { text }
}
