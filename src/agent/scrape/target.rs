//! One target: scraped on its schedule for as long as the agent runs.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{spawn, spawn_blocking};
use tokio::time::sleep;

use super::Shared;
use super::body::Body;
use super::config::{SERVER, ScrapeConfig, TargetSpec};
use super::ended::Had;
use super::fetch::{Expected, Fetched};
use super::guide::{Absence, Facts, Synthesised, all_absent, synthesise};
use super::identity::{Identified, Told, identify, kind_of};
use super::noetl::{Status, Workers};
use super::own::{Fault, Reason, Score};
use super::process::{Place, ProcessLook, Seen};
use super::signals::Signals;
use super::source::Source;
use crate::agent::packing::{Reporter, pack};
use crate::agent::registration::Scraped;
use crate::agent::schedule::Schedule;
use crate::client::answer::one_line;
use crate::model::{Millis, Reading};

/// A body that takes about a millisecond to read, or less.
const QUICK_BYTES: usize = 64 << 10;

/// One target.
#[derive(Debug)]
pub(super) struct Target {
    shared: Arc<Shared>,
    spec: TargetSpec,
    label: String,
    schedule: Schedule,
    component: Option<Component>,
    /// Series of the last scrape.
    had: Had,
    process: ProcessLook,
    /// What its process said of itself when it was last seen.
    told: Told,
    /// Whether NoETL's server answered the last time; a change is logged.
    asked_well: bool,
    score: Score,
    /// The last fault that was logged; `None` while the target is up.
    fault: Option<Reason>,
}

/// The component that the target is.
#[derive(Debug)]
struct Component {
    identified: Identified,
    labels: Vec<(&'static str, String)>,
    source: Arc<Source>,
}

/// A body that was read.
#[derive(Debug)]
struct Scrape {
    body: Body,
    kind: Option<&'static str>,
    signals: Signals,
    /// When that was done.
    done: Instant,
}

impl Scrape {
    fn of(text: &str, config: &ScrapeConfig) -> Result<Self, Fault> {
        let samples = Body::read(text, config.sample_limit)?;
        let (kind, signals) = (kind_of(&samples), Signals::of(&samples));
        Ok(Self { body: Body::sort_out(samples, &config.keep), kind, signals, done: Instant::now() })
    }
}

/// What NoETL's server answers beside its metrics.
#[derive(Debug)]
struct Answers {
    status: Result<Status, Absence>,
    /// Its workers, and its clock in milliseconds since 1970.
    workers: Result<(Workers, i64), Absence>,
}

impl Target {
    pub(super) fn new(shared: Arc<Shared>, spec: TargetSpec) -> Self {
        let label = spec.label();
        let schedule = Schedule::new(shared.config.interval, &label);
        Self {
            shared,
            spec,
            label,
            schedule,
            component: None,
            had: Had::default(),
            process: ProcessLook::default(),
            told: Told::default(),
            asked_well: true,
            score: Score::default(),
            fault: None,
        }
    }

    /// Scrapes after `first_after`, then on the schedule.
    pub(super) async fn run(mut self, first_after: Duration) -> Infallible {
        sleep(first_after).await;
        loop {
            self.scrape_once().await;
            sleep(self.schedule.wait(Millis::now().0)).await;
        }
    }

    pub(super) async fn scrape_once(&mut self) {
        let shared = self.shared.clone();
        let place = shared.lanes.enter(self.fault.is_some()).await;
        let (begun, read_at) = (Instant::now(), Millis::now());
        let fetch = shared.fetcher.fetch(&self.spec.url, Expected::Text);
        let (fetched, answers) = tokio::join!(fetch, self.ask());
        let scraped = match fetched {
            Ok(fetched) => self.read(fetched.body).await,
            Err(fault) => Err(fault),
        };
        drop(place);
        match scraped {
            Ok((scrape, seen)) => {
                let took = scrape.done.duration_since(begun);
                self.succeeded(scrape, read_at, &answers, &seen, took);
            }
            Err(fault) => self.failed(&fault, begun.elapsed()),
        }
        self.score.rejected = self.component.as_ref().map_or(0, |c| c.source.rejected_so_far());
        shared.scores.note(&self.label, &self.score);
    }

