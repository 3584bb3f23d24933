//! The guide's names, made from what NoETL has: no NoETL exposes them itself.
//!
//! [`RULES`] is the whole mapping; `docs/noetl.md` has the same as a table, and a test holds them
//! equal. A metric whose sources have nothing is absent, never 0, and [`Absence`] says why.

use std::fmt;
use std::time::Instant;

use super::config::{SERVER, WORKER};
use super::noetl::{Status, Workers};
use super::queues::{Queue, Queues};
use super::signals::{IN_FLIGHT, PENDING, SUBJECT_LAG, Signals, TOTAL_LAG};
use crate::host::Readings;
use crate::model::Reading;

/// One of the guide's metrics, and where it comes from: the first source that has a value.
#[derive(Debug)]
pub(super) struct Rule {
    metric: &'static str,
    help: &'static str,
    of: &'static [&'static str],
    sources: &'static [Source],
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    /// The worker's dispatches in flight.
    InFlight,
    /// What waits for the worker's consumers in NATS.
    Consumers,
    /// What waits for the worker's pool on the command bus.
    PoolLag,
    /// What waits on the command bus.
    BusLag,
    /// What waits for all consumers in NATS.
    AllConsumers,
    /// NoETL's list of workers.
    ActiveWorkers,
    /// The process, where it runs on this machine.
    Process,
    /// A number of `/api/status`, times a factor.
    Status(&'static str, f64),
}

const MIB: f64 = 1_048_576.0;

/// The mapping.
pub(super) const RULES: &[Rule] = &[
    Rule {
        metric: "noetl_worker_active_tasks",
        help: "Tasks that the worker runs.",
        of: &[WORKER],
        sources: &[Source::InFlight],
    },
    Rule {
        metric: "noetl_worker_queue_size",
        help: "Tasks that wait for the worker's consumer or pool; one of its workers carries it.",
        of: &[WORKER],
        sources: &[Source::Consumers, Source::PoolLag],
    },
    Rule {
        metric: "noetl_server_queue_size",
        help: "Tasks that wait for a worker, each queue counted once.",
        of: &[SERVER],
        sources: &[Source::BusLag, Source::AllConsumers],
    },
    Rule {
        metric: "noetl_server_active_workers",
        help: "Workers whose heartbeat at NoETL's server is at most 60 s old.",
        of: &[SERVER],
        sources: &[Source::ActiveWorkers],
    },
    Rule {
        metric: "noetl_system_cpu_usage_percent",
        help: "CPU used, in percent of the limit where there is one, else of the node.",
        of: &[WORKER, SERVER],
        sources: &[Source::Process, Source::Status("/system/cpu_percent", 1.0)],
    },
    Rule {
        metric: "noetl_system_memory_usage_percent",
        help: "Memory used, in percent of the limit where there is one, else of the node.",
        of: &[WORKER, SERVER],
        sources: &[Source::Process, Source::Status("/system/memory_percent", 1.0)],
    },
    Rule {
        metric: "noetl_process_memory_rss_bytes",
        help: "Resident memory of the process.",
        of: &[WORKER, SERVER],
        sources: &[Source::Process, Source::Status("/process/memory_rss_mb", MIB)],
    },
    Rule {
        metric: "noetl_uptime_seconds",
        help: "How long the process has run.",
        of: &[WORKER, SERVER],
        sources: &[Source::Process, Source::Status("/process/uptime_seconds", 1.0)],
    },
];

/// Why a metric of the guide is absent. A closed set: it is a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Absence {
    /// The target could not be scraped.
    TargetDown,
    /// The target does not expose what it is made from, or has not yet.
    NotExposed,
    /// Another worker carries the size of the queue that they share.
    SharedQueue,
    /// Nobody is asked: that takes `--noetl-server-url`.
    NotAsked,
    /// NoETL's server did not answer, or not with what it is made from.
    NoAnswer,
    /// No process of NoETL that listens there is seen on this machine.
    NoProcess,
    /// It takes two looks, and there was one.
    FirstLook,
}

impl Absence {
    /// All reasons, for the documentation.
    #[cfg(test)]
    const ALL: [Self; 7] = [
        Self::TargetDown,
        Self::NotExposed,
        Self::SharedQueue,
        Self::NotAsked,
        Self::NoAnswer,
        Self::NoProcess,
        Self::FirstLook,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::TargetDown => "target_down",
            Self::NotExposed => "not_exposed",
            Self::SharedQueue => "shared_queue",
            Self::NotAsked => "not_asked",
            Self::NoAnswer => "no_answer",
            Self::NoProcess => "no_process",
            Self::FirstLook => "first_look",
        }
    }
}

