//! Writers, sealing, maintenance and readers at once, while an hour passes every few seconds: nothing
//! fails or waits for long, and no reader misses a sample or sees one twice.
//!
//! `BUSY=600` makes it last ten minutes.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use noetl_metrics::model::Millis;
use noetl_metrics::store::{Page, Query};
use tokio::sync::RwLock;

use crate::harness::Cluster;
use crate::history::{COMPONENTS, mix};
use crate::questions::label_of;
use crate::reference::{HOUR, Key, Rows, Sample, time};
use crate::system::{COLUMNS, Checked, System, fault};

/// Each of these, time goes on by as many minutes.
const TICK: Duration = Duration::from_millis(50);
const MINUTES: i64 = 1;
/// How long samples are kept, and how far back readers look.
const KEPT: i64 = 6 * HOUR;
/// What ninety-nine of a hundred reports take at most, where `BUSY` says how long it lasts. In the few
/// seconds that it lasts else, and on a machine that does other things, that says more of the machine.
const P99: Duration = Duration::from_secs(2);
/// The other tests of the model hold it for reading, for as long as a history or a kill takes. Here it is
/// measured how long things take, so they wait.
pub static TURNS: RwLock<()> = RwLock::const_new(());
/// Between two questions of a reader.
const PAUSE: Duration = Duration::from_millis(50);

/// What was sent, and what of it was acknowledged: times of each series.
#[derive(Default)]
struct Written {
    sent: BTreeMap<i64, BTreeSet<Key>>,
    acknowledged: BTreeMap<i64, BTreeSet<Key>>,
}

impl Written {
    fn note(to: &mut BTreeMap<i64, BTreeSet<Key>>, samples: &[Sample]) {
        for sample in samples {
            to.entry(sample.at).or_default().insert(sample.key);
        }
    }

    /// Forgets what nobody asks for any more.
    fn forget(&mut self, before: i64) {
        self.sent = self.sent.split_off(&before);
        self.acknowledged = self.acknowledged.split_off(&before);
    }
}

struct Busy {
    system: System,
    written: RefCell<Written>,
    done: Cell<bool>,
    took: RefCell<Vec<Duration>>,
    reads: Cell<usize>,
}

/// The value of a sample tells whose it is.
fn value(key: Key, at: i64) -> f64 {
    (mix(at.cast_unsigned() ^ u64::from(key.label) << 48 ^ u64::from(key.metric) << 40) % 1_000_000) as f64
        / 100.0
}

impl Busy {
    fn going(&self) -> bool {
        !self.done.get()
    }

    async fn pass(&self) -> Checked {
        while self.going() {
            tokio::time::sleep(TICK).await;
            self.system.pass(MINUTES * 60_000).await?;
            let before = self.system.now() - KEPT - 4 * HOUR;
            self.written.borrow_mut().forget(before);
        }
        Ok(())
    }

