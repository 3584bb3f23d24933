//! Runs histories, each from its seed.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::agree::{check, learn, same};
use crate::busy::TURNS;
use crate::history::{History, Report, Step, Work, history};
use crate::questions::ask;
use crate::reference::{HOUR, Key, Reference, Sample, rows_of, samples_of};
use crate::system::{Checked, RECENT, System};

/// Midnight before 2024-03-10, from where all begin.
const MIDNIGHT: i64 = 1_710_028_800_000;
/// Milliseconds for which a history that fails is made shorter.
const SHORTEN: u32 = 30_000;

/// The numbers that a variable says, or these.
pub fn range(variable: &str, usual: &str) -> std::ops::Range<u64> {
    let range = std::env::var(variable).unwrap_or_else(|_| usual.into());
    let (from, to) = range.split_once("..").unwrap_or_else(|| panic!("{variable}={range} is not FROM..TO"));
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|e| panic!("{variable}={range}: {e}"));
    number(from)..number(to)
}

/// What makes random values of a seed.
pub fn rng(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: 1,
        max_shrink_time: SHORTEN,
        max_shrink_iters: 1000,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

#[test]
fn every_query_agrees_with_plain_rows_whatever_happened() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("SEED is a number");
            seed..seed + 1
        }
        Err(_) => range("SEEDS", "0..200"),
    };
    let next = AtomicU64::new(seeds.start);
    let failures = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 4);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failures.lock().unwrap().is_empty() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    if let Err(why) = one(seed) {
                        failures.lock().unwrap().push(format!("SEED={seed}: {why}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// One history; where it fails, the shortest one that does.
fn one(seed: u64) -> Result<(), String> {
    let runner = &mut rng(seed);
    let run = |history: History| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(live(&history)).map_err(TestCaseError::fail)
    };
    match runner.run(&history(), run) {
        Ok(()) => Ok(()),
        Err(TestError::Fail(why, history)) => {
            let steps: Vec<String> = history.steps.iter().map(|step| format!("  {step:?}")).collect();
            Err(format!("{why}\nbegin: {} ms after midnight\n{}", history.begin, steps.join("\n")))
        }
        Err(TestError::Abort(why)) => Err(why.to_string()),
    }
}

/// Lives through a history.
async fn live(history: &History) -> Checked {
    let _turn = TURNS.read().await;
    let mut system = System::start(MIDNIGHT + history.begin).await?;
    let mut reference = Reference::default();
    let mut last: Vec<(Report, Vec<Sample>)> = Vec::new();
    for (number, step) in history.steps.iter().chain([&Step::Check]).enumerate() {
        system.pass(2_000).await?;
        system = take(system, &mut reference, &mut last, step)
            .await
            .map_err(|why| format!("step {number}, {step:?}: {why}"))?;
    }
    system.end().await?;
    Ok(())
}

async fn take(
    mut system: System,
    reference: &mut Reference,
    last: &mut Vec<(Report, Vec<Sample>)>,
    step: &Step,
) -> Checked<System> {
    let acknowledged = Rc::new(Cell::new(0));
    let now = system.now();
    match step {
        Step::Report(reports) => {
            *last = reports.iter().map(|report| (report.clone(), samples_of(report, now))).collect();
            report(&system, reference, last).await?;
        }
        Step::Again { other_values } => {
            if *other_values {
                for (report, samples) in last.iter_mut() {
                    let values = report.values.other();
                    report.values = values;
                    for (i, sample) in samples.iter_mut().enumerate() {
                        sample.bits = values.of(sample.key.label, i as u16).to_bits();
                    }
                }
            }
            report(&system, reference, last).await?;
        }
        Step::Insert(insert) => {
            let rows = rows_of(insert, reference, now);
            system.insert(&rows).await?;
            for row in &rows {
                reference.put(row);
            }
            system.server.look_for_inserted().await?;
            let (recent, old): (Vec<&Sample>, Vec<&Sample>) =
                rows.iter().partition(|row| row.at > now - RECENT);
            let in_memory = system.server.newest();
            let without_one =
                |key: &Key| in_memory.get(key) == Some(&None) && !recent.iter().any(|row| row.key == *key);
            reference.unheard.extend(old.iter().map(|row| row.key).filter(without_one));
            for row in recent {
                reference.unheard.remove(&row.key);
                if let Some(newest) = reference.live.get_mut(&row.key)
                    && row.at >= newest.0
                {
                    *newest = (row.at, row.bits);
                    reference.exported.insert(row.key);
                }
            }
            learn(&system, reference, true)?;
        }
        Step::Pass { ms, ahead } => {
            system.pass(*ms).await?;
            if *ahead {
                system.server.make_partitions().await?;
            }
        }
        Step::Seal => system.server.seal().await?,
        Step::Maintain { hours, meanwhile } => {
            let reports: Vec<Vec<Sample>> = meanwhile.iter().map(|report| samples_of(report, now)).collect();
            let (done, stored) = tokio::join!(
                system.server.maintain(hours * HOUR),
                system.server.report(&reports, &acknowledged)
            );
            done?;
            stored?;
            reference.write(reports.iter().flatten());
            // Of what was written meanwhile, memory has what may be gone already.
            learn(&system, reference, meanwhile.is_empty())?;
            reference.retained(now, hours * HOUR, &system.rows().await?, meanwhile.is_empty())?;
        }
        Step::MetricTtl { metric, days } => {
            // Of a metric that nobody reported there is nothing to say.
            if reference.rows.keys().any(|key| key.metric == *metric) {
                system.set_ttl(Some(*metric), None, *days).await?;
                reference.metric_ttl.insert(*metric, *days);
            }
        }
        Step::ComponentTtl { component, days } => {
            system.set_ttl(None, Some(*component), *days).await?;
            reference.component_ttl.insert(*component, *days);
        }
        Step::Forget { component } => {
            system.server.forget(*component);
            reference.live.retain(|key, _| key.component != *component);
            reference.exported.retain(|key| key.component != *component);
            reference.unheard.retain(|key| key.component != *component);
        }
        Step::Restart => {
            system = system.restart().await?;
            started(&system, reference)?;
        }
        Step::Crash { during, micros } => system = crash(system, reference, during, *micros).await?,
        Step::Check => check(&system, reference).await?,
        Step::Ask(question) => ask(&system, reference, question).await?,
    }
    Ok(system)
}

async fn report(system: &System, reference: &mut Reference, last: &[(Report, Vec<Sample>)]) -> Checked {
    let reports: Vec<Vec<Sample>> = last.iter().map(|(_, samples)| samples.clone()).collect();
    system.server.report(&reports, &Rc::default()).await?;
    reference.write(reports.iter().flatten());
    learn(system, reference, true)
}

/// What was acknowledged is there, and of what was not each report is there as a whole or not at all.
async fn crash(system: System, reference: &mut Reference, during: &Work, micros: u64) -> Checked<System> {
    let now = system.now();
    let acknowledged = Rc::new(Cell::new(0));
    let reports: Vec<Vec<Sample>> = match during {
        Work::Report(reports) => reports.iter().map(|report| samples_of(report, now)).collect(),
        _ => Vec::new(),
    };
    let work = async {
        match during {
            Work::Report(_) => system.server.report(&reports, &acknowledged).await,
            Work::Seal => system.server.seal().await,
            Work::Maintain { hours } => system.server.maintain(hours * HOUR).await.map(|_| ()),
        }
    };
    if let Ok(done) = tokio::time::timeout(Duration::from_micros(micros), work).await {
        done?;
    }
    let system = system.crash().await?;
    let stored = system.rows().await?;
    if let Work::Maintain { hours } = during {
        reference.retained(now, hours * HOUR, &stored, false)?;
    }
    // They are stored in their order.
    reference.write(reports.iter().take(acknowledged.get()).flatten());
    let mut left = reports.iter().skip(acknowledged.get());
    let first = same(&stored, &reference.rows, "after a crash");
    let mut agreed = first.clone();
    while agreed.is_err() {
        let Some(samples) = left.next() else { return first.map(|()| system) };
        reference.write(samples);
        agreed = same(&stored, &reference.rows, "after a crash");
    }
    started(&system, reference)?;
    Ok(system)
}

/// A server that starts finds the newest values, and shows them.
fn started(system: &System, reference: &mut Reference) -> Checked {
    reference.live.clear();
    reference.unheard.clear();
    learn(system, reference, true)?;
    reference.exported = reference.live.keys().copied().collect();
    Ok(())
}
