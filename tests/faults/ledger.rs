//! What was sent and what was acknowledged, and whether the database agrees.

use std::collections::HashMap;

use parking_lot::Mutex;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use crate::clock::Clock;
use crate::harness::now;

/// Counters, and gauges that come late.
pub const COUNTER: &str = "faults_reported_total";
pub const LATE: &str = "faults_late";

/// The servers' `--max-future`.
const MAX_FUTURE_MS: i64 = 600_000;

/// One sample; a value is sent once for each series.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub reporter: u16,
    pub late: bool,
    pub series: u16,
    pub value: u64,
}

/// A sample, and the time it is sent with, where it is, in milliseconds since 1970.
pub type Sent = (Key, Option<i64>);

#[derive(Clone, Copy, Debug)]
struct Fate {
    at: Option<i64>,
    acknowledged: bool,
    /// When it was sent first, and when there was an answer.
    sent: i64,
    answered: i64,
    /// How often it was sent until then.
    tries: i64,
}

/// All samples that were sent.
#[derive(Default)]
pub struct Ledger {
    samples: Mutex<HashMap<Key, Fate>>,
}

/// What is wrong in the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    pub acknowledged: usize,
    pub lost: usize,
    pub doubled: usize,
    /// Stored, and never sent so.
    pub foreign: usize,
    /// Stored at a time that they can't have.
    pub misdated: usize,
    /// Stored at a time of a clock that was wrong.
    pub by_wrong_clock: usize,
}

impl Compared {
    pub const fn is_right(self) -> bool {
        matches!(self, Self { lost: 0, doubled: 0, foreign: 0, misdated: 0, .. })
    }
}

/// A sample that was sent without a time, and that which it got.
#[derive(Clone, Copy, Debug)]
struct Untimed {
    fate: Fate,
    time: i64,
}

impl Ledger {
    pub fn sent(&self, samples: &[Sent]) {
        let mut all = self.samples.lock();
        for (key, at) in samples {
            let fate = Fate { at: *at, acknowledged: false, sent: now(), answered: i64::MAX, tries: 0 };
            let before = all.insert(key.clone(), fate);
            assert!(before.is_none(), "{key:?} is sent once");
        }
    }

    /// There was an answer to the last of so many tries.
    pub fn acknowledged(&self, samples: &[Sent], tries: i64) {
        let mut all = self.samples.lock();
        for (key, _) in samples {
            let fate = all.get_mut(key).expect("it was sent");
            *fate = Fate { acknowledged: true, answered: now(), tries, ..*fate };
        }
    }

    /// Compares with what is stored now. Reports may go on meanwhile. What was sent without a time has one of
    /// the servers' `clocks`.
    pub async fn compare(
        &self,
        database: &mut PgConnection,
        clocks: &[Clock],
    ) -> Result<Compared, sqlx::Error> {
        let acknowledged: Vec<Key> = {
            let all = self.samples.lock();
            all.iter().filter(|(_, fate)| fate.acknowledged).map(|(key, _)| key.clone()).collect()
        };
        let rows = sqlx::query(
            "select r.name, m.metric_name, m.labels->>'s', (extract(epoch from m.timestamp) * 1000)::bigint, \
             m.metric_value from noetl.metrics m join noetl.runtime r using (runtime_id) where m.metric_name like 'faults%'",
        )
        .fetch_all(database)
        .await?;
        let mut stored = HashMap::<Key, Vec<i64>>::new();
        let mut foreign = 0;
        for row in &rows {
            match key_of(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(4)?) {
                Some(key) => stored.entry(key).or_default().push(row.try_get(3)?),
                None => foreign += 1,
            }
        }
        let all = self.samples.lock();
        let found = judge(&acknowledged, &stored, foreign, |key| all.get(key).map(|fate| fate.at));
        let mut untimed = HashMap::<(u16, u16), Vec<(u64, Untimed)>>::new();
        for (key, times) in &stored {
            let fate = all.get(key).filter(|fate| fate.at.is_none() && fate.acknowledged);
            for (fate, time) in fate.into_iter().flat_map(|fate| times.iter().map(move |time| (fate, *time)))
            {
                let of_series = untimed.entry((key.reporter, key.series)).or_default();
                of_series.push((key.value, Untimed { fate: *fate, time }));
            }
        }
        let (mut misdated, mut by_wrong_clock) = (0, 0);
        for mut of_series in untimed.into_values() {
            of_series.sort_by_key(|(value, _)| *value);
            let of_series: Vec<Untimed> = of_series.into_iter().map(|(_, one)| one).collect();
            misdated += wrong_times(&of_series, |time, from, to| {
                clocks.iter().any(|clock| clock.showed(time, from, to))
            });
            by_wrong_clock += of_series
                .iter()
                .filter(|one| !(one.fate.sent..=one.fate.answered).contains(&one.time))
                .count();
        }
        Ok(Compared { misdated, by_wrong_clock, ..found })
    }
}