    /// Reports many series of one time, some of their own times, and now and then of an hour that is
    /// sealed.
    async fn write(&self, component: u8) -> Checked {
        let (mut last, mut round) = (0, 0);
        while self.going() {
            round += 1;
            last = self.system.now().max(last + 2) & !1;
            let sample = |metric, label, at| {
                let key = Key { component, metric, label };
                Sample { key, at, bits: value(key, at).to_bits() }
            };
            let mut samples: Vec<Sample> = (0..20).map(|label| sample(0, label, last)).collect();
            samples.extend((0..3).map(|label| sample(1, label, last - i64::from(label))));
            if round % 5 == 0 {
                samples.extend((0..10).map(|label| sample(2, label, last - 2 * HOUR + 1)));
            }
            Written::note(&mut self.written.borrow_mut().sent, &samples);
            let began = Instant::now();
            self.system.server.report(&[samples.clone()], &Rc::default()).await?;
            self.took.borrow_mut().push(began.elapsed());
            Written::note(&mut self.written.borrow_mut().acknowledged, &samples);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn seal(&self) -> Checked {
        while self.going() {
            self.system.server.make_partitions().await?;
            self.system.server.seal().await?;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        Ok(())
    }

    async fn maintain(&self) -> Checked {
        while self.going() {
            self.system.server.maintain(KEPT).await?;
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        Ok(())
    }

    /// What was acknowledged before `question` has to be in its answer, if it is kept for as long;
    /// nothing that was not sent.
    async fn read(&self, from: i64, to: i64, question: impl Future<Output = Checked<Rows>>) -> Checked {
        let must: Vec<(i64, BTreeSet<Key>)> = self
            .written
            .borrow()
            .acknowledged
            .range(from..=to)
            .map(|(at, keys)| (*at, keys.clone()))
            .collect();
        let found = question.await?;
        let kept_from = self.system.now() - KEPT;
        for (at, keys) in must.iter().filter(|(at, _)| *at > kept_from) {
            for key in keys {
                if found.get(key).is_none_or(|samples| !samples.contains_key(at)) {
                    return Err(format!("{key:?} at {} is missing", time(*at)));
                }
            }
        }
        for (key, samples) in &found {
            for (at, bits) in samples {
                let sent = self.written.borrow().sent.get(at).is_some_and(|keys| keys.contains(key));
                if f64::from_bits(*bits) != value(*key, *at) || !sent {
                    return Err(format!("{key:?} at {} was not sent", time(*at)));
                }
            }
        }
        self.reads.set(self.reads.get() + 1);
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    async fn read_sql(&self, between: bool) -> Checked {
        let mut round = 0;
        while self.going() {
            round += 1;
            let now = self.system.now();
            let from = if between { now - (round * 17 % 350) * 60_000 } else { now - KEPT - 3 * HOUR };
            let to = if between { from + HOUR } else { now + HOUR };
            let of = if between {
                format!("noetl.metrics_between('{}', '{}')", time(from), time(to))
            } else {
                format!("noetl.metrics where \"timestamp\" between '{}' and '{}'", time(from), time(to))
            };
            let question = async {
                let sql = sqlx::AssertSqlSafe(format!("select {COLUMNS} from {of}"));
                let rows = sqlx::query(sql).fetch_all(&self.system.db.pool).await.map_err(fault)?;
                self.system.read(&rows, &self.system.series_ids().await?)
            };
            self.read(from, to, question).await.map_err(|why| format!("{of}: {why}"))?;
        }
        Ok(())
    }

    async fn read_api(&self) -> Checked {
        let mut round = 0;
        while self.going() {
            round += 1;
            let from = self.system.now() - (round * 37 % 360) * 60_000;
            let to = from + 2 * HOUR;
            let question = async {
                let query = Query {
                    start: Some(Millis(from)),
                    end: Some(Millis(to)),
                    limit: 700,
                    ..Query::default()
                };
                self.pages(query).await
            };
            self.read(from, to, question)
                .await
                .map_err(|why| format!("the API from {}: {why}", time(from)))?;
        }
        Ok(())
    }

    async fn pages(&self, mut query: Query) -> Checked<Rows> {
        let mut rows = Rows::new();
        loop {
            let page = query.run(&self.system.server.database).await.map_err(fault)?;
            for row in &page {
                let label = label_of(row)?;
                let key = Key::of(&row.series.component_name, &row.series.metric_name, &label)
                    .ok_or("no series")?;
                let twice = rows.entry(key).or_default().insert(row.place.at.0, row.value.to_bits());
                if twice.is_some() {
                    return Err(format!("{key:?} at {} is there twice", row.at.rfc3339()));
                }
            }
            match page.last() {
                Some(last) if page.len() >= query.limit => query.after = Some(Page { ..last.place }),
                _ => return Ok(rows),
            }
        }
    }
}

#[tokio::test]
async fn readers_see_each_sample_once_while_hours_are_sealed_and_dropped() {
    let told =
        std::env::var("BUSY").ok().map(|text| text.parse::<u64>().expect("BUSY is a number of seconds"));
    let _alone = TURNS.write().await;
    let system = System::start(1_710_028_800_000).await.unwrap();
    let said_before = Cluster::shared().log().len();
    let busy = Busy {
        system,
        written: RefCell::default(),
        done: Cell::new(false),
        took: RefCell::default(),
        reads: Cell::new(0),
    };
    let timer = async {
        tokio::time::sleep(Duration::from_secs(told.unwrap_or(20))).await;
        busy.done.set(true);
        Ok(())
    };
    assert_eq!(COMPONENTS, 3, "each has its writer");
    let all = tokio::try_join!(
        timer,
        busy.pass(),
        busy.write(0),
        busy.write(1),
        busy.write(2),
        busy.seal(),
        busy.maintain(),
        busy.read_sql(false),
        busy.read_sql(true),
        busy.read_api(),
        busy.read_api(),
    );
    if let Err(why) = all {
        panic!("{why}");
    }
    let mut took = busy.took.into_inner();
    took.sort_unstable();
    let p99 = took[took.len() * 99 / 100];
    let sealed: i64 = busy.system.db.column("select count(*) from noetl_metrics.sealed_hour").await[0];
    eprintln!("{} reports, p99 {p99:?}, {} reads, {sealed} sealed hours", took.len(), busy.reads.get());
    assert!(told.is_none() || p99 < P99, "ninety-nine of a hundred reports took {p99:?} at most");
    // Those that seal wait for each other, and for readers before a partition goes; nobody else waits.
    let log = Cluster::shared().log();
    let among_themselves =
        |line: &str| line.contains(" on advisory lock ") || line.contains(" on virtual transaction ");
    let waits: Vec<&str> =
        log[said_before..].lines().filter(|line| line.contains("still waiting for")).collect();
    let others: Vec<&&str> = waits.iter().filter(|line| !among_themselves(line)).collect();
    assert!(others.is_empty(), "somebody waits for a lock: {others:#?}");
    assert!(
        sealed > 1 && busy.reads.get() > 20,
        "{sealed} hours were sealed, {} times was read",
        busy.reads.get()
    );
}
