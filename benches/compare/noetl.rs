//! The metrics of a NoETL worker, as many families and series as a real one has.

use std::fmt::Write as _;

/// Bounds of a histogram's buckets.
const BOUNDS: [&str; 13] =
    ["0.001", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];
/// Families of which nothing is kept unless asked for, as counters and histograms.
const INSIDES: [&str; 6] = [
    "materializer",
    "result_materializer",
    "result_store",
    "state_builder",
    "state_materializer",
    "state_shard",
];

/// One worker's `/metrics`, about 280 series.
pub(crate) fn worker() -> String {
    let mut text = String::new();
    for (name, labels) in [
        ("noetl_worker_concurrent_dispatches", ""),
        ("noetl_worker_ready", ""),
        ("noetl_worker_nats_consumer_pending", "{consumer=\"worker-pool\",stream=\"noetl_commands\"}"),
        ("noetl_worker_nats_consumer_ack_pending", "{consumer=\"worker-pool\",stream=\"noetl_commands\"}"),
    ] {
        let _ = writeln!(text, "# HELP {name} A gauge.\n# TYPE {name} gauge\n{name}{labels} 3");
    }
    counter(&mut text, "noetl_worker_pulls_total", "{outcome=\"claimed\"}");
    histogram(&mut text, "noetl_worker_pull_duration_seconds", &[""]);
    let tools = ["tool_kind=\"noop\",", "tool_kind=\"python\",", "tool_kind=\"rhai\","];
    histogram(&mut text, "noetl_worker_dispatch_duration_seconds", &tools);
    let events =
        ["event_type=\"call.done\",", "event_type=\"command.completed\",", "event_type=\"command.started\","];
    histogram(&mut text, "noetl_worker_event_emit_duration_seconds", &events);
    for inside in INSIDES {
        for what in ["drained", "rows", "errors"] {
            counter(&mut text, &format!("noetl_worker_{inside}_{what}_total"), "");
        }
        histogram(&mut text, &format!("noetl_worker_{inside}_cycle_duration_seconds"), &[""]);
    }
    text
}

fn counter(text: &mut String, name: &str, labels: &str) {
    let _ = writeln!(text, "# HELP {name} A counter.\n# TYPE {name} counter\n{name}{labels} 19");
}

/// A histogram with one set of series for each of `labels`, which end in a comma or are nothing.
fn histogram(text: &mut String, name: &str, labels: &[&str]) {
    let _ = writeln!(text, "# HELP {name} A histogram.\n# TYPE {name} histogram");
    for label in labels {
        for (count, bound) in BOUNDS.iter().enumerate() {
            let _ = writeln!(text, "{name}_bucket{{{label}le=\"{bound}\"}} {count}");
        }
        let own = label.trim_end_matches(',');
        let own = if own.is_empty() { String::new() } else { format!("{{{own}}}") };
        let _ = writeln!(text, "{name}_sum{own} 5.25\n{name}_count{own} 12");
    }
}
