//! The alert rules, with the spec's thresholds, and recording rules of its aggregates. VMRule and
//! PrometheusRule have the same form.

use serde_json::{Value, json};

use super::scrape::{DATA_JOB, OWN_JOB, instance, object};
use crate::crd::CustomRule;
use crate::operator::kinds::Kind;
use crate::operator::validate::Checked;
use crate::rules::{Aggregate, Rule};

struct Alert {
    name: &'static str,
    expr: String,
    hold: String,
    severity: &'static str,
    summary: &'static str,
    description: String,
}

/// The rules object.
pub(super) fn rules(checked: &Checked, kind: Kind) -> Value {
    let mut alerts = of_the_servers(checked);
    alerts.extend(of_the_data(checked));
    let own = &checked.own_rules;
    // The rules of a group are evaluated in their order.
    let mut rules: Vec<_> = own.aggregates.iter().map(|one| recording(checked, one)).collect();
    rules.extend(alerts.iter().map(|alert| rule(checked, alert)));
    let custom = own.rules.iter().zip(&checked.spec.rules.custom);
    rules.extend(custom.map(|(rule, written)| custom_rule(checked, rule, written)));
    let group = format!("noetl-metrics-{}-{}", checked.namespace, checked.names.instance);
    let spec = json!({"groups": [{"name": group, "rules": rules}]});
    object(checked, kind, &checked.names.alerts, &checked.spec.rules.labels, &spec)
}

fn rule(checked: &Checked, alert: &Alert) -> Value {
    json!({
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.hold,
        "labels": {"severity": alert.severity, "noetl_metrics": instance(checked)},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook": format!("docs/runbooks/{}.md", alert.name),
        },
    })
}

/// An aggregate of the spec. It has the label by which alerts of this resource are told from others.
fn recording(checked: &Checked, aggregate: &Aggregate) -> Value {
    json!({
        "record": aggregate.name,
        "expr": aggregate.promql(&of_resource(checked, &aggregate.metric)),
        "labels": {"noetl_metrics": instance(checked)},
    })
}

/// What selects the series of a metric that this resource's servers export, or that is made of them.
fn of_resource(checked: &Checked, metric: &str) -> String {
    if checked.own_rules.aggregates.iter().any(|one| one.name == metric) {
        format!(r#"noetl_metrics="{}""#, instance(checked))
    } else if metric.starts_with("noetl_metrics_") {
        own(checked)
    } else {
        data(checked)
    }
}

/// A rule of the spec.
fn custom_rule(checked: &Checked, rule: &Rule, written: &CustomRule) -> Value {
    let mut made = json!({
        "alert": rule.name,
        "expr": rule.promql(&of_resource(checked, &rule.metric)),
        "labels": {"severity": rule.severity, "noetl_metrics": instance(checked)},
    });
    let texts =
        [("summary", &written.summary), ("description", &written.description), ("runbook", &written.runbook)];
    for (name, text) in texts.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?))) {
        made["annotations"][name] = json!(text);
    }
    for (field, time) in [("for", &written.for_), ("keep_firing_for", &written.keep_firing_for)] {
        if let Some(time) = time {
            made[field] = json!(time);
        }
    }
    made
}

/// A certificate that ends in less than three days should have been renewed.
const CERTIFICATE_ENDING: u32 = 3 * 86_400;

