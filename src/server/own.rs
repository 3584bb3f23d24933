//! `/metrics`: what this process does, by the crate `prometheus`. All label sets are closed.

use std::ops::Add as _;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

use super::App;
use super::core::Core;
use super::reply::Reply;
use super::tls::{Failure, Tls};
use crate::tls::ClientTls;
use crate::wire::report::Rejected;

/// Fields that a rejection is counted under; any other is `other`.
const FIELDS: &[&str] = &[
    "metric_name",
    "metric_type",
    "metric_value",
    "timestamp",
    "labels",
    "help_text",
    "unit",
    "buckets",
    "quantiles",
    "exemplars",
    "histograms",
];

/// The process's own metrics.
pub(super) struct OwnMetrics {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    accepted: IntCounter,
    rejected: IntCounterVec,
    limited: IntCounterVec,
    handshakes: IntCounterVec,
}

impl OwnMetrics {
    /// All at 0; those of TLS where it is spoken.
    pub(super) fn new(with_tls: bool) -> Self {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new("noetl_metrics_http_requests_total", "HTTP requests answered."),
            &["path", "method", "code"],
        );
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "noetl_metrics_http_request_duration_seconds",
                "Time from a request's head to its answer.",
            )
            .buckets(vec![0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]),
            &["path"],
        );
        let accepted = IntCounter::new("noetl_metrics_samples_accepted_total", "Samples committed.");
        let rejected = IntCounterVec::new(
            Opts::new(
                "noetl_metrics_samples_rejected_total",
                "Samples refused, by the field that broke a rule.",
            ),
            &["field"],
        );
        let limited = IntCounterVec::new(
            Opts::new(
                "noetl_metrics_reports_limited_total",
                "Reports refused since their component sends too much, by what it sends too much of.",
            ),
            &["limit"],
        );
        let handshakes = IntCounterVec::new(
            Opts::new(
                "noetl_metrics_tls_handshakes_total",
                "TLS handshakes, by how they ended: ok, or why there is no connection.",
            ),
            &["result"],
        );
        let own = Self {
            requests: kept(&registry, requests),
            seconds: kept(&registry, seconds),
            accepted: kept(&registry, accepted),
            rejected: kept(&registry, rejected),
            limited: kept(&registry, limited),
            handshakes: kept(&registry, handshakes),
            registry,
        };
        for field in FIELDS {
            own.rejected.with_label_values(&[field]);
        }
        for limit in ["samples", "bytes"] {
            own.limited.with_label_values(&[limit]);
        }
        if with_tls {
            own.handshakes.with_label_values(&["ok"]);
            for failure in Failure::ALL {
                own.handshakes.with_label_values(&[failure.reason()]);
            }
        }
        own
    }

    /// A request was answered. `path` is one of the list of endpoints, or empty.
    pub(super) fn answered(&self, path: &'static str, method: &Method, status: StatusCode, took: Duration) {
        let path = if path.is_empty() { "other" } else { path };
        let method = match *method {
            Method::GET | Method::POST | Method::DELETE | Method::HEAD | Method::PUT => method.as_str(),
            _ => "other",
        };
        self.requests.with_label_values(&[path, method, status.as_str()]).inc();
        self.seconds.with_label_values(&[path]).observe(took.as_secs_f64());
    }

    /// Samples were committed.
    pub(super) fn accepted(&self, samples: usize) {
        self.accepted.inc_by(samples as u64);
    }

    /// Samples were refused.
    pub(super) fn rejected(&self, rejected: &[Rejected]) {
        for one in rejected {
            let field = FIELDS.iter().find(|f| **f == one.field).unwrap_or(&"other");
            self.rejected.with_label_values(&[field]).inc();
        }
    }

    /// A report was refused since its component sends too much, of `samples` or `bytes`.
    pub(super) fn limited(&self, limit: &str) {
        self.limited.with_label_values(&[limit]).inc();
    }

    /// A TLS handshake ended.
    pub(super) fn shaken(&self, failure: Option<Failure>) {
        self.handshakes.with_label_values(&[failure.map_or("ok", Failure::reason)]).inc();
    }

    /// Samples committed and refused since the start.
    pub(super) fn samples(&self) -> (u64, u64) {
        let rejected =
            FIELDS.iter().chain(&["other"]).map(|f| self.rejected.with_label_values(&[f]).get()).sum();
        (self.accepted.get(), rejected)
    }

    /// Where metrics of a part of the server are registered.
    pub(super) const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The exposition.
    pub(super) fn render(&self, app: &App) -> Reply {
        let mut body = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.families(app), &mut body) {
            tracing::warn!(%error, "the process's own metrics could not be written");
        }
        Reply::new("text/plain; version=0.0.4; charset=utf-8", body)
    }

    /// All metrics as they are now, by name.
    pub(super) fn families(&self, app: &App) -> Vec<MetricFamily> {
        let moment = Moment::default();
        let gauge = |name: &str, help: &str, value: i64| moment.gauge(name, help, value);
        let build = Opts::new("noetl_metrics_build_info", "1, with the version as a label.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        if let Ok(build) = IntGauge::with_opts(build) {
            build.set(1);
            let _ = moment.0.register(Box::new(build));
        }
        gauge(
            "noetl_metrics_start_time_seconds",
            "Start of the process, seconds since the epoch.",
            app.started.0 / 1000,
        );
        of_tls(app, &moment);
        let epoch = app.held.lock().as_ref().map(|(tenure, _)| tenure.epoch).filter(|_| !app.lease_is_over());
        gauge("noetl_metrics_active", "Whether this server is the active one.", i64::from(epoch.is_some()));
        if let Some(epoch) = epoch {
            gauge("noetl_metrics_lease_epoch", "Counts the take-overs; of the active server.", epoch);
        }
        gauge("noetl_metrics_ready", "Whether the server can do its work.", i64::from(app.core().is_ok()));
        gauge(
            "noetl_metrics_samples_rejected_recently",
            "Samples refused over the last quarter of an hour.",
            i64::try_from(app.rates.rejected_recently()).unwrap_or(i64::MAX),
        );
        if let Ok(core) = app.core() {
            of_core(&core, &moment);
        }
        let mut families = self.registry.gather();
        families.extend(moment.0.gather());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        families
    }
}

