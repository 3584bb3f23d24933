//! What is built is what `golden/` says. To write the files anew: `UPDATE_GOLDEN=1 cargo test --lib golden`.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::super::testing::checked;
use super::*;

const ALL: &[Kind] = &[Kind::VMPodScrape, Kind::VMRule];

/// Every object of a resource, in the order in which it is applied, as YAML documents.
fn documents(resources: Resources) -> String {
    fn push(text: &mut String, object: &impl Serialize) {
        let yaml = serde_yaml::to_string(object).expect("YAML");
        let _ = write!(text, "---\n{yaml}");
    }
    let Resources {
        server_account,
        agent_account,
        agent_role,
        certificates,
        service,
        budget,
        network_policy,
        scrape,
        scrape_pods,
        rules,
        rules_file,
        migrate,
        retention,
        agent,
        server,
    } = resources;
    let mut text = String::new();
    push(&mut text, &server_account);
    if let Some(object) = &agent_account {
        push(&mut text, object);
    }
    if let Some(object) = &agent_role {
        push(&mut text, object);
    }
    for (_, object) in &certificates {
        push(&mut text, object);
    }
    push(&mut text, &service);
    if let Some(object) = &budget {
        push(&mut text, object);
    }
    if let Some(object) = &network_policy {
        push(&mut text, object);
    }
    for (_, object) in scrape.iter().chain(&scrape_pods).chain(&rules) {
        push(&mut text, object);
    }
    if let Some(object) = &rules_file {
        push(&mut text, object);
    }
    push(&mut text, &migrate);
    push(&mut text, &retention);
    if let Some(object) = &agent {
        push(&mut text, object);
    }
    push(&mut text, &server);
    text
}

fn golden(name: &str, checked: &Checked) {
    same_as(name, &documents(build(checked)));
}

fn same_as(name: &str, built: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/operator/build/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, built).expect("a writable golden file");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let different = built.lines().zip(expected.lines()).find(|(built, expected)| built != expected);
    assert!(built == expected, "{name} differs, first in {different:?}");
}

#[test]
fn golden_defaults() {
    golden("defaults.yaml", &checked("{}", ALL));
}

#[test]
fn golden_everything_set() {
    let spec = include_str!("golden/everything.spec.yaml");
    let mut checked = checked(spec, &[Kind::PodMonitor, Kind::PrometheusRule]);
    checked.agent_cluster_role = Some("noetl-metrics-agent".to_owned());
    golden("everything.yaml", &checked);
}

#[test]
fn golden_little() {
    let spec = "{agent: {enabled: false}, networkPolicy: {enabled: false}, rules: {kind: None}, scrape: {kind: None}, \
        server: {autoscaling: {enabled: true}, disruptionBudget: {enabled: false}, auth: {enabled: false}}}";
    golden("little.yaml", &checked(spec, ALL));
}

#[test]
fn golden_rules_of_the_servers() {
    let spec = include_str!("golden/rules.spec.yaml");
    let Resources { rules, rules_file, server, .. } = build(&checked(spec, &[]));
    assert!(rules.is_none());
    let mut text = String::new();
    for object in [serde_json::to_value(rules_file.unwrap()), serde_json::to_value(server)] {
        let _ = write!(text, "---\n{}", serde_yaml::to_string(&object.unwrap()).expect("YAML"));
    }
    same_as("rules.yaml", &text);
}

#[test]
fn servers_evaluate_rules_only_where_no_object_has_them() {
    let file = |spec: &str, kinds: &[Kind]| build(&checked(spec, kinds)).rules_file;
    let custom = "rules: {custom: [{name: A, metric: m, comparison: absent}]}";
    assert!(file("{}", &[]).is_none());
    assert!(file(custom, &[]).is_some());
    assert!(file(custom, &[Kind::VMRule]).is_none());
    let aggregate = "rules: {aggregates: [{name: a, metric: m, function: sum}]}";
    assert!(file(aggregate, &[]).is_some());
    assert!(file(aggregate, &[Kind::VMRule]).is_none());
    assert!(file("rules: {alertmanagers: ['http://a:9093']}", &[]).is_some());
    let made = file("rules: {alertmanagers: ['http://a:9093']}", &[]).unwrap();
    let text = made.data.unwrap().remove("rules.yaml").unwrap();
    assert!(crate::rules::parse(&text).unwrap().rules.iter().any(|rule| rule.name == "NoetlComponentDown"));
}

