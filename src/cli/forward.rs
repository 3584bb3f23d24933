//! Flags of `server` that say where samples are sent on to.

use std::path::PathBuf;

use clap::Args;
use reqwest::Url;

use super::values::http_url;
use crate::server::ForwardTarget;
use crate::tls::PemFile;

/// Targets at most.
const MOST: usize = 16;
/// The flag of the authorities.
const CA_FILE: &str = "--forward-ca-file";

/// Where all that is stored is sent on to.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "they are the names of the flags")]
pub struct ForwardArgs {
    /// Where the active server sends all samples on to that are stored, by remote write 1.0, as URL or
    /// name=URL: vm=http://victoria-metrics:8428/api/v1/write. Any number of them, each of which goes on
    /// where it was under its name; without one it is host:port.
    #[arg(long, env = "NOETL_METRICS_FORWARD_URL", value_delimiter = ',', hide_env_values = true)]
    pub forward_url: Vec<String>,
    /// File with the bearer token for a target, as name=file, or as file for the only one. Read again
    /// for each request.
    #[arg(long, env = "NOETL_METRICS_FORWARD_TOKEN_FILE", value_delimiter = ',', requires = "forward_url")]
    pub forward_token_file: Vec<String>,
    /// File with further headers for a target, a line for each as Name: value, likewise.
    #[arg(long, env = "NOETL_METRICS_FORWARD_HEADERS_FILE", value_delimiter = ',', requires = "forward_url")]
    pub forward_headers_file: Vec<String>,
    /// File with the authorities, in PEM, that a target's certificate has to be of, as name=file, or as
    /// file for all that have none of theirs; without it, those that the system trusts.
    #[arg(long, env = "NOETL_METRICS_FORWARD_CA_FILE", value_delimiter = ',', requires = "forward_url")]
    pub forward_ca_file: Vec<String>,
}

impl ForwardArgs {
    /// The targets.
    pub(super) fn into_config(self) -> Result<Vec<ForwardTarget>, String> {
        let mut targets: Vec<ForwardTarget> = Vec::new();
        for text in &self.forward_url {
            let target = target(text).map_err(|why| format!("--forward-url: {why}"))?;
            if targets.iter().any(|other| other.name == target.name) {
                let name = target.name;
                return Err(format!("--forward-url: two targets are called {name:?}; write name=URL"));
            }
            targets.push(target);
        }
        if targets.len() > MOST {
            return Err(format!("--forward-url: there may be {MOST} targets at most"));
        }
        for (flag, files) in [
            ("--forward-token-file", self.forward_token_file),
            ("--forward-headers-file", self.forward_headers_file),
        ] {
            for text in &files {
                let (target, path) = of_target(text, &mut targets).map_err(|why| format!("{flag}: {why}"))?;
                let file = if flag == "--forward-token-file" {
                    &mut target.token_file
                } else {
                    &mut target.headers_file
                };
                if file.replace(path).is_some() {
                    return Err(format!("{flag}: the target {:?} has two", target.name));
                }
            }
        }
        authorities(&self.forward_ca_file, &mut targets).map_err(|why| format!("{CA_FILE}: {why}"))?;
        Ok(targets)
    }
}

/// Gives each target its file of authorities, or the one for all.
fn authorities(texts: &[String], targets: &mut [ForwardTarget]) -> Result<(), String> {
    let mut of_all = None;
    for text in texts {
        if text.contains('=') {
            let (target, path) = of_target(text, targets)?;
            if target.ca.replace(PemFile::new(CA_FILE, path)).is_some() {
                return Err(format!("the target {:?} has two", target.name));
            }
        } else if of_all.replace(PemFile::new(CA_FILE, text.into())).is_some() {
            return Err("there may be one for all targets; write name=file".into());
        }
    }
    for target in targets.iter_mut().filter(|target| target.ca.is_none()) {
        target.ca.clone_from(&of_all);
    }
    Ok(())
}

