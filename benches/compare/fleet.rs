//! The components and series that both sides of a measurement get: as JSON reports whose times and
//! values are overwritten in place, as rows, and as text exposition.
//!
//! A component has ten metrics of a hundred label sets each, with four labels, help and unit, as
//! the documentation's example has them; about 145 bytes a line in the exposition.

use noetl_metrics::model::Millis;

use crate::remote;

/// Name, type, help and unit of the metrics that every component reports.
const METRICS: [(&str, &str, &str, &str); 10] = [
    ("bench_step_duration_seconds", "gauge", "How long the last run of the step took", "seconds"),
    ("bench_step_runs_total", "counter", "Runs of the step since the start", "runs"),
    ("bench_step_queue_wait_seconds", "gauge", "How long the last run waited in its queue", "seconds"),
    ("bench_step_failures_total", "counter", "Runs of the step that failed", "runs"),
    ("bench_step_memory_used_bytes", "gauge", "Memory of the step's last run", "bytes"),
    ("bench_step_retries_total", "counter", "Runs of the step that were tried again", "runs"),
    ("bench_step_cpu_usage_percent", "gauge", "CPU of the step's last run", "percent"),
    ("bench_step_rows_read_total", "counter", "Rows that the step read", "rows"),
    ("bench_step_open_connections", "gauge", "Connections that the step holds", "connections"),
    ("bench_step_rows_written_total", "counter", "Rows that the step wrote", "rows"),
];

/// Series of one component.
pub(crate) const COMPONENT_SERIES: usize = 1000;
/// Kind of the components.
pub(crate) const KIND: &str = "worker_pool";
/// Characters kept free for a value; JSON and the exposition both allow spaces before it.
const VALUE_WIDTH: usize = 10;
/// Characters of a time such as `2026-01-01T00:00:00.000Z`.
const TIME_WIDTH: usize = 24;
/// Time between two samples of a series. Small, so that the fastest run stays within the hours
/// that have a partition.
const STEP_MS: i64 = 100;
/// The first samples are this old: young enough that an hour which has just ended still takes them,
/// as those of live reporters are.
const BEGIN_MS: i64 = 4 * 60 * 1000;

/// One series, by its number in the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Series(pub(crate) usize);

impl Series {
    fn metric(self) -> (&'static str, &'static str, &'static str, &'static str) {
        METRICS[self.0 % METRICS.len()]
    }

    /// Metric name.
    pub(crate) fn name(self) -> &'static str {
        self.metric().0
    }

    /// Metric type.
    pub(crate) fn kind(self) -> &'static str {
        self.metric().1
    }

    /// Help text.
    pub(crate) fn help(self) -> &'static str {
        self.metric().2
    }

    /// Unit.
    pub(crate) fn unit(self) -> &'static str {
        self.metric().3
    }

    /// Name of its component.
    pub(crate) fn component(self) -> String {
        component(self.0 / COMPONENT_SERIES)
    }

    /// Labels as the members of a JSON object.
    pub(crate) fn labels_json(self) -> String {
        let [node, queue, status, step] = self.labels();
        format!(r#"{{"node":"{node}","queue":"{queue}","status":"{status}","step":"{step}"}}"#)
    }

    /// The line of the exposition up to the value, without a space.
    pub(crate) fn line(self) -> String {
        let [node, queue, status, step] = self.labels();
        let (name, component) = (self.name(), self.component());
        format!(
            r#"{name}{{component="{component}",component_type="{KIND}",node="{node}",queue="{queue}",status="{status}",step="{step}"}}"#
        )
    }

    fn labels(self) -> [String; 4] {
        let (component, set) = (self.0 / COMPONENT_SERIES, self.0 % COMPONENT_SERIES / METRICS.len());
        let status = if set.is_multiple_of(10) { "failed" } else { "ok" };
        [
            format!("node-{:03}", component % 200),
            format!("queue-{:02}", set % 20),
            status.to_owned(),
            format!("step-{set:04}"),
        ]
    }

    /// Writes the value at a tick, right-aligned: whole numbers for counters, two decimals for
    /// gauges. It differs from tick to tick.
    fn write_value(self, tick: u64, out: &mut [u8]) {
        let number = self.0 as u64;
        out.fill(b' ');
        if self.kind() == "counter" {
            write_digits(out, number % 1000 + tick * (1 + number % 7));
        } else {
            let (whole, end) = out.split_at_mut(VALUE_WIDTH - 3);
            let hundredths = (number * 37 + tick * 7919) % 1_000_000;
            write_digits(whole, hundredths / 100);
            end[0] = b'.';
            end[1] = b'0' + (hundredths / 10 % 10) as u8;
            end[2] = b'0' + (hundredths % 10) as u8;
        }
    }

    /// The value at a tick, which is what [`Self::write_value`] writes.
    pub(crate) fn value(self, tick: u64) -> f64 {
        let number = self.0 as u64;
        if self.kind() == "counter" {
            (number % 1000 + tick * (1 + number % 7)) as f64
        } else {
            ((number * 37 + tick * 7919) % 1_000_000) as f64 / 100.0
        }
    }

    /// Names and values of its labels, sorted, as a sender of remote write has them.
    pub(crate) fn written_labels(self) -> Vec<(&'static str, String)> {
        let [node, queue, status, step] = self.labels();
        vec![
            ("__name__", self.name().to_owned()),
            ("component", self.component()),
            ("component_type", KIND.to_owned()),
            ("node", node),
            ("queue", queue),
            ("status", status),
            ("step", step),
        ]
    }
}

