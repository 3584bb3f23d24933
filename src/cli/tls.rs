//! Flags that say how TLS is spoken: as a server, and as a client of one.

use std::path::PathBuf;

use clap::Args;
use rustls::pki_types::ServerName;

use crate::client::ServerUrl;
use crate::server::ServerTlsConfig;
use crate::tls::{ClientTlsConfig, PairFiles, PemFile};

const CERT: &str = "--tls-cert-file";
const KEY: &str = "--tls-key-file";

/// How a server speaks TLS.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "they are the names of the flags")]
pub struct ServerTlsArgs {
    /// File with the server's certificate, in PEM, with those of the authorities between behind it.
    /// With it the server speaks HTTPS and nothing else. Read again when it changes.
    #[arg(long, env = "NOETL_METRICS_TLS_CERT_FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// File with the key of this certificate, in PEM.
    #[arg(long, env = "NOETL_METRICS_TLS_KEY_FILE")]
    pub tls_key_file: Option<PathBuf>,
    /// File with the authorities, in PEM, that callers' certificates have to be of (mutual TLS). All
    /// endpoints but /livez and /readyz need one then, beside the right that they need.
    #[arg(long, env = "NOETL_METRICS_TLS_CLIENT_CA_FILE")]
    pub tls_client_ca_file: Option<PathBuf>,
    /// File with the authorities, in PEM, that certificates of the other servers have to be of, where
    /// requests are forwarded to them; without it, those that the system trusts. A server shows them
    /// its own certificate.
    #[arg(long, env = "NOETL_METRICS_TLS_CA_FILE", requires = "advertise_url")]
    pub tls_ca_file: Option<PathBuf>,
    /// Name that certificates of the other servers have to be for; without it, the host of their
    /// --advertise-url.
    #[arg(long, env = "NOETL_METRICS_TLS_SERVER_NAME", requires = "advertise_url", value_parser = server_name)]
    pub tls_server_name: Option<ServerName<'static>>,
}

impl ServerTlsArgs {
    /// How it is served, and how other servers are called.
    pub(super) fn into_configs(
        self,
        advertise_url: Option<&str>,
    ) -> Result<(Option<ServerTlsConfig>, Option<ClientTlsConfig>), String> {
        let pair = pair(self.tls_cert_file, self.tls_key_file)?;
        let client_ca = named("--tls-client-ca-file", self.tls_client_ca_file);
        if let (None, Some(file)) = (&pair, &client_ca) {
            return Err(format!("{} needs {CERT} and {KEY}", file.flag));
        }
        let (ca, server_name) = (named("--tls-ca-file", self.tls_ca_file), self.tls_server_name);
        let peers_have_tls = advertise_url.is_some_and(|url| url.starts_with("https:"));
        match (advertise_url, &pair) {
            (Some(url), Some(_)) if !peers_have_tls => {
                return Err(format!("--advertise-url {url}: with {CERT} it has to be https://"));
            }
            _ if !peers_have_tls && (ca.is_some() || server_name.is_some()) => {
                return Err("--tls-ca-file and --tls-server-name need an --advertise-url of https://".into());
            }
            _ => {}
        }
        let peers = peers_have_tls.then(|| ClientTlsConfig { ca, pair: pair.clone(), server_name });
        Ok((pair.map(|pair| ServerTlsConfig { pair, client_ca }), peers))
    }
}

/// How a client speaks TLS.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "they are the names of the flags")]
pub struct ClientTlsArgs {
    /// File with the authorities, in PEM, that the server's certificate has to be of
    ///
    /// Without it, those that the system trusts. Read again when it changes.
    #[arg(long, env = "NOETL_METRICS_TLS_CA_FILE", value_name = "FILE")]
    pub tls_ca_file: Option<PathBuf>,

    /// File with the certificate, in PEM, that is shown to a server that asks for one
    #[arg(long, env = "NOETL_METRICS_TLS_CERT_FILE", value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,

    /// File with the key of this certificate, in PEM
    #[arg(long, env = "NOETL_METRICS_TLS_KEY_FILE", value_name = "FILE")]
    pub tls_key_file: Option<PathBuf>,

    /// Name that the server's certificate has to be for [default: the host of --server-url]
    #[arg(long, env = "NOETL_METRICS_TLS_SERVER_NAME", value_name = "NAME", value_parser = server_name)]
    pub tls_server_name: Option<ServerName<'static>>,
}