fn target(text: &str) -> Result<ForwardTarget, String> {
    let (name, url) = match text.split_once('=').filter(|(name, _)| is_name(name)) {
        Some((name, url)) => (Some(name.to_owned()), url),
        None => (None, text),
    };
    let url: Url = http_url(url)?.parse().map_err(|e| format!("it is not a URL ({e})"))?;
    let of_url = || {
        let host = url.host_str().unwrap_or_default();
        url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    };
    Ok(ForwardTarget {
        name: name.unwrap_or_else(of_url),
        url,
        token_file: None,
        headers_file: None,
        ca: None,
    })
}

/// The target that a file is for.
fn of_target<'a>(
    text: &str,
    targets: &'a mut [ForwardTarget],
) -> Result<(&'a mut ForwardTarget, PathBuf), String> {
    if let Some((name, path)) = text.split_once('=') {
        let named = targets.iter_mut().find(|target| target.name == name);
        return Ok((
            named.ok_or_else(|| format!("no target of --forward-url is called {name:?}"))?,
            path.into(),
        ));
    }
    match targets {
        [only] => Ok((only, text.into())),
        _ => Err("with several targets it is name=file".into()),
    }
}

fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(urls: &[&str], tokens: &[&str]) -> Result<Vec<ForwardTarget>, String> {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let args = ForwardArgs {
            forward_url: texts(urls),
            forward_token_file: texts(tokens),
            forward_headers_file: Vec::new(),
            forward_ca_file: Vec::new(),
        };
        args.into_config()
    }

    #[test]
    fn an_authority_is_a_target_s_own_or_that_of_all_others() {
        let config = |files: &[&str]| {
            let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
            let args = ForwardArgs {
                forward_url: texts(&["a=https://h", "b=https://h"]),
                forward_token_file: Vec::new(),
                forward_headers_file: Vec::new(),
                forward_ca_file: texts(files),
            };
            let path = |target: ForwardTarget| target.ca.map(|file| file.path.display().to_string());
            args.into_config().map(|targets| targets.into_iter().map(path).collect::<Vec<_>>())
        };
        let some = |path: &str| Some(path.to_owned());
        assert_eq!(config(&[]).unwrap(), [None, None]);
        assert_eq!(config(&["/all"]).unwrap(), [some("/all"), some("/all")]);
        assert_eq!(config(&["b=/b"]).unwrap(), [None, some("/b")]);
        assert_eq!(config(&["b=/b", "/all"]).unwrap(), [some("/all"), some("/b")]);
        for (files, said) in
            [(["/a", "/b"], "one for all"), (["a=/a", "a=/b"], "has two"), (["c=/c", "/a"], "\"c\"")]
        {
            let why = config(&files).unwrap_err();
            assert!(why.starts_with("--forward-ca-file: ") && why.contains(said), "{why}");
        }
    }

    #[test]
    fn targets_have_names_and_files_of_theirs() {
        let targets = config(&["vm=http://h:1/w?a=b", "https://g/w?x=y"], &["g:443=/t"]).unwrap();
        let told: Vec<_> = targets.iter().map(|t| (t.name.as_str(), t.url.as_str())).collect();
        assert_eq!(told, [("vm", "http://h:1/w?a=b"), ("g:443", "https://g/w?x=y")]);
        assert_eq!(targets[1].token_file, Some("/t".into()));
        assert_eq!(config(&["http://h/w"], &["/t"]).unwrap()[0].token_file, Some("/t".into()));
        for (urls, tokens, said) in [
            (vec!["ftp://h"], vec![], "--forward-url"),
            (vec!["http://u:p@h"], vec![], "--forward-url"),
            (vec!["http://h/a", "http://h/b"], vec![], "two targets"),
            (vec!["http://h"; MOST + 1], vec![], "two targets"),
            (vec!["a=http://h", "b=http://h"], vec!["/t"], "--forward-token-file"),
            (vec!["a=http://h", "b=http://h"], vec!["c=/t"], "\"c\""),
            (vec!["a=http://h"], vec!["/t", "a=/u"], "has two"),
        ] {
            let why = config(&urls, &tokens).unwrap_err();
            assert!(why.contains(said) && !why.contains("u:p"), "{why}");
        }
        let many: Vec<String> = (0..=MOST).map(|n| format!("t{n}=http://h")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(config(&many, &[]).unwrap_err().contains("16"));
    }
}
