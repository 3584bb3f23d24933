//! Where servers send samples on to: flags, and the Secrets' keys as files of one volume.

use k8s_openapi::api::core::v1::{
    KeyToPath, ProjectedVolumeSource, SecretProjection, Volume, VolumeProjection,
};

use super::{pod, tls::Access};
use crate::crd::{ForwardTo, SecretKey};
use crate::operator::validate::Checked;

const VOLUME: &str = "forward";
/// Where the files are: a folder for each target.
const DIR: &str = "/var/run/secrets/noetl-metrics/forward";

/// Flags, volume and mount of a server.
pub(super) fn server(checked: &Checked) -> Access {
    let mut access = Access::default();
    let targets = &checked.spec.server.forward;
    access.args.extend(targets.iter().map(|target| format!("--forward-url={}={}", target.name, target.url)));
    let mut sources = Vec::new();
    for target in targets {
        for (flag, file, key) in files(target) {
            let path = format!("{}/{file}", target.name);
            access.args.push(format!("{flag}={}={DIR}/{path}", target.name));
            sources.push(projected(key, path));
        }
    }
    if !sources.is_empty() {
        access.volumes.push(Volume {
            name: VOLUME.to_owned(),
            projected: Some(ProjectedVolumeSource { sources: Some(sources), default_mode: Some(0o440) }),
            ..Volume::default()
        });
        access.mounts.push(pod::mount(VOLUME, DIR));
    }
    access
}

/// Each file of a target: its flag, its name, and what it holds.
fn files(target: &ForwardTo) -> impl Iterator<Item = (&'static str, &'static str, &SecretKey)> {
    let files = [
        ("--forward-token-file", "token", target.token_secret_ref.as_ref()),
        ("--forward-headers-file", "headers", target.headers_secret_ref.as_ref()),
        ("--forward-ca-file", "ca.crt", target.ca_secret_ref.as_ref()),
    ];
    files.into_iter().filter_map(|(flag, file, key)| Some((flag, file, key?)))
}

fn projected(key: &SecretKey, path: String) -> VolumeProjection {
    VolumeProjection {
        secret: Some(SecretProjection {
            name: key.name.clone(),
            items: Some(vec![KeyToPath { key: key.key.clone(), path, mode: None }]),
            optional: None,
        }),
        ..VolumeProjection::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::testing::checked;
    use super::super::{Resources, build};

    #[test]
    fn only_servers_have_the_flags_and_the_files_that_they_name() {
        let spec = "{server: {forward: [{name: vm, url: 'http://vm:8428/w'}, \
            {name: other, url: 'https://other/w', tokenSecretRef: {name: s, key: k}}]}}";
        let Resources { server, agent, migrate, retention, .. } = build(&checked(spec, &[]));
        let server = serde_json::to_value(server).unwrap();
        let pod = &server["spec"]["template"]["spec"];
        let args = pod["containers"][0]["args"].as_array().unwrap();
        let args: Vec<_> = args.iter().filter_map(|a| a.as_str()).filter(|a| a.contains("forward")).collect();
        let file = "/var/run/secrets/noetl-metrics/forward/other/token";
        assert_eq!(
            args,
            [
                "--forward-url=vm=http://vm:8428/w",
                "--forward-url=other=https://other/w",
                &format!("--forward-token-file=other={file}"),
            ]
        );
        let volume = pod["volumes"].as_array().unwrap().iter().find(|v| v["name"] == "forward").unwrap();
        let source = json!({"secret": {"name": "s", "items": [{"key": "k", "path": "other/token"}]}});
        assert_eq!(volume["projected"], json!({"defaultMode": 0o440, "sources": [source]}));
        for other in [json!(agent), json!(migrate), json!(retention)] {
            assert!(!other.to_string().contains("forward"), "{other}");
        }
    }

    #[test]
    fn without_a_secret_there_is_no_volume() {
        let spec = "{server: {forward: [{name: vm, url: 'http://vm:8428/w'}]}}";
        let server = serde_json::to_value(build(&checked(spec, &[])).server).unwrap();
        assert!(!server["spec"]["template"]["spec"]["volumes"].to_string().contains("forward"));
    }
}