/// Metrics that are made anew for each look at them.
#[derive(Default)]
struct Moment(Registry);

impl Moment {
    fn gauge(&self, name: &str, help: &str, value: i64) {
        if let Ok(gauge) = IntGauge::new(name, help) {
            gauge.set(value);
            let _ = self.0.register(Box::new(gauge));
        }
    }

    fn counter(&self, name: &str, help: &str, value: u64) {
        if let Ok(counter) = IntCounter::new(name, help) {
            counter.inc_by(value);
            let _ = self.0.register(Box::new(counter));
        }
    }
}

/// Certificates, where there are some.
fn of_tls(app: &App, moment: &Moment) {
    if let Some(tls) = &app.tls {
        moment.gauge(
            "noetl_metrics_tls_certificate_not_after_seconds",
            "When the server's certificate ends, seconds since the epoch.",
            tls.not_after(),
        );
    }
    let reloads = app.tls.as_ref().map(Tls::failures);
    let reloads = reloads.into_iter().chain(app.peer_tls.as_ref().map(ClientTls::failures)).reduce(u64::add);
    if let Some(failures) = reloads {
        moment.counter(
            "noetl_metrics_tls_reload_failures_total",
            "Times that the files of TLS changed and could not be used; what was read before stays.",
            failures,
        );
    }
}

/// What a server holds once it has reached its database, and what it wrote.
fn of_core(core: &Core, moment: &Moment) {
    let gauge = |name: &str, help: &str, value: i64| moment.gauge(name, help, value);
    let counter = |name: &str, help: &str, value: u64| moment.counter(name, help, value);
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    gauge("noetl_metrics_live_series", "Series in the exposition.", count(core.live.len()));
    gauge("noetl_metrics_known_series", "Series in memory.", count(core.series.len()));
    gauge("noetl_metrics_components", "Components in memory.", count(core.components.all().len()));
    gauge(
        "noetl_metrics_write_queue_samples",
        "Samples that wait or are on their way.",
        count(core.writer.queued()),
    );
    let (open, idle) = core.database.connections();
    gauge("noetl_metrics_database_connections", "Open connections to PostgreSQL.", i64::from(open));
    gauge("noetl_metrics_database_connections_idle", "Connections that nothing uses.", count(idle));
    if let Some(run) = &*core.retention_run.lock() {
        gauge(
            "noetl_metrics_retention_failed",
            "Whether the newest run of retention that ended failed.",
            i64::from(run.error.is_some()),
        );
        gauge(
            "noetl_metrics_retention_store_bytes",
            "Bytes of all tables at the end of the newest run of retention.",
            run.store_bytes,
        );
        gauge(
            "noetl_metrics_retention_over_size_partitions",
            "Days that the newest run of retention dropped since the tables took more than they may.",
            run.over_size_partitions,
        );
    }
    gauge(
        "noetl_metrics_exemplars_exported",
        "Series whose newest exemplar is in the exposition, where it is OpenMetrics.",
        count(core.live.exemplars.len()),
    );
    let (stored, pushed_out) = core.exemplars.counts();
    counter("noetl_metrics_exemplars_stored_total", "Exemplars committed.", stored);
    counter(
        "noetl_metrics_exemplars_pushed_out_total",
        "Exemplars deleted since there were more than --max-exemplars.",
        pushed_out,
    );
    counter(
        "noetl_metrics_exemplars_not_exported_total",
        "Exemplars that are stored, and not in the exposition since too many series have one.",
        core.live.exemplars.passed_over(),
    );
    let stats = core.writer.stats();
    let load = |a: &std::sync::atomic::AtomicU64| a.load(std::sync::atomic::Ordering::Relaxed);
    counter("noetl_metrics_commits_total", "Write transactions committed.", load(&stats.commits));
    counter("noetl_metrics_commit_failures_total", "Write transactions that failed.", load(&stats.failures));
    counter("noetl_metrics_samples_appended_total", "Samples appended.", load(&stats.appended));
    counter("noetl_metrics_samples_late_total", "Samples that went to the late table.", load(&stats.late));
    counter(
        "noetl_metrics_reports_refused_total",
        "Reports refused since too much waited.",
        load(&stats.refused),
    );
}

/// Registers a collector whose definition is a constant of this file.
pub(super) fn kept<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    #[expect(clippy::expect_used, reason = "names and labels are constants, a test makes them all")]
    let collector = made.expect("a valid definition");
    let _ = registry.register(Box::new(collector.clone()));
    collector
}