#[test]
fn golden_scrape_kinds() {
    let mut text = String::new();
    for kind in crate::operator::kinds::SCRAPE_ORDER {
        let checked = checked("{agent: {scrape: {object: true, ports: [metrics, '9102']}}}", &[*kind]);
        let Resources { scrape, scrape_pods, .. } = build(&checked);
        assert!(scrape.is_some());
        for (_, object) in scrape.iter().chain(&scrape_pods) {
            let _ = write!(text, "---\n{}", serde_yaml::to_string(object).expect("YAML"));
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/operator/build/golden/scrape-kinds.yaml");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).expect("a writable golden file");
    }
    assert!(text == std::fs::read_to_string(&path).unwrap_or_default(), "scrape-kinds.yaml differs");
}

#[test]
fn pods_of_other_namespaces_are_for_their_owners_to_give() {
    let of = |namespaces: &str| {
        let spec = format!("agent: {{scrape: {{object: true, namespaces: {namespaces}}}}}");
        let mut checked = checked(&spec, &[Kind::PodMonitor]);
        checked.agent_cluster_role = Some("noetl-metrics-agent".to_owned());
        build(&checked)
    };
    let foreign = of("[workflows]");
    assert!(foreign.agent_role.is_none() && foreign.scrape_pods.is_none());
    let both = of("[noetl, workflows]");
    let (_, object) = both.scrape_pods.unwrap();
    assert!(object["spec"].get("namespaceSelector").is_none(), "its own namespace alone: {object}");
    assert_eq!(both.agent_role.unwrap().metadata.namespace.as_deref(), Some("noetl"));
}

#[test]
fn scrape_objects_name_a_port_that_the_container_has() {
    let resources = build(&checked("{}", ALL));
    let server = serde_json::to_value(&resources.server).unwrap();
    let ports = &server["spec"]["template"]["spec"]["containers"][0]["ports"];
    let (_, scrape) = resources.scrape.unwrap();
    for endpoint in scrape["spec"]["podMetricsEndpoints"].as_array().unwrap() {
        assert_eq!(endpoint["port"], ports[0]["name"]);
        assert!(endpoint.get("portNumber").is_none() && endpoint.get("targetPort").is_none());
    }
}

#[test]
fn parts_of_the_data_are_targets_that_differ_and_series_that_do_not() {
    for kind in [Kind::VMPodScrape, Kind::VMServiceScrape, Kind::PodMonitor, Kind::ServiceMonitor] {
        let of = |spec: &str| build(&checked(spec, &[kind])).scrape.unwrap().1;
        let whole = of("{}");
        let list = if whole["spec"]["endpoints"].is_array() { "endpoints" } else { "podMetricsEndpoints" };
        assert_eq!(whole["spec"][list].as_array().unwrap().len(), 2);
        assert_eq!(whole["spec"][list][0].get("params"), None);
        let is_vm = matches!(kind, Kind::VMPodScrape | Kind::VMServiceScrape);
        let limit = is_vm.then(|| serde_json::json!("256MiB"));
        assert_eq!(whole["spec"][list][0].get("max_scrape_size"), limit.as_ref());
        let (target, series) = if is_vm {
            ("relabelConfigs", "metricRelabelConfigs")
        } else {
            ("relabelings", "metricRelabelings")
        };
        let parts = of("{scrape: {shards: 3}}")["spec"][list].as_array().unwrap().clone();
        assert_eq!(parts.len(), 4);
        for (index, part) in parts[..3].iter().enumerate() {
            let shard = format!("{}/3", index + 1);
            assert_eq!(part["params"], serde_json::json!({"shard": [shard]}));
            let last = |list: &str| part[list].as_array().unwrap().last().unwrap().clone();
            assert_eq!(last(target)["replacement"], shard.as_str());
            assert_eq!(last(series)["action"], "labeldrop");
            assert_eq!(last(series)["regex"], last(target)["targetLabel"]);
        }
        assert_eq!(parts[3], whole["spec"][list][1], "each server's own metrics are one");
    }
}

#[test]
fn scrapers_send_a_token_where_reading_needs_one() {
    let sent = |spec: &str, kind: Kind| {
        let (_, object) = build(&checked(spec, &[kind])).scrape.unwrap();
        let list = if kind == Kind::PodMonitor || kind == Kind::VMPodScrape {
            "podMetricsEndpoints"
        } else {
            "endpoints"
        };
        let endpoints = object["spec"][list].as_array().unwrap().clone();
        endpoints
            .into_iter()
            .map(|e| (e["bearerTokenFile"].clone(), e["authorization"]["credentials"].clone()))
            .collect::<Vec<_>>()
    };
    let file = serde_json::json!("/var/run/secrets/kubernetes.io/serviceaccount/token");
    let required = "server: {auth: {read: Required, review: true}}";
    let secret = "{server: {auth: {read: Required}}, scrape: {tokenSecretRef: {name: s, key: k}}}";
    for kind in [Kind::VMPodScrape, Kind::VMServiceScrape, Kind::PodMonitor, Kind::ServiceMonitor] {
        assert_eq!(sent("{}", kind), vec![(Value::Null, Value::Null); 2], "{kind:?}");
        let own = if kind == Kind::PodMonitor { Value::Null } else { file.clone() };
        assert_eq!(sent(required, kind), vec![(own, Value::Null); 2], "{kind:?}");
        let key = serde_json::json!({"name": "s", "key": "k"});
        assert_eq!(sent(secret, kind), vec![(Value::Null, key); 2], "{kind:?}");
    }
}

#[test]
fn golden_tls() {
    let spec = "{scrape: {kind: PodMonitoring}, rules: {kind: None}, networkPolicy: {enabled: false}, server: {tls: {secretName: servers, \
        clientSecretName: callers, issuerRef: {name: inner, kind: ClusterIssuer}}}}";
    golden("tls.yaml", &checked(spec, &[Kind::PodMonitoring, Kind::Certificate]));
}

#[test]
fn scrapers_verify_servers_by_the_service_s_name_and_show_a_certificate_where_one_is_needed() {
    let endpoint = |spec: &str, kind: Kind| {
        let (_, object) = build(&checked(spec, &[kind])).scrape.unwrap();
        let spec = &object["spec"];
        let list = if spec["endpoints"].is_array() { "endpoints" } else { "podMetricsEndpoints" };
        let both = spec[list].as_array().unwrap().clone();
        assert_eq!(both[0]["tlsConfig"], both[1]["tlsConfig"]);
        both[0].clone()
    };
    for kind in [Kind::VMPodScrape, Kind::VMServiceScrape, Kind::PodMonitor, Kind::ServiceMonitor] {
        let plain = endpoint("{}", kind);
        assert!(plain.get("scheme").is_none() && plain.get("tlsConfig").is_none());
        let one = endpoint("{server: {tls: {secretName: s}}}", kind);
        let ca = serde_json::json!({"secret": {"name": "s", "key": "ca.crt"}});
        let expected = serde_json::json!({"ca": ca, "serverName": "noetl-server.noetl.svc"});
        assert_eq!((&one["scheme"], &one["tlsConfig"]), (&serde_json::json!("https"), &expected));
        let both = endpoint("{server: {tls: {secretName: s, clientSecretName: c}}}", kind);
        assert_eq!(both["tlsConfig"]["cert"], serde_json::json!({"secret": {"name": "c", "key": "tls.crt"}}));
        assert_eq!(both["tlsConfig"]["keySecret"], serde_json::json!({"name": "c", "key": "tls.key"}));
    }
}

#[test]
fn only_servers_have_their_key_and_cert_manager_is_asked_only_where_it_is_wanted_and_there() {
    let of = |spec: &str, kinds: &[Kind]| build(&checked(spec, kinds));
    let issued = "{server: {tls: {secretName: s, issuerRef: {name: i}}}}";
    assert_eq!(of("{server: {tls: {secretName: s}}}", &[Kind::Certificate]).certificates.len(), 0);
    assert_eq!(of(issued, &[]).certificates.len(), 0);
    let resources = of(issued, &[Kind::Certificate]);
    let [(Kind::Certificate, certificate)] = &resources.certificates[..] else { panic!("one") };
    assert_eq!(certificate["spec"]["issuerRef"]["kind"], "Issuer");
    let agent = resources.agent.unwrap().spec.unwrap().template.spec.unwrap();
    let keys: Vec<_> = agent
        .volumes
        .unwrap()
        .into_iter()
        .filter_map(|volume| volume.secret)
        .flat_map(|secret| secret.items.unwrap())
        .map(|item| item.key)
        .collect();
    assert_eq!(keys, ["ca.crt"]);
}

#[test]
fn an_autoscaler_keeps_the_replicas() {
    let resources = build(&checked("{server: {autoscaling: {enabled: true}}}", ALL));
    assert_eq!(resources.server.spec.unwrap().replicas, None);
    assert_eq!(build(&checked("{}", ALL)).server.spec.unwrap().replicas, Some(2));
}

#[test]
fn a_change_of_configuration_changes_the_pods() {
    let template = |spec: &str| build(&checked(spec, ALL)).server.spec.unwrap().template;
    let hash = |spec: &str| {
        template(spec).metadata.unwrap().annotations.unwrap()["metrics.noetl.io/config-hash"].clone()
    };
    assert_ne!(hash("{}"), hash("{server: {staleAfter: 10m}}"));
    assert_eq!(hash("{}"), hash("{server: {replicas: 5}}"));
    assert_eq!(template("{}"), template("{server: {replicas: 5}, retention: {raw: 30d}}"));
}

#[test]
fn the_same_resource_gives_the_same_objects() {
    assert_eq!(documents(build(&checked("{}", ALL))), documents(build(&checked("{}", ALL))));
}

#[test]
fn no_user_label_moves_a_pod_out_of_its_selector() {
    let spec = "{server: {pod: {labels: {team: metrics, 'app.kubernetes.io/name': other}}}}";
    let labels = build(&checked(spec, ALL)).server.spec.unwrap().template.metadata.unwrap().labels.unwrap();
    assert_eq!(labels["app.kubernetes.io/name"], "noetl-metrics");
    assert_eq!(labels["team"], "metrics");
}

#[test]
fn nothing_holds_a_null() {
    fn nulls(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(items) => items.iter().any(nulls),
            Value::Object(fields) => fields.values().any(nulls),
            _ => false,
        }
    }
    for document in documents(build(&checked("{}", ALL))).split("---\n").skip(1) {
        let value: Value = serde_yaml::from_str(document).unwrap();
        assert!(!nulls(&value), "{document}");
    }
}