/// How many of a series' samples, in their order, have a time that they can't have: it is what a clock showed
/// while they were on their way, or the milliseconds after the last where that clock is behind; and it is
/// later than the last, unless that clock is behind by more than `--max-future`.
fn wrong_times(samples: &[Untimed], showed: impl Fn(i64, i64, i64) -> bool) -> usize {
    let mut last: Option<i64> = None;
    let mut tries = 0;
    let mut wrong = 0;
    for Untimed { fate, time } in samples {
        tries += fate.tries;
        // Tries that were not stored had their millisecond too, also those of the last one.
        let follows = last.is_some_and(|last| (last + 1..=last + tries).contains(time));
        let goes_back = last.is_some_and(|last| *time <= last && last - time <= MAX_FUTURE_MS);
        if goes_back || !(follows || showed(*time, fate.sent, fate.answered)) {
            wrong += 1;
        }
        if last.is_none_or(|last| *time > last) {
            (last, tries) = (Some(*time), fate.tries);
        }
    }
    wrong
}

/// `sent` tells whether a sample was sent, and the time it was sent with.
fn judge(
    acknowledged: &[Key],
    stored: &HashMap<Key, Vec<i64>>,
    foreign: usize,
    sent: impl Fn(&Key) -> Option<Option<i64>>,
) -> Compared {
    let is_foreign = |(key, times): &(&Key, &Vec<i64>)| match sent(key) {
        None => true,
        Some(None) => false,
        Some(Some(at)) => times.iter().any(|time| *time != at),
    };
    Compared {
        acknowledged: acknowledged.len(),
        lost: acknowledged.iter().filter(|key| !stored.contains_key(key)).count(),
        doubled: stored.values().filter(|times| times.len() > 1).count(),
        foreign: foreign + stored.iter().filter(is_foreign).count(),
        ..Compared::default()
    }
}

/// A reporter's name, which has its number.
pub fn reporter(number: u16) -> String {
    format!("reporter-{number}")
}

fn key_of(component: &str, metric: &str, series: &str, value: f64) -> Option<Key> {
    let reporter = component.strip_prefix("reporter-")?.parse().ok()?;
    let late = match metric {
        COUNTER => false,
        LATE => true,
        _ => return None,
    };
    Some(Key { reporter, late, series: series.parse().ok()?, value: value as u64 })
}

#[test]
fn what_is_lost_doubled_or_foreign_is_found() {
    let key = |value| Key { reporter: 1, late: false, series: 0, value };
    let sent = HashMap::from([(key(1), Some(10)), (key(2), None), (key(3), Some(30)), (key(4), None)]);
    let acknowledged = [key(1), key(2), key(3)];
    let check = |stored: &[(Key, &[i64])]| {
        let stored = stored.iter().map(|(key, times)| (key.clone(), times.to_vec())).collect();
        let found = judge(&acknowledged, &stored, 0, |key| sent.get(key).copied());
        (found.lost, found.doubled, found.foreign)
    };
    let whole: Vec<(Key, &[i64])> = vec![(key(1), &[10]), (key(2), &[77]), (key(3), &[30])];
    assert_eq!(check(&whole), (0, 0, 0));
    assert_eq!(check(&whole[1..]), (1, 0, 0));
    // One without an answer may be there, or not.
    assert_eq!(check(&[&whole[..], &[(key(4), &[5])]].concat()), (0, 0, 0));
    assert_eq!(check(&[&whole[..2], &[(key(3), &[30, 31])]].concat()), (0, 1, 1));
    assert_eq!(check(&[&whole[..], &[(key(9), &[5])]].concat()), (0, 0, 1));
    assert_eq!(check(&[&whole[..], &[(key(4), &[5, 6])]].concat()), (0, 1, 0));
}

#[test]
fn a_time_that_no_clock_showed_is_found() {
    let untimed = |sent: i64, tries: i64, time: i64| Untimed {
        fate: Fate { at: None, acknowledged: true, sent, answered: sent + 10, tries },
        time,
    };
    // The clock is right until 100, 50 ahead until 200, and right again.
    let showed = |time: i64, from: i64, to: i64| {
        let ahead = if (100..200).contains(&from) { 50 } else { 0 };
        (from + ahead..=to + ahead).contains(&time)
    };
    let wrong = |samples: &[Untimed]| wrong_times(samples, showed);
    let whole = [untimed(80, 1, 85), untimed(120, 1, 175), untimed(190, 1, 245), untimed(220, 1, 246)];
    assert_eq!(wrong(&whole), 0);
    assert_eq!(wrong(&[&whole[..], &[untimed(300, 1, 301)]].concat()), 0);
    assert_eq!(wrong(&[untimed(120, 1, 125)]), 1, "the clock was ahead");
    assert_eq!(wrong(&[&whole[..3], &[untimed(220, 1, 225)]].concat()), 1, "before the one before");
    assert_eq!(wrong(&[&whole[..3], &[untimed(220, 1, 245)]].concat()), 1, "at the time of the one before");
    assert_eq!(wrong(&[&whole[..3], &[untimed(220, 1, 249)]].concat()), 1, "later than the next");
    assert_eq!(wrong(&[&whole[..3], &[untimed(220, 3, 249)]].concat()), 0, "it was tried three times");
    let far = untimed(100 - MAX_FUTURE_MS, 1, 101 - MAX_FUTURE_MS);
    assert_eq!(wrong(&[whole[0], whole[1], far]), 0, "a clock that is behind by more than is bridged");
}