/// Digits, right-aligned.
fn write_digits(out: &mut [u8], mut number: u64) {
    for slot in out.iter_mut().rev() {
        *slot = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
}

fn component(index: usize) -> String {
    format!("worker-{index:04}")
}

/// A whole HTTP request with one report, of which times and values are overwritten in place.
pub(crate) struct Report {
    /// Head and body.
    pub(crate) request: Vec<u8>,
    /// The body of one by remote write before it is compressed; nothing of a JSON report.
    written: Option<Vec<u8>>,
    first: usize,
    times: Vec<usize>,
    values: Vec<usize>,
}

impl Report {
    fn new(series: std::ops::Range<usize>) -> Self {
        let mut body = format!(
            r#"{{"component_name":"{}","component_type":"{KIND}","metrics":["#,
            Series(series.start).component()
        );
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for number in series.clone() {
            let one = Series(number);
            let comma = if number == series.start { "" } else { "," };
            let (name, kind) = (one.name(), one.kind());
            body += &format!(r#"{comma}{{"metric_name":"{name}","metric_type":"{kind}","metric_value":"#);
            values.push(body.len());
            body += &" ".repeat(VALUE_WIDTH);
            body += r#","timestamp":""#;
            times.push(body.len());
            body += &" ".repeat(TIME_WIDTH);
            let (labels, help, unit) = (one.labels_json(), one.help(), one.unit());
            body += &format!(r#"","labels":{labels},"help_text":"{help}","unit":"{unit}"}}"#);
        }
        body += "]}";
        let head = format!(
            "POST /api/metrics/report HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let shift = |places: Vec<usize>| places.into_iter().map(|at| at + head.len()).collect();
        let (times, values) = (shift(times), shift(values));
        Self { request: (head + &body).into_bytes(), written: None, first: series.start, times, values }
    }

    fn written(series: std::ops::Range<usize>) -> Self {
        let body = remote::body(series.clone());
        let (times, values) = (body.times, body.values);
        Self { request: Vec::new(), written: Some(body.bytes), first: series.start, times, values }
    }

    /// Puts time and values of a tick in.
    pub(crate) fn set(&mut self, begin: i64, tick: u64) {
        if let Some(body) = &mut self.written {
            let at = remote::time(millis_of(begin, tick));
            for (index, (time, value)) in self.times.iter().zip(&self.values).enumerate() {
                body[*time..*time + at.len()].copy_from_slice(&at);
                body[*value..*value + 8]
                    .copy_from_slice(&Series(self.first + index).value(tick).to_le_bytes());
            }
            remote::pack(body, &mut self.request);
            return;
        }
        let at = time_of(begin, tick);
        for (index, (time, value)) in self.times.iter().zip(&self.values).enumerate() {
            self.request[*time..*time + TIME_WIDTH].copy_from_slice(at.as_bytes());
            Series(self.first + index).write_value(tick, &mut self.request[*value..*value + VALUE_WIDTH]);
        }
    }

    /// Samples in it.
    pub(crate) fn samples(&self) -> usize {
        self.times.len()
    }
}

/// Components, their series, and the reports that carry a sample of each.
pub(crate) struct Fleet {
    /// Series in all.
    pub(crate) series: usize,
    /// Reports that together hold every series once.
    pub(crate) reports: Vec<Report>,
    /// The next tick; every series gets one sample a tick.
    pub(crate) tick: u64,
    begin: i64,
}

impl Fleet {
    /// A fleet of `series`, reported `report_samples` at a time.
    pub(crate) fn new(series: usize, report_samples: usize) -> Self {
        let starts = (0..series).step_by(report_samples);
        let reports = starts.map(|at| Report::new(at..(at + report_samples).min(series))).collect();
        Self { series, reports, tick: 0, begin: Millis::now().0 - BEGIN_MS }
    }

    /// The same by remote write.
    pub(crate) fn written(series: usize, request_samples: usize) -> Self {
        let starts = (0..series).step_by(request_samples);
        let reports = starts.map(|at| Report::written(at..(at + request_samples).min(series))).collect();
        Self { series, reports, tick: 0, begin: Millis::now().0 - BEGIN_MS }
    }

    /// The same series in reports of another size, going on where this one is.
    pub(crate) fn in_reports_of(&self, samples: usize) -> Self {
        Self { tick: self.tick, begin: self.begin, ..Self::new(self.series, samples) }
    }

    /// Where the clock of the samples begins, for [`time_of`].
    pub(crate) fn begin(&self) -> i64 {
        self.begin
    }

    /// Text exposition of the series `numbers` with their values at a tick, as Pushgateway takes it.
    pub(crate) fn exposition(numbers: std::ops::Range<usize>, tick: u64) -> String {
        let mut text = String::new();
        for (at, (name, kind, help, _)) in METRICS.iter().enumerate() {
            text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
            for number in numbers.clone().filter(|n| n % METRICS.len() == at) {
                text += &format!("{} {}\n", Series(number).line(), Series(number).value(tick));
            }
        }
        text
    }
}

/// Time of a tick, in milliseconds since 1970.
pub(crate) fn millis_of(begin: i64, tick: u64) -> i64 {
    begin + i64::try_from(tick).unwrap_or(0) * STEP_MS
}

/// Time of a tick as reports write it.
fn time_of(begin: i64, tick: u64) -> String {
    Millis(millis_of(begin, tick)).rfc3339()
}