    /// Whether it is NoETL's server that was named as such.
    pub(super) fn is_noetl_server(&self) -> bool {
        self.shared.config.noetl_server.as_ref().is_some_and(|server| self.spec.is_of(server))
    }

    /// Reads a body, and where it is good looks at the process behind it.
    async fn read(&mut self, text: String) -> Result<(Scrape, Seen), Fault> {
        let place = self.place().filter(|_| self.process.is_due());
        let is_quick = text.len() <= QUICK_BYTES && place.is_none();
        let (shared, asked) = (self.shared.clone(), Instant::now());
        let mut process = std::mem::take(&mut self.process);
        let work = move || {
            let read = Scrape::of(&text, &shared.config);
            let seen = match &place {
                Some(place) if read.is_ok() => process.look(&shared.paths, &shared.listeners, place, asked),
                _ => Seen::default(),
            };
            (read.map(|scrape| (scrape, seen)), process)
        };
        // One at a time needs one thread, each of which keeps memory of its own.
        let _turn = self.shared.lanes.read().await;
        // A task of its own keeps a panic from ending this one. What may take its time, or block as
        // reading files may, gets a thread; short texts, as nearly all are, are not worth waking one.
        let working = if is_quick { spawn(async { work() }) } else { spawn_blocking(work) };
        let (read, process) = working.await.map_err(|e| Fault::new(Reason::Internal, e.to_string()))?;
        self.process = process;
        read
    }

    /// Where its process may be seen.
    fn place(&self) -> Option<Place> {
        match &self.spec.pod {
            Some(pod) => Some(Place::Pod(pod.uid.clone())),
            None => self.spec.is_loopback().then(|| Place::Port(self.spec.port())),
        }
    }

    /// Asks a NoETL server for what its metrics do not say; any other target is asked nothing.
    async fn ask(&self) -> Answers {
        let (status, workers) = tokio::join!(self.ask_status(), self.ask_workers());
        Answers { status, workers }
    }

    async fn ask_status(&self) -> Result<Status, Absence> {
        if !self.is_server() {
            return Err(Absence::NotAsked);
        }
        let fetched = self.ask_path("/api/status").await?;
        self.answer(Status::parse(&fetched.body))
    }

    async fn ask_workers(&self) -> Result<(Workers, i64), Absence> {
        if !self.shared.config.lists_workers(&self.spec, self.is_server()) {
            return Err(Absence::NotAsked);
        }
        let fetched = self.ask_path("/api/worker/pools").await?;
        let now_ms = fetched.server_ms.unwrap_or_else(|| Millis::now().0);
        self.answer(Workers::parse(&fetched.body)).map(|workers| (workers, now_ms))
    }

    async fn ask_path(&self, path: &str) -> Result<Fetched, Absence> {
        let url = self.spec.url.join(path).map_err(|_| Absence::NoAnswer)?;
        self.answer(self.shared.fetcher.fetch(&url, Expected::Json).await)
    }

    fn answer<T>(&self, result: Result<T, Fault>) -> Result<T, Absence> {
        result.map_err(|fault| {
            tracing::debug!(url = %self.label, "NoETL's server does not say: {}", one_line(&fault.why));
            Absence::NoAnswer
        })
    }

    fn is_server(&self) -> bool {
        let known = self.component.as_ref().map(|component| component.identified.kind.as_str());
        self.spec.kind.as_deref().or(known) == Some(SERVER)
    }

    fn failed(&mut self, fault: &Fault, took: Duration) {
        self.score.failed(fault.reason, took);
        self.process.may_be_another();
        let known = self.component.as_ref().map(|component| component.identified.kind.as_str());
        let absent = self.spec.kind.as_deref().or(known).map(all_absent).unwrap_or_default();
        self.score.absent(&absent);
        self.end_all();
        // The same again is counted, but not worth another line.
        if self.fault.replace(fault.reason) != Some(fault.reason) {
            tracing::warn!(url = %self.label, "not scraped: {}", one_line(&fault.why));
        }
    }