#[test]
fn a_spool_is_a_directory_of_the_resource_that_the_agent_may_write_in() {
    let pod = |spec: &str| build(&checked(spec, ALL)).agent.unwrap().spec.unwrap().template.spec.unwrap();
    let with = pod("{agent: {spool: {size: 128MiB}}}");
    let volume = with.volumes.unwrap().into_iter().find(|volume| volume.name == "spool").unwrap();
    let host_path = volume.host_path.unwrap();
    assert_eq!(host_path.path, "/var/lib/noetl-metrics/spool/noetl/noetl");
    assert_eq!(host_path.type_.as_deref(), Some("DirectoryOrCreate"));
    let args = with.containers[0].args.clone().unwrap();
    for arg in ["--spool-dir=/var/lib/noetl-metrics/spool", "--spool-max-size=128MiB"] {
        assert!(args.iter().any(|given| given == arg), "{arg}");
    }
    // The step that opens the directory is root without any capability, and sees nothing else.
    let [init] = with.init_containers.unwrap().try_into().unwrap();
    let security = init.security_context.unwrap();
    assert_eq!((security.run_as_user, security.run_as_group), (Some(0), Some(pod::USER)));
    let capabilities = security.capabilities.unwrap();
    assert_eq!((capabilities.add, capabilities.drop.unwrap()), (None, vec!["ALL".to_owned()]));
    assert_eq!(security.allow_privilege_escalation, Some(false));
    assert_eq!(security.read_only_root_filesystem, Some(true));
    let mounts: Vec<_> = init.volume_mounts.unwrap().into_iter().map(|mount| mount.name).collect();
    assert_eq!(mounts, ["spool"]);

    let without = pod("{agent: {spool: {enabled: false}}}");
    assert!(without.init_containers.is_none());
    assert!(without.volumes.unwrap().iter().all(|volume| volume.name != "spool"));
    assert!(without.containers[0].args.as_ref().unwrap().iter().all(|arg| !arg.contains("spool")));
}

#[test]
fn every_pod_is_restricted() {
    let resources = build(&checked("{}", ALL));
    let pods = [
        resources.server.spec.unwrap().template.spec.unwrap(),
        resources.agent.unwrap().spec.unwrap().template.spec.unwrap(),
        resources.migrate.spec.unwrap().template.spec.unwrap(),
        resources.retention.spec.unwrap().job_template.spec.unwrap().template.spec.unwrap(),
    ];
    for pod in pods {
        let security = pod.security_context.unwrap();
        assert_eq!(security.run_as_non_root, Some(true));
        assert_eq!(security.seccomp_profile.unwrap().type_, "RuntimeDefault");
        let container = pod.containers.into_iter().next().unwrap();
        let own = container.security_context.unwrap();
        assert_eq!(
            (own.read_only_root_filesystem, own.allow_privilege_escalation),
            (Some(true), Some(false))
        );
        // What the node has is read, but for the directory that is the agent's own.
        let mounts = container.volume_mounts.unwrap();
        assert!(mounts.iter().all(|mount| mount.read_only == Some(true) || mount.name == "spool"));
        assert!(container.resources.unwrap().requests.is_some());
    }
}
