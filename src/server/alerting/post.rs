//! How receivers are told: a POST, and what its answer means.

use std::time::Duration;

use reqwest::{Client, RequestBuilder};

/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses between tries: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// Why a receiver did not take something.
pub(super) enum Failure {
    /// It may at another time.
    Passing(String),
    /// It never will.
    Lasting(String),
}

/// The client for all receivers.
pub(super) fn client() -> Result<Client, reqwest::Error> {
    crate::client::install_crypto();
    Client::builder()
        .user_agent(concat!("noetl-metrics-server/", env!("CARGO_PKG_VERSION")))
        .timeout(TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

/// Sends JSON.
pub(super) async fn post(request: RequestBuilder, body: Vec<u8>) -> Result<(), Failure> {
    let request = request.header(http::header::CONTENT_TYPE, "application/json").body(body);
    let answer = request.send().await.map_err(|e| Failure::Passing(crate::client::causes(&e)))?;
    let status = answer.status();
    let said = format!("it answered {status}");
    match status.as_u16() {
        200..=299 => Ok(()),
        408 | 429 | 500.. => Err(Failure::Passing(said)),
        _ => Err(Failure::Lasting(said)),
    }
}

/// The pause after so many failures in a row.
pub(super) fn pause(failures: u32) -> Duration {
    PAUSES.0.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(PAUSES.1)
}
