//! What both ends of TLS share: certificates, keys and authorities of PEM files, which are read again
//! when they change.
//!
//! TLS 1.2 and 1.3 by rustls with ring; nothing here is a choice of ciphers.

mod client;
mod pem;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub(crate) use self::client::why_not_trusted;
pub use self::client::{ClientTls, ClientTlsConfig};
pub(crate) use self::pem::{authorities, not_after, pair};
pub(crate) use self::watch::Watched;

/// A file of PEM, and the flag that named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFile {
    /// The flag, for what is said about it.
    pub flag: &'static str,
    /// Where it is.
    pub path: PathBuf,
}

impl PemFile {
    /// The file that a flag named.
    pub const fn new(flag: &'static str, path: PathBuf) -> Self {
        Self { flag, path }
    }
}

impl std::fmt::Display for PemFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.flag, self.path.display())
    }
}

/// A certificate, with those that signed it behind it, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairFiles {
    /// The certificate.
    pub cert: PemFile,
    /// Its key.
    pub key: PemFile,
}

/// The cryptography of all TLS in here.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
