//! The client's end: whom it trusts, which name it expects, and the certificate that it shows.
//!
//! What files say is looked up at each handshake, so that clients and their connections stay as they
//! are when files change. A session is never taken up again: that would skip the looking.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::pem::{self, Pair};
use super::{PairFiles, PemFile, Watched, provider};

/// How a client speaks TLS. Without anything it trusts whom the system trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTlsConfig {
    /// Authorities that servers' certificates are verified with, instead of the system's.
    pub ca: Option<PemFile>,
    /// What it shows where it is asked for a certificate.
    pub pair: Option<PairFiles>,
    /// The name that certificates must have; without it, the host of the URL.
    pub server_name: Option<ServerName<'static>>,
}

/// The client's end, its files read.
#[derive(Clone, Debug)]
pub struct ClientTls {
    trust: Arc<Watched<Trust>>,
    server_name: Option<ServerName<'static>>,
}

#[derive(Debug)]
struct Trust {
    verifier: Arc<WebPkiServerVerifier>,
    pair: Option<Pair>,
}

impl ClientTls {
    /// Reads the files.
    ///
    /// # Errors
    /// A sentence that names the flag of the file that is wrong.
    pub fn open(config: ClientTlsConfig) -> Result<Self, String> {
        let ClientTlsConfig { ca, pair, server_name } = config;
        let system = if ca.is_none() { Some(system_roots()?) } else { None };
        let mut files: Vec<PemFile> = pair.iter().flat_map(|p| [p.cert.clone(), p.key.clone()]).collect();
        files.extend(ca.clone());
        let make = move |held: &[Vec<u8>]| {
            let read = pair.as_ref().map(|files| pem::pair(files, &held[0], &held[1])).transpose()?;
            let roots = match (&ca, &system) {
                (Some(file), _) => {
                    pem::authorities(file, held.last().map(Vec::as_slice).unwrap_or_default())?
                }
                (None, system) => system.clone().unwrap_or_else(RootCertStore::empty),
            };
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
                .build()
                .map_err(|e| e.to_string())?;
            Ok(Trust { verifier, pair: read })
        };
        Ok(Self { trust: Arc::new(Watched::open(files, make)?), server_name })
    }

    /// What HTTP clients take.
    ///
    /// # Errors
    /// A sentence, where the cryptography lacks a version of TLS.
    pub fn config(&self) -> Result<ClientConfig, String> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .dangerous() // as rustls calls any verifier that is not its own: ours asks that one
            .with_custom_certificate_verifier(Arc::new(self.clone()))
            .with_client_cert_resolver(Arc::new(self.clone()));
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// States of the files that could not be used since the start.
    pub(crate) fn failures(&self) -> u64 {
        self.trust.failures()
    }

    /// When the certificate that is shown ends, seconds since the epoch.
    pub(crate) fn not_after(&self) -> Option<i64> {
        self.trust.get().pair.as_ref().map(|pair| pair.not_after)
    }
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(
            "this system has no certificates of authorities: name a file of them with --tls-ca-file".into()
        );
    }
    Ok(roots)
}

impl ServerCertVerifier for ClientTls {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let name = self.server_name.as_ref().unwrap_or(host);
        let verifier = &self.trust.get().verifier;
        verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.trust.get().verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.trust.get().verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.get().verifier.supported_verify_schemes()
    }
}

impl ResolvesClientCert for ClientTls {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.trust.get().pair.as_ref().map(|pair| Arc::clone(&pair.key))
    }

    fn has_certs(&self) -> bool {
        self.trust.get().pair.is_some()
    }
}

/// What to do about a server's certificate that was not trusted, where that is why an error happened.
pub(crate) fn why_not_trusted(error: &(dyn Error + 'static)) -> Option<&'static str> {
    match of_tls(error)? {
        rustls::Error::InvalidCertificate(why) => Some(match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the server's certificate is of no authority that is trusted; --tls-ca-file names those that are"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the server's certificate is for another name; --tls-server-name says which one is right"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet; is the clock right?"
            }
            _ => "the server's certificate can't be used",
        }),
        rustls::Error::InvalidMessage(_) => Some("the server does not speak TLS; is it http://?"),
        rustls::Error::AlertReceived(_) => Some("the server refused the certificate that it was shown"),
        _ => None,
    }
}

/// The error of rustls, which connectors wrap into errors of I/O.
fn of_tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<io::Error>() {
        Some(io) => of_tls(io.get_ref()?),
        None => error.downcast_ref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_certificate_lacks_is_found_however_deep_it_is() {
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, expired));
        assert_eq!(why_not_trusted(&wrapped), Some("the server's certificate has expired"));
        assert_eq!(why_not_trusted(&io::Error::other("another")), None);
    }

    #[test]
    fn a_file_that_is_missing_is_named_with_its_flag() {
        let ca = Some(PemFile::new("--tls-ca-file", "/nowhere/ca.crt".into()));
        let error = ClientTls::open(ClientTlsConfig { ca, ..ClientTlsConfig::default() }).unwrap_err();
        assert!(error.starts_with("--tls-ca-file /nowhere/ca.crt: "), "{error}");
    }
}
