//! PEM read into what rustls takes. What is wrong is said with the file's flag, and without a word of
//! what it holds: it may be a key.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use x509_cert::der::Decode as _;

use super::{PairFiles, PemFile, provider};

/// A certificate and its key, ready to be shown.
#[derive(Debug)]
pub(crate) struct Pair {
    /// Both, as rustls takes them.
    pub(crate) key: Arc<CertifiedKey>,
    /// When the certificate ends, seconds since the epoch.
    pub(crate) not_after: i64,
}

/// Reads a certificate and its key, which must belong together.
pub(crate) fn pair(files: &PairFiles, cert: &[u8], key: &[u8]) -> Result<Pair, String> {
    let chain = certificates(&files.cert, cert)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| format!("{}: it holds no private key in PEM", files.key))?;
    let not_after = not_after(&chain[0]).map_err(|why| format!("{}: {why}", files.cert))?;
    let signing = provider()
        .key_provider
        .load_private_key(key)
        .map_err(|_| format!("{}: its kind of key can't be used; RSA, ECDSA and Ed25519 can", files.key))?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            return Err(format!("{}: it is not the key of the certificate in {}", files.key, files.cert));
        }
        Err(error) => return Err(format!("{}: the certificate can't be used ({error})", files.cert)),
    }
    Ok(Pair { key: Arc::new(certified), not_after })
}

/// Reads the certificates of authorities.
pub(crate) fn authorities(file: &PemFile, text: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for one in certificates(file, text)? {
        roots.add(one).map_err(|e| format!("{file}: a certificate in it can't be used ({e})"))?;
    }
    Ok(roots)
}

/// At least one certificate.
fn certificates(file: &PemFile, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(format!("{file}: it holds no certificate in PEM")),
        Err(error) => Err(format!("{file}: it is no PEM ({error})")),
    }
}

/// When a certificate ends, seconds since the epoch.
pub(crate) fn not_after(certificate: &CertificateDer<'_>) -> Result<i64, String> {
    let read = x509_cert::Certificate::from_der(certificate)
        .map_err(|e| format!("its first certificate can't be read ({e})"))?;
    let ends = read.tbs_certificate().validity().not_after.to_unix_duration();
    Ok(i64::try_from(ends.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> PairFiles {
        PairFiles {
            cert: PemFile::new("--tls-cert-file", "/c.pem".into()),
            key: PemFile::new("--tls-key-file", "/k.pem".into()),
        }
    }

    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_pair_is_read_with_its_end() {
        let (cert, key) = made();
        let read = pair(&files(), cert.as_bytes(), key.as_bytes()).unwrap();
        // rcgen's certificates end with the year 4095.
        assert_eq!(read.not_after, 67_090_118_400);
        assert_eq!(read.key.cert.len(), 1);
    }

    #[test]
    fn what_is_wrong_names_the_flag_and_says_nothing_of_the_key() {
        let ((cert, key), (other, _)) = (made(), made());
        let broken = key.replace("PRIVATE KEY", "SECRET");
        for (cert, key, said) in [
            ("", key.as_str(), "--tls-cert-file /c.pem: it holds no certificate in PEM"),
            (key.as_str(), key.as_str(), "--tls-cert-file /c.pem: it holds no certificate in PEM"),
            ("-----BEGIN CERTIFICATE-----\n!", key.as_str(), "--tls-cert-file /c.pem: it is no PEM"),
            (cert.as_str(), "", "--tls-key-file /k.pem: it holds no private key in PEM"),
            (cert.as_str(), cert.as_str(), "--tls-key-file /k.pem: it holds no private key in PEM"),
            (cert.as_str(), broken.as_str(), "--tls-key-file /k.pem: it holds no private key in PEM"),
            (
                other.as_str(),
                key.as_str(),
                "--tls-key-file /k.pem: it is not the key of the certificate in --tls-cert-file /c.pem",
            ),
        ] {
            let error = pair(&files(), cert.as_bytes(), key.as_bytes()).unwrap_err();
            assert!(error.starts_with(said), "{error}");
            assert!(key.lines().nth(1).is_none_or(|line| !error.contains(line)), "{error}");
        }
    }

    #[test]
    fn authorities_are_certificates() {
        let file = PemFile::new("--tls-ca-file", "/ca.pem".into());
        let (cert, key) = made();
        let two = format!("{cert}{}", made().0);
        assert_eq!(authorities(&file, two.as_bytes()).unwrap().len(), 2);
        let error = authorities(&file, key.as_bytes()).unwrap_err();
        assert_eq!(error, "--tls-ca-file /ca.pem: it holds no certificate in PEM");
    }
}
