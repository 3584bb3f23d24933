//! One target: scraped on its schedule for as long as the agent runs.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::Shared;
use super::body::Body;
use super::config::{SERVER, TargetSpec};
use super::ended::Had;
use super::fetch::{Expected, Fetched};
use super::guide::{Absence, Facts, Signals, Synthesised, all_absent, synthesise};
use super::identity::{Identified, Told, identify, kind_of};
use super::noetl::{Status, Workers};
use super::own::{Fault, Reason, Score};
use super::process::{Place, ProcessLook, Seen};
use super::source::Source;
use crate::agent::packing::{Reporter, pack};
use crate::agent::registration::Scraped;
use crate::agent::schedule::Schedule;
use crate::client::answer::one_line;
use crate::model::{Millis, Reading};

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

/// What a scrape gave.
#[derive(Debug)]
struct Scrape {
    body: Body,
    kind: Option<&'static str>,
    signals: Signals,
    read_at: Millis,
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
        let begun = Instant::now();
        let (scraped, answers) = tokio::join!(self.scrape(), self.ask());
        let took = begun.elapsed();
        drop(place);
        match scraped {
            Ok(scrape) => {
                let seen = self.look_at_process().await;
                self.succeeded(scrape, &answers, &seen, took);
            }
            Err(fault) => self.failed(&fault, took),
        }
        self.score.rejected = self.component.as_ref().map_or(0, |c| c.source.rejected_so_far());
        shared.scores.note(&self.label, self.score.clone());
    }

    /// Whether it is NoETL's server that was named as such.
    pub(super) fn is_noetl_server(&self) -> bool {
        self.shared.config.noetl_server.as_ref().is_some_and(|server| self.spec.is_of(server))
    }

    async fn scrape(&self) -> Result<Scrape, Fault> {
        let read_at = Millis::now();
        let fetched = self.shared.fetcher.fetch(&self.spec.url, Expected::Text).await?;
        let _turn = self.shared.lanes.read().await;
        let shared = self.shared.clone();
        // On a thread that may take its time, which also keeps a panic from ending the task.
        let read = spawn_blocking(move || {
            let readings = Body::read(&fetched.body, shared.config.sample_limit)?;
            let (kind, signals) = (kind_of(&readings), Signals::of(&readings));
            Ok(Scrape { body: Body::sort_out(readings, &shared.config.keep), kind, signals, read_at })
        });
        read.await.unwrap_or_else(|e| Err(Fault::new(Reason::Internal, e.to_string())))
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

    /// Looks at the process, on a thread that may block.
    async fn look_at_process(&mut self) -> Seen {
        let place = match &self.spec.pod {
            Some(pod) => Place::Pod(pod.uid.clone()),
            None if self.spec.is_loopback() => Place::Port(self.spec.port()),
            None => return Seen::default(),
        };
        let (shared, asked) = (self.shared.clone(), Instant::now());
        // One at a time needs one thread, each of which keeps memory of its own.
        let _turn = shared.lanes.read().await;
        let (mut process, shared) = (std::mem::take(&mut self.process), self.shared.clone());
        let looked = spawn_blocking(move || {
            let seen = process.look(&shared.paths, &shared.listeners, &place, asked);
            (process, seen)
        });
        let Ok((process, seen)) = looked.await else { return Seen::default() };
        self.process = process;
        seen
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

    fn succeeded(&mut self, scrape: Scrape, answers: &Answers, seen: &Seen, took: Duration) {
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
            self.report(component, &readings, scrape.read_at);
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