/// What selects the servers' own metrics.
fn own(checked: &Checked) -> String {
    let (namespace, server) = (&checked.namespace, &checked.names.server);
    format!(r#"job="{OWN_JOB}",namespace="{namespace}",pod=~"{server}-.+""#)
}

/// What selects the data that they export.
fn data(checked: &Checked) -> String {
    format!(r#"job="{DATA_JOB}",instance="{}""#, instance(checked))
}

fn of_the_servers(checked: &Checked) -> Vec<Alert> {
    let rules = &checked.spec.rules;
    let own = own(checked);
    let most = checked.spec.server.limits.series;
    let percent = rules.series_percent;
    vec![
        Alert {
            name: "NoetlMetricsServerDown",
            expr: format!("up{{{own}}} == 0"),
            hold: "5m".to_owned(),
            severity: "warning",
            summary: "A server of NoETL Metrics cannot be scraped",
            description: "{{ $labels.pod }} has not answered for five minutes.".to_owned(),
        },
        Alert {
            name: "NoetlMetricsNoActiveServer",
            expr: format!("sum(noetl_metrics_active{{{own}}}) < 1 or absent(noetl_metrics_active{{{own}}})"),
            hold: "2m".to_owned(),
            severity: "critical",
            summary: "No server of NoETL Metrics is active",
            description: format!(
                "No server of {} takes reports: nothing is stored or exported.",
                instance(checked)
            ),
        },
        Alert {
            name: "NoetlMetricsCommitFailing",
            expr: format!("increase(noetl_metrics_commit_failures_total{{{own}}}[5m]) > 0"),
            hold: "5m".to_owned(),
            severity: "critical",
            summary: "Reports cannot be committed",
            description:
                "{{ $labels.pod }} fails to write to PostgreSQL: reporters are turned away and retry."
                    .to_owned(),
        },
        Alert {
            name: "NoetlMetricsReportsRejected",
            expr: format!(
                "sum by (field) (increase(noetl_metrics_samples_rejected_total{{{own}}}[15m])) > 0"
            ),
            hold: "15m".to_owned(),
            severity: "warning",
            summary: "Samples are rejected",
            description: "Somebody reports samples whose {{ $labels.field }} breaks a rule.".to_owned(),
        },
        Alert {
            name: "NoetlMetricsSeriesLimitNear",
            expr: format!("max(noetl_metrics_live_series{{{own}}}) > {most} * {percent} / 100"),
            hold: rules.for_.clone(),
            severity: "warning",
            summary: "The limit of series is near",
            description: format!(
                "{} has {{{{ $value }}}} live series of {most}; new ones beyond that are refused.",
                instance(checked)
            ),
        },
        Alert {
            name: "NoetlMetricsCertificateEnding",
            expr: format!(
                "noetl_metrics_tls_certificate_not_after_seconds{{{own}}} - time() < {CERTIFICATE_ENDING} \
                 or noetl_agent_tls_certificate_not_after_seconds{{{}}} - time() < {CERTIFICATE_ENDING}",
                data(checked)
            ),
            hold: "15m".to_owned(),
            severity: "warning",
            summary: "A certificate ends soon and was not renewed",
            description: "The certificate of {{ $labels.pod }}{{ $labels.component }} ends in {{ $value | humanizeDuration }}: then nobody connects to it, or it to nobody."
                .to_owned(),
        },
        Alert {
            name: "NoetlMetricsRetentionFailing",
            expr: r#"max(noetl_metrics_operator_resources{condition="RetentionHealthy",status="false"}) > 0"#
                .to_owned(),
            hold: "15m".to_owned(),
            severity: "warning",
            summary: "Old samples are not dropped",
            description: "The last run of retention failed; the status of the NoetlMetrics says why."
                .to_owned(),
        },
    ]
}

fn of_the_data(checked: &Checked) -> Vec<Alert> {
    let rules = &checked.spec.rules;
    let data = data(checked);
    let node = format!(r#"{data},component_type="node_agent""#);
    let alert = |name, expr, hold: &String, severity, summary, description: &str| Alert {
        name,
        expr,
        hold: hold.clone(),
        severity,
        summary,
        description: description.to_owned(),
    };
    vec![
        alert(
            "NoetlMetricsAgentMissing",
            format!("noetl_component_up{{{node}}} == 0"),
            &rules.component_down_for,
            "warning",
            "A node's agent is silent",
            "The agent of node {{ $labels.component }} does not report.",
        ),
        alert(
            "NoetlComponentDown",
            format!(r#"noetl_component_up{{{data},component_type!="node_agent"}} == 0"#),
            &rules.component_down_for,
            "critical",
            "A component of NoETL is silent",
            "{{ $labels.component }} ({{ $labels.component_type }}) does not report.",
        ),
        alert(
            "NoetlNodeCpuHigh",
            format!("noetl_system_cpu_usage_percent{{{node}}} > {}", rules.node_cpu_percent),
            &rules.for_,
            "warning",
            "A node's CPU is busy",
            "CPU of {{ $labels.component }} is at {{ $value }} percent.",
        ),
        alert(
            "NoetlNodeMemoryHigh",
            format!("noetl_system_memory_usage_percent{{{node}}} > {}", rules.node_memory_percent),
            &rules.for_,
            "warning",
            "A node's memory is nearly used up",
            "Memory of {{ $labels.component }} is at {{ $value }} percent.",
        ),
        alert(
            "NoetlNodeFilesystemFull",
            format!(
                "100 - 100 * node_filesystem_avail_bytes{{{node}}} / node_filesystem_size_bytes{{{node}}} > {}",
                rules.node_filesystem_percent
            ),
            &rules.for_,
            "warning",
            "A file system is nearly full",
            "{{ $labels.mountpoint }} of {{ $labels.component }} is at {{ $value }} percent.",
        ),
        alert(
            "NoetlQueueGrowing",
            format!(
                "min_over_time(noetl_worker_queue_size{{{data}}}[10m]) > 0 and deriv(noetl_worker_queue_size{{{data}}}[10m]) > 0"
            ),
            &rules.for_,
            "warning",
            "A queue grows",
            "The queue of {{ $labels.component }} grows and is not worked off.",
        ),
    ]
}
