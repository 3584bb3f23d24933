//! Authorities of a test's own, what they sign, and the files that programs are given.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Pair {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("authority {number} of the tests"));
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for names and addresses.
    pub fn signs(&self, names: &[&str]) -> Pair {
        self.signs_until(names, 4000)
    }

    /// One that ends with the beginning of a year.
    pub fn signs_until(&self, names: &[&str], year: i32) -> Pair {
        self.signs_with(names, |params| params.not_after = rcgen::date_time_ymd(year, 1, 1))
    }

    /// One that ends after this time.
    pub fn signs_for(&self, names: &[&str], time: Duration) -> Pair {
        self.signs_with(names, |params| params.not_after = (SystemTime::now() + time).into())
    }

    fn signs_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Pair { cert: cert.pem(), key: key.serialize_pem() }
    }
}

/// A folder as Kubernetes mounts a Secret: `ca.crt`, `tls.crt`, `tls.key`.
pub struct SecretFiles {
    dir: TempDir,
}

impl SecretFiles {
    pub fn new(authority: &Authority, pair: &Pair) -> Self {
        let files = Self { dir: tempfile::tempdir().unwrap() };
        files.put("ca.crt", &authority.pem());
        files.put("tls.crt", &pair.cert);
        files.put("tls.key", &pair.key);
        files
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file in one step.
    pub fn put(&self, name: &str, text: &str) {
        let new = self.path("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path(name)).unwrap();
    }

    /// Another certificate, its key first: for a moment they do not belong together.
    pub fn replace(&self, pair: &Pair) {
        self.put("tls.key", &pair.key);
        self.put("tls.crt", &pair.cert);
    }

    /// A flag with one of the files.
    pub fn flag(&self, flag: &str, name: &str) -> [String; 2] {
        [flag.to_owned(), text(&self.path(name))]
    }

    /// `--tls-cert-file` and `--tls-key-file`.
    pub fn pair_flags(&self) -> Vec<String> {
        [self.flag("--tls-cert-file", "tls.crt"), self.flag("--tls-key-file", "tls.key")].concat()
    }

    /// What a client needs: these, and `--tls-ca-file`.
    pub fn client_flags(&self) -> Vec<String> {
        [self.pair_flags(), self.flag("--tls-ca-file", "ca.crt").to_vec()].concat()
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