/// All that a target's metrics of the guide can be made from.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// Kind of the component.
    pub(super) kind: &'a str,
    /// The target's label.
    pub(super) target: &'a str,
    /// Pool of the worker.
    pub(super) pool: Option<&'a str>,
    pub(super) signals: &'a Signals,
    pub(super) queues: &'a Queues,
    /// Readings of the process, where one is seen.
    pub(super) process: Option<&'a [Reading]>,
    pub(super) status: Result<&'a Status, Absence>,
    /// NoETL's workers, and the time by its clock.
    pub(super) workers: Result<(&'a Workers, i64), Absence>,
    pub(super) now: Instant,
}

/// The guide's metrics of a target, and those that are absent.
#[derive(Debug, Default)]
pub(super) struct Synthesised {
    pub(super) readings: Vec<Reading>,
    pub(super) absent: Vec<(&'static str, Absence)>,
}

/// Makes the guide's metrics from the facts.
pub(super) fn synthesise(facts: &Facts<'_>) -> Synthesised {
    let mut out = Readings::default();
    let mut absent = Vec::new();
    for rule in rules_of(facts.kind).filter(|rule| !facts.signals.exposed.contains(&rule.metric)) {
        match rule.values(facts) {
            Ok(values) => values.iter().for_each(|value| value.push(rule, &mut out)),
            Err(absence) => absent.push((rule.metric, absence)),
        }
    }
    let mut readings = out.into_vec();
    // What else is read of a process goes along.
    let is_ruled = |name: &str| metrics().any(|metric| metric == name);
    readings.extend(facts.process.unwrap_or_default().iter().filter(|r| !is_ruled(&r.name)).cloned());
    Synthesised { readings, absent }
}

/// The guide's metrics of a target that is down: all absent.
pub(super) fn all_absent(kind: &str) -> Vec<(&'static str, Absence)> {
    rules_of(kind).map(|rule| (rule.metric, Absence::TargetDown)).collect()
}

/// The guide's metrics.
pub(super) fn metrics() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.metric)
}

fn rules_of(kind: &str) -> impl Iterator<Item = &'static Rule> {
    RULES.iter().filter(move |rule| rule.of.contains(&kind))
}

/// A value, with the consumer and the stream that it is of.
#[derive(Debug, Default)]
struct Value {
    number: f64,
    consumer: String,
    stream: String,
}

impl Value {
    fn bare(number: f64) -> Vec<Self> {
        vec![Self { number, ..Self::default() }]
    }

    fn push(&self, rule: &Rule, out: &mut Readings) {
        let labels = [("consumer", self.consumer.as_str()), ("stream", self.stream.as_str())];
        out.gauge(rule.metric, rule.help, &labels, self.number);
    }
}

impl Rule {
    /// The values of the first source that has some; else why the last has none, unless one before
    /// knew better.
    fn values(&self, facts: &Facts<'_>) -> Result<Vec<Value>, Absence> {
        let mut absence = Absence::NotExposed;
        for source in self.sources {
            match source.values(self.metric, facts) {
                Ok(values) => return Ok(values),
                Err(decisive @ (Absence::SharedQueue | Absence::FirstLook)) => return Err(decisive),
                // A worker has no status to be asked for: its process is what is missing.
                Err(Absence::NotAsked) if absence == Absence::NoProcess => {}
                Err(other) => absence = other,
            }
        }
        Err(absence)
    }
}

impl Source {
    fn values(self, metric: &str, facts: &Facts<'_>) -> Result<Vec<Value>, Absence> {
        let number = |value: Option<f64>, absence| value.map(Value::bare).ok_or(absence);
        match self {
            Self::InFlight => number(facts.signals.in_flight, Absence::NotExposed),
            Self::Consumers => facts.consumers(),
            Self::PoolLag => facts.pool_lag(),
            Self::BusLag => number(facts.queues.total_lag(facts.now), Absence::NotExposed),
            Self::AllConsumers => number(facts.queues.consumers_pending(facts.now), Absence::NotExposed),
            Self::ActiveWorkers => {
                facts.workers.map(|(workers, now_ms)| Value::bare(workers.active(now_ms) as f64))
            }
            Self::Process => {
                let readings = facts.process.ok_or(Absence::NoProcess)?;
                let found = readings.iter().find(|reading| reading.name == metric);
                number(found.map(|reading| reading.value), Absence::FirstLook)
            }
            Self::Status(path, factor) => {
                number(facts.status?.number(path).map(|number| number * factor), Absence::NoAnswer)
            }
        }
    }
}

