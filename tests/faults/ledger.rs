//! What was sent and what was acknowledged, and whether the database agrees.

use std::collections::HashMap;

use parking_lot::Mutex;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

/// Counters, and gauges that come late.
pub const COUNTER: &str = "faults_reported_total";
pub const LATE: &str = "faults_late";

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
}

impl Ledger {
    pub fn sent(&self, samples: &[Sent]) {
        let mut all = self.samples.lock();
        for (key, at) in samples {
            let before = all.insert(key.clone(), Fate { at: *at, acknowledged: false });
            assert!(before.is_none(), "{key:?} is sent once");
        }
    }

    pub fn acknowledged(&self, samples: &[Sent]) {
        let mut all = self.samples.lock();
        for (key, _) in samples {
            all.get_mut(key).expect("it was sent").acknowledged = true;
        }
    }

    /// Compares with what is stored now. Reports may go on meanwhile.
    pub async fn compare(&self, database: &mut PgConnection) -> Result<Compared, sqlx::Error> {
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
        Ok(judge(&acknowledged, &stored, foreign, |key| all.get(key).map(|fate| fate.at)))
    }
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