impl ClientTlsArgs {
    /// How a server at this address is spoken to; nothing where that is plain HTTP.
    pub(super) fn into_config(self, server: &ServerUrl) -> Result<Option<ClientTlsConfig>, String> {
        let config = ClientTlsConfig {
            ca: named("--tls-ca-file", self.tls_ca_file),
            pair: pair(self.tls_cert_file, self.tls_key_file)?,
            server_name: self.tls_server_name,
        };
        if !server.is_plain() {
            return Ok(Some(config));
        }
        if config == ClientTlsConfig::default() {
            return Ok(None);
        }
        Err(format!("--server-url {server}: with flags for TLS it has to be https://"))
    }
}

/// A variable that is set to nothing counts as not set.
fn named(flag: &'static str, path: Option<PathBuf>) -> Option<PemFile> {
    path.filter(|path| !path.as_os_str().is_empty()).map(|path| PemFile::new(flag, path))
}

fn pair(cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<PairFiles>, String> {
    match (named(CERT, cert), named(KEY, key)) {
        (Some(cert), Some(key)) => Ok(Some(PairFiles { cert, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(format!("{CERT} needs {KEY}")),
        (None, Some(_)) => Err(format!("{KEY} needs {CERT}")),
    }
}

fn server_name(s: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(s.to_owned()).map_err(|_| format!("{s:?} is neither a host's name nor an address"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[arg(long)]
        advertise_url: Option<String>,
        #[command(flatten)]
        tls: ServerTlsArgs,
    }

    fn server(flags: &str) -> Result<(Option<ServerTlsConfig>, Option<ClientTlsConfig>), String> {
        let cli = Cli::try_parse_from(["test"].into_iter().chain(flags.split_whitespace()));
        let cli = cli.map_err(|e| e.to_string())?;
        cli.tls.into_configs(cli.advertise_url.as_deref())
    }

    #[derive(Parser)]
    struct ClientCli {
        #[command(flatten)]
        tls: ClientTlsArgs,
    }

    fn client(url: &str, flags: &str) -> Result<Option<ClientTlsConfig>, String> {
        let cli = ClientCli::try_parse_from(["test"].into_iter().chain(flags.split_whitespace()));
        cli.map_err(|e| e.to_string())?.tls.into_config(&ServerUrl::parse(url).unwrap())
    }

    #[test]
    fn servers_show_each_other_their_own_certificate() {
        assert_eq!(server(""), Ok((None, None)));
        assert_eq!(server("--advertise-url http://10.0.0.1:1"), Ok((None, None)));
        let (served, peers) = server("--tls-cert-file c --tls-key-file k").unwrap();
        assert!(served.is_some() && peers.is_none(), "it is the only one");
        let all = "--advertise-url https://10.0.0.1:1 --tls-cert-file c --tls-key-file k --tls-client-ca-file a \
                   --tls-ca-file b --tls-server-name x.svc";
        let (served, peers) = server(all).unwrap();
        let (served, peers) = (served.unwrap(), peers.unwrap());
        assert_eq!(peers.pair, Some(served.pair));
        assert_eq!(served.client_ca.unwrap().path, PathBuf::from("a"));
        assert_eq!(peers.server_name.unwrap().to_str(), "x.svc");
    }

    #[test]
    fn halves_are_refused_with_the_flag_that_is_missing() {
        for (flags, said) in [
            ("--tls-cert-file c", "--tls-cert-file needs --tls-key-file"),
            ("--tls-key-file k", "--tls-key-file needs --tls-cert-file"),
            ("--tls-client-ca-file a", "--tls-client-ca-file needs --tls-cert-file"),
            ("--advertise-url http://h:1 --tls-cert-file c --tls-key-file k", "has to be https://"),
            ("--advertise-url http://h:1 --tls-ca-file b", "need an --advertise-url of https://"),
            ("--tls-ca-file b", "--advertise-url"),
            ("--advertise-url https://h:1 --tls-server-name a_b/c", "neither a host's name nor an address"),
        ] {
            let error = server(flags).unwrap_err();
            assert!(error.contains(said), "{flags}: {error}");
        }
    }

    #[test]
    fn a_client_of_plain_http_has_no_use_for_them() {
        assert_eq!(client("http://h:1", ""), Ok(None));
        assert_eq!(client("https://h:1", ""), Ok(Some(ClientTlsConfig::default())));
        assert!(client("https://h:1", "--tls-ca-file a").unwrap().unwrap().ca.is_some());
        for flags in ["--tls-ca-file a", "--tls-cert-file c --tls-key-file k", "--tls-server-name n"] {
            assert!(client("http://h:1", flags).unwrap_err().contains("https://"), "{flags}");
        }
        assert!(client("https://h:1", "--tls-cert-file c").unwrap_err().contains("needs --tls-key-file"));
    }
}