impl Facts<'_> {
    fn consumers(&self) -> Result<Vec<Value>, Absence> {
        if self.signals.pending.is_empty() {
            return Err(Absence::NotExposed);
        }
        let carried = self.signals.pending.iter().filter(|(consumer, stream, size)| {
            let queue = Queue::Consumer { consumer: consumer.clone(), stream: stream.clone() };
            self.queues.carries(self.target, queue, *size, self.now)
        });
        let value = |(consumer, stream, size): &(String, String, f64)| Value {
            number: *size,
            consumer: consumer.clone(),
            stream: stream.clone(),
        };
        let values: Vec<Value> = carried.map(value).collect();
        if values.is_empty() { Err(Absence::SharedQueue) } else { Ok(values) }
    }

    fn pool_lag(&self) -> Result<Vec<Value>, Absence> {
        let pool = self.pool.ok_or(Absence::NotExposed)?;
        let lag = self.queues.pool_lag(pool, self.now).ok_or(Absence::NotExposed)?;
        if self.queues.carries(self.target, Queue::Pool(pool.to_owned()), lag, self.now) {
            Ok(Value::bare(lag))
        } else {
            Err(Absence::SharedQueue)
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InFlight => write!(f, "`{IN_FLIGHT}`"),
            Self::Consumers => write!(f, "`{PENDING}`, one worker for each consumer"),
            Self::PoolLag => write!(f, "`{SUBJECT_LAG}` of the pool's subjects, one worker for each pool"),
            Self::BusLag => write!(f, "`{TOTAL_LAG}`"),
            Self::AllConsumers => write!(f, "`{PENDING}`, each consumer once"),
            Self::ActiveWorkers => f.write_str("`/api/worker/pools`, heartbeats at most 60 s old"),
            Self::Process => f.write_str("the process or its cgroup, on the agent's machine"),
            Self::Status(path, _) => {
                write!(f, "`/api/status`, `{}`", path.trim_start_matches('/').replace('/', "."))
            }
        }
    }
}

impl fmt::Display for Rule {
    /// The rule as a row of the documentation's table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of: Vec<_> = self.of.iter().map(|kind| format!("`{kind}`")).collect();
        let sources: Vec<_> = self.sources.iter().map(ToString::to_string).collect();
        write!(f, "| `{}` | {} | {} |", self.metric, of.join(", "), sources.join("; else "))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wire::exposition::samples;

    fn signals(text: &str) -> Signals {
        Signals::of(&samples(text, 100, "").unwrap())
    }

    fn queues() -> Queues {
        Queues::new(Duration::from_secs(45))
    }