    fn succeeded(&mut self, scrape: Scrape, read_at: Millis, answers: &Answers, seen: &Seen, took: Duration) {
        if self.fault.take().is_some() {
            tracing::info!(url = %self.label, "scraped again");
        }
        self.note_answers(answers);
        if seen.readings.is_some() {
            self.told.clone_from(&seen.told);
        }
        self.identify(scrape.kind);
        (self.score.up, self.score.took) = (true, took);
        (self.score.not_kept, self.score.per_run) = (scrape.body.not_kept, scrape.body.per_run);
        let Synthesised { readings: made, absent } = self.synthesise(&scrape.signals, answers, seen);
        let mut readings = scrape.body.kept;
        readings.extend(made);
        self.score.absent(&absent);
        self.score.samples = readings.len();
        readings.extend(self.had.replace(&readings));
        if let Some(component) = &self.component
            && !readings.is_empty()
        {
            self.report(component, &readings, read_at);
        }
    }

    /// Says where NoETL's server no longer answers, and leaves its workers for the other targets.
    fn note_answers(&mut self, answers: &Answers) {
        let is_well = !matches!(answers.workers, Err(Absence::NoAnswer));
        if !is_well && self.asked_well {
            tracing::warn!(url = %self.label, "NoETL's server does not list its workers (/api/worker/pools)");
        }
        self.asked_well = is_well;
        if let Ok((workers, _)) = &answers.workers {
            self.shared.workers.lock().clone_from(workers);
        }
    }

    fn synthesise(&self, signals: &Signals, answers: &Answers, seen: &Seen) -> Synthesised {
        let now = Instant::now();
        self.shared.queues.note_lags(&self.label, signals.total_lag, &signals.pool_lags, now);
        let Some(Component { identified, .. }) = &self.component else { return Synthesised::default() };
        synthesise(&Facts {
            kind: &identified.kind,
            target: &self.label,
            pool: identified.pool.as_deref(),
            signals,
            queues: &self.shared.queues,
            process: seen.readings.as_deref(),
            status: answers.status.as_ref().map_err(|absence| *absence),
            workers: match &answers.workers {
                Ok((workers, now_ms)) => Ok((workers, *now_ms)),
                Err(absence) => Err(*absence),
            },
            now,
        })
    }

    /// Ends all series of the last scrape.
    fn end_all(&mut self) {
        let ended = self.had.replace(&[]);
        if let Some(component) = &self.component
            && !ended.is_empty()
        {
            self.report(component, &ended, Millis::now());
        }
    }

    fn report(&self, component: &Component, readings: &[Reading], read_at: Millis) {
        let reporter = Reporter {
            name: &component.identified.name,
            kind: &component.identified.kind,
            labels: &component.labels,
            source: Some(&component.source),
            every: self.shared.config.interval,
        };
        match pack(&reporter, readings, read_at.0) {
            Ok(reports) => self.shared.put(reports),
            Err(e) => tracing::error!(url = %self.label, "a scrape could not be packed: {e}"),
        }
    }

    /// Finds out which component it is. The kind stays once it is known: a server that was just
    /// started has no family that would tell.
    fn identify(&mut self, seen: Option<&'static str>) {
        let known = self.component.as_ref().map(|component| component.identified.kind.clone());
        let Some(kind) = self.spec.kind.clone().or(known).or_else(|| seen.map(str::to_owned)) else { return };
        let pool_of = |name: &str| self.shared.workers.lock().pool_of(name);
        let identified = identify(&self.spec, &kind, &self.told, pool_of);
        if self.component.as_ref().is_some_and(|component| component.identified == identified) {
            return;
        }
        // What it had under another name or pool is not its own any more.
        self.end_all();
        tracing::info!(url = %self.label, "scraped as {} ({})", identified.name, identified.kind);
        self.component = Some(self.component_of(identified));
    }

    fn component_of(&self, identified: Identified) -> Component {
        let host = if let Some(pod) = &self.spec.pod {
            pod.name.clone()
        } else if self.spec.is_loopback() {
            self.shared.agent.hostname.clone()
        } else {
            self.spec.url.host_str().unwrap_or_default().to_owned()
        };
        let mut labels = vec![("hostname", host)];
        labels.extend(identified.pool.clone().map(|pool| ("pool_name", pool)));
        labels.extend(self.spec.pod.as_ref().map(|pod| ("kubernetes_namespace", pod.namespace.clone())));
        let source = Source::new(&Scraped {
            name: &identified.name,
            kind: &identified.kind,
            pool: identified.pool.as_deref(),
            url: &self.label,
            agent: &self.shared.agent.name,
        });
        Component { identified, labels, source: Arc::new(source) }
    }
}