    fn facts<'a>(kind: &'a str, signals: &'a Signals, queues: &'a Queues) -> Facts<'a> {
        let (status, workers) = (Err(Absence::NotAsked), Err(Absence::NotAsked));
        let now = Instant::now();
        Facts { kind, target: "t", pool: None, signals, queues, process: None, status, workers, now }
    }

    fn lines(made: &Synthesised) -> Vec<String> {
        let labels =
            |r: &Reading| r.labels.iter().map(|(n, v)| [" ", n, "=", v].concat()).collect::<Vec<_>>();
        let values = made.readings.iter().map(|r| format!("{}{} {}", r.name, labels(r).concat(), r.value));
        values.chain(made.absent.iter().map(|(m, why)| format!("{m} absent {}", why.as_str()))).collect()
    }

    #[test]
    fn a_worker_s_tasks_and_queue_come_from_its_own_families() {
        let signals = signals(
            "noetl_worker_concurrent_dispatches 3\n\
             noetl_worker_nats_consumer_pending{consumer=\"pool\",stream=\"noetl_commands\"} 4\n",
        );
        let queues = queues();
        let made = lines(&synthesise(&facts(WORKER, &signals, &queues)));
        assert_eq!(
            made[..2],
            [
                "noetl_worker_active_tasks 3".to_owned(),
                "noetl_worker_queue_size consumer=pool stream=noetl_commands 4".to_owned()
            ]
        );
        assert!(made.contains(&"noetl_uptime_seconds absent no_process".to_owned()), "{made:?}");
        let other = lines(&synthesise(&Facts { target: "u", ..facts(WORKER, &signals, &queues) }));
        assert!(other.contains(&"noetl_worker_queue_size absent shared_queue".to_owned()), "{other:?}");
        let server = Signals::default();
        let made = lines(&synthesise(&facts(SERVER, &server, &queues)));
        assert!(made.contains(&"noetl_server_queue_size 4".to_owned()), "{made:?}");
    }

    #[test]
    fn newer_versions_have_their_queues_on_the_command_bus() {
        let bus = signals(
            "ehdb_feed_total_lag 9\nehdb_feed_subject_lag{subject=\"commands.shared.shard.0\"} 5\n\
             ehdb_feed_subject_lag{subject=\"commands.shared.shard.1\"} 2\n",
        );
        assert_eq!(bus.pool_lags, [("shared".to_owned(), 7.0)]);
        let queues = queues();
        queues.note_lags("bus", bus.total_lag, &bus.pool_lags, Instant::now());
        let none = Signals::default();
        let made = lines(&synthesise(&Facts { pool: Some("shared"), ..facts(WORKER, &none, &queues) }));
        assert!(made.contains(&"noetl_worker_queue_size 7".to_owned()), "{made:?}");
        assert!(made.contains(&"noetl_worker_active_tasks absent not_exposed".to_owned()), "{made:?}");
        let made = lines(&synthesise(&facts(SERVER, &none, &queues)));
        assert!(made.contains(&"noetl_server_queue_size 9".to_owned()), "{made:?}");
    }

    #[test]
    fn a_server_is_asked_for_its_workers_and_its_status() {
        let status = Status::parse(
            r#"{"system": {"cpu_percent": 12.5}, "process": {"memory_rss_mb": 2, "uptime_seconds": 7}}"#,
        )
        .unwrap();
        let workers = Workers::parse(r#"[{"name": "w", "heartbeat": "2024-01-01T12:00:00Z"}]"#).unwrap();
        let (none, queues) = (Signals::default(), queues());
        let asked = Facts {
            status: Ok(&status),
            workers: Ok((&workers, 1_704_110_400_000)),
            ..facts(SERVER, &none, &queues)
        };
        assert_eq!(
            lines(&synthesise(&asked)),
            [
                "noetl_server_active_workers 1",
                "noetl_system_cpu_usage_percent 12.5",
                "noetl_process_memory_rss_bytes 2097152",
                "noetl_uptime_seconds 7",
                "noetl_server_queue_size absent not_exposed",
                "noetl_system_memory_usage_percent absent no_answer",
            ]
        );
        let unanswered = Facts { workers: Err(Absence::NoAnswer), ..asked };
        assert!(
            lines(&synthesise(&unanswered)).contains(&"noetl_server_active_workers absent no_answer".into())
        );
    }

    #[test]
    fn a_process_wins_over_the_status_and_brings_the_rest_along() {
        let mut process = Readings::default();
        process.gauge("noetl_process_memory_rss_bytes", "", &[], 5.0);
        process.gauge("noetl_process_start_time_seconds", "", &[], 6.0);
        let process = process.into_vec();
        let (none, queues) = (Signals::default(), queues());
        let made = Facts { process: Some(&process), ..facts(WORKER, &none, &queues) };
        let made = lines(&synthesise(&made));
        assert!(made.contains(&"noetl_process_memory_rss_bytes 5".to_owned()), "{made:?}");
        assert!(made.contains(&"noetl_process_start_time_seconds 6".to_owned()), "{made:?}");
        assert!(made.contains(&"noetl_system_cpu_usage_percent absent first_look".to_owned()), "{made:?}");
    }

    #[test]
    fn what_a_target_exposes_itself_is_not_made_again() {
        let own = signals("noetl_worker_active_tasks 8\nnoetl_worker_concurrent_dispatches 3\n");
        let queues = queues();
        let made = lines(&synthesise(&facts(WORKER, &own, &queues)));
        assert!(made.iter().all(|line| !line.starts_with("noetl_worker_active_tasks")), "{made:?}");
    }

    #[test]
    fn the_documentation_has_the_same_table() {
        let docs = include_str!("../../../docs/noetl.md");
        let is_row = |line: &&str| line.starts_with("| `noetl_") && !line.starts_with("| `noetl_agent_");
        let rows: Vec<&str> = docs.lines().filter(is_row).collect();
        let expected: Vec<String> = RULES.iter().map(ToString::to_string).collect();
        assert_eq!(rows, expected, "docs/noetl.md");
        for absence in Absence::ALL {
            let row = format!("| `{}` | ", absence.as_str());
            assert!(docs.lines().any(|line| line.starts_with(&row)), "docs/noetl.md lacks {row}");
        }
    }
}
