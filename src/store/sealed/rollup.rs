//! Roll-ups: what each series' samples of an hour come to, a bucket. Those of an hour are rows of
//! `noetl_metrics.rollup_hour`; once a day is over, those of its hours are packed together into rows of
//! `noetl_metrics.rollup_day`, where they take far less room. Rows of hours override those of days, and
//! a bucket without samples says that there is none.
//!
//! Whoever changes them has [the lock](super::seal::lock).

use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use sqlx::Row as _;

use super::bucket::{Bucket, FIELDS};
use super::chunk::Chunk;
use super::ids::Ids;
use super::seal::HOUR_MS;
use super::table;
use crate::model::Millis;
use crate::store::db::{StoreError, Timestamp, Transaction, sql, sql_made};

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * HOUR_MS;

const HOURS: &str = "rollup_hour";
const DAYS: &str = "rollup_day";

/// Buckets that are packed at once; more are packed series by series.
const AT_ONCE: i64 = 1_000_000;

/// Buckets of hours from one time on, in the order in which each overrides those of the same series and
/// hour before.
#[derive(Debug)]
pub(super) struct Rollups {
    from: Millis,
    pub(super) all: Vec<(i32, i32, Bucket)>,
}

impl Rollups {
    pub(super) fn of(from: Millis) -> Self {
        Self { from, all: Vec::new() }
    }

    pub(super) fn push(&mut self, series: i32, hour: Millis, bucket: Bucket) {
        // Of a day: it fits.
        self.all.push((series, i32::try_from(hour.since(self.from)).unwrap_or(i32::MAX), bucket));
    }

    /// Their series, each once, in order.
    fn series(&self) -> Vec<i32> {
        let mut ids: Vec<i32> = self.all.iter().map(|(id, ..)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Puts them in the order of series and hour, each hour of a series once.
    pub(super) fn sort(&mut self) {
        self.all.sort_by_key(|(id, ms, _)| (*id, *ms));
        self.all.dedup_by(|later, kept| {
            let same = (later.0, later.1) == (kept.0, kept.1);
            if same {
                kept.2 = later.2;
            }
            same
        });
    }

    /// The chunks that hold them. They are [in order](Self::sort).
    pub(super) fn pack(&self) -> Vec<Chunk> {
        type Series<'a> = Vec<&'a [(i32, i32, Bucket)]>;
        let mut groups: HashMap<Vec<i64>, Series<'_>> = HashMap::new();
        for one in self.all.chunk_by(|a, b| a.0 == b.0) {
            groups.entry(one.iter().map(|(_, ms, _)| i64::from(*ms)).collect()).or_default().push(one);
        }
        let mut chunks = Vec::new();
        for (hours, series) in groups {
            let mut chunk = Chunk::new(self.from, &hours);
            for one in series {
                let numbers: [Vec<f64>; FIELDS] = std::array::from_fn(|field| {
                    one.iter().filter_map(|(.., bucket)| bucket.fields().get(field).copied()).collect()
                });
                let numbers = numbers.each_ref().map(Vec::as_slice);
                let id = one.first().map_or(0, |(id, ..)| *id);
                if !chunk.add_all(id, &numbers) {
                    chunks.push(std::mem::replace(&mut chunk, Chunk::new(self.from, &hours)));
                    // Alone it has room.
                    chunk.add_all(id, &numbers);
                }
            }
            chunks.push(chunk);
        }
        chunks
    }

    /// Adds those of a row.
    pub(super) fn unpack(&mut self, chunk: &Chunk) -> Result<(), StoreError> {
        let damaged = || table::damaged(chunk.hour);
        let hours = chunk.all_times().ok_or_else(damaged)?;
        for of in chunk.series.chunks(FIELDS) {
            let numbers: Option<Vec<Vec<f64>>> = of.iter().map(|one| chunk.values(one)).collect();
            let numbers = numbers.filter(|numbers| numbers.len() == FIELDS).ok_or_else(damaged)?;
            let id = of.first().map_or(0, |one| one.id);
            for (i, hour) in hours.iter().enumerate() {
                let number =
                    |field: usize| numbers.get(field).and_then(|n| n.get(i)).copied().unwrap_or(f64::NAN);
                self.push(id, *hour, Bucket::from_fields(std::array::from_fn(number)));
            }
        }
        Ok(())
    }
}

/// What is known of an hour before something of it changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// It has sealed samples.
    pub(super) sealed: bool,
    /// Every series that was sampled has its roll-up.
    pub(super) rolled: bool,
}

impl Before {
    pub(super) async fn of(tx: &mut Transaction, hour: Millis) -> Result<Self, StoreError> {
        let row = sql("select exists (select from noetl_metrics.sealed_hour where hour = $1), \
                         exists (select from noetl_metrics.rolled_hour where hour = $1)")
        .bind(Timestamp(hour))
        .fetch_one(&mut **tx)
        .await?;
        Ok(Self { sealed: row.try_get(0)?, rolled: row.try_get(1)? })
    }

    /// Its samples are gone, and its roll-ups say more than what comes now.
    pub(super) const fn is_past(self) -> bool {
        self.rolled && !self.sealed
    }
}

/// Stores what the samples of some series come to now that the hour is changed. `gone` had some before
/// and have none any more; of the others, so many are `new` in the hour.
pub(super) async fn put(
    tx: &mut Transaction,
    hour: Millis,
    before: Before,
    mut buckets: Vec<(i32, Bucket)>,
    gone: &[i32],
    new: i64,
) -> Result<(), StoreError> {
    if before.is_past() {
        let ids: Vec<i32> = buckets.iter().map(|(id, _)| *id).collect();
        let mut known = std::collections::HashSet::new();
        read(tx, Some(&Ids::of(ids)), &[(hour, hour)], |id, _, _| _ = known.insert(id)).await?;
        buckets.retain(|(id, _)| !known.contains(id));
    }
    let mut all = Rollups::of(hour);
    let mut ids: Vec<i32> = buckets.iter().map(|(id, _)| *id).chain(gone.iter().copied()).collect();
    ids.sort_unstable();
    let text = format!(
        "delete from noetl_metrics.{HOURS} c where c.hour = $1 and c.series_ids && $2::integer[] returning {}",
        table::COLUMNS
    );
    if before.sealed {
        for row in sql_made(text).bind(Timestamp(hour)).bind(&ids).fetch_all(&mut **tx).await? {
            all.unpack(&table::read(&row)?)?;
        }
    }
    let gone = gone.iter().map(|id| (*id, Bucket::NONE));
    for (id, bucket) in buckets.into_iter().chain(gone) {
        all.push(id, hour, bucket);
    }
    insert(tx, HOURS, all).await?;
    if before.rolled || !before.sealed {
        mark(tx, hour, new).await?;
    }
    Ok(())
}

/// Notes that every series of an hour has its roll-up, and so many more than before.
async fn mark(tx: &mut Transaction, hour: Millis, new: i64) -> Result<(), StoreError> {
    sql("insert into noetl_metrics.rolled_hour (hour, buckets) values ($1, $2) \
         on conflict (hour) do update set buckets = rolled_hour.buckets + excluded.buckets")
    .bind(Timestamp(hour))
    .bind(new)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn insert(tx: &mut Transaction, table: &str, mut all: Rollups) -> Result<(), StoreError> {
    // As long as a core is busy with it, the others' requests must not wait.
    let packed = tokio::task::spawn_blocking(move || {
        all.sort();
        all.pack()
    });
    for chunk in packed.await.map_err(|e| StoreError::Unavailable(e.to_string()))? {
        table::insert(tx, table, &chunk, FIELDS).await?;
    }
    Ok(())
}

/// Stores the roll-ups of an hour that was sealed without; the buckets of some series at a time.
pub(super) struct Backfill {
    hour: Millis,
    buckets: i64,
}

impl Backfill {
    pub(super) const fn of(hour: Millis) -> Self {
        Self { hour, buckets: 0 }
    }

    pub(super) async fn add(
        &mut self,
        tx: &mut Transaction,
        buckets: Vec<(i32, Bucket)>,
    ) -> Result<(), StoreError> {
        self.buckets += i64::try_from(buckets.len()).unwrap_or(0);
        let before = Before { sealed: true, rolled: false };
        put(tx, self.hour, before, buckets, &[], 0).await
    }

    pub(super) async fn finish(self, tx: &mut Transaction) -> Result<(), StoreError> {
        mark(tx, self.hour, self.buckets).await
    }
}

/// Days before `over` with roll-ups of hours that are not packed, and without hours that still wait for
/// theirs, oldest first.
pub(super) async fn unpacked_days(tx: &mut Transaction, over: Millis) -> Result<Vec<Millis>, StoreError> {
    let rows = sql("select (extract(epoch from d.day) * 1000)::bigint from ( \
                      select distinct date_trunc('day', hour, 'UTC') as day from noetl_metrics.rollup_hour where hour < $1) d \
                    where d.day + interval '1 day' <= $1 and not exists ( \
                      select from noetl_metrics.sealed_hour s \
                      where s.hour >= d.day and s.hour < d.day + interval '1 day' \
                        and not exists (select from noetl_metrics.rolled_hour r where r.hour = s.hour)) order by 1")
        .bind(Timestamp(over))
        .fetch_all(&mut **tx)
        .await?;
    rows.iter().map(|row| Ok(Millis(row.try_get(0)?))).collect()
}

/// Packs the roll-ups of a day's hours, and brings those that changed into it.
pub(super) async fn pack_day(tx: &mut Transaction, day: Millis) -> Result<(), StoreError> {
    let (from, to) = (Timestamp(day), Timestamp(day.plus(DAY_MS)));
    sql("select noetl_metrics.create_month($1)").bind(from).execute(&mut **tx).await?;
    let row = sql("select coalesce(sum(cardinality(series_ids)), 0)::bigint, coalesce(max(greatest_id), 0) \
                   from noetl_metrics.rollup_hour where hour >= $1 and hour < $2")
    .bind(from)
    .bind(to)
    .fetch_one(&mut **tx)
    .await?;
    let (buckets, greatest): (i64, i32) = (row.try_get(0)?, row.try_get(1)?);
    let windows = i32::try_from(buckets / AT_ONCE + 1).unwrap_or(i32::MAX);
    let width = greatest / windows + 1;
    let hours = format!(
        "select {} from noetl_metrics.{HOURS} c where c.hour >= $1 and c.hour < $2 and c.least_id <= $4 and c.greatest_id >= $3",
        table::COLUMNS
    );
    // What is there of these series goes, with all series that it has.
    let days = format!(
        "delete from noetl_metrics.{DAYS} c where c.hour = '{}' and c.series_ids && $1::integer[] returning {}",
        day.rfc3339(),
        table::COLUMNS
    );
    let mut least = i32::MIN;
    for window in 1..=windows {
        let most = if window == windows { i32::MAX } else { width * window };
        let mut changed = Rollups::of(day);
        let query = sql_made(hours.clone()).bind(from).bind(to).bind(least).bind(most);
        let mut rows = query.fetch(&mut **tx);
        while let Some(row) = rows.try_next().await? {
            changed.unpack(&table::read(&row)?)?;
        }
        drop(rows);
        changed.all.retain(|(id, ..)| (least..=most).contains(id));
        least = most.saturating_add(1);
        if changed.all.is_empty() {
            continue;
        }
        let mut all = Rollups::of(day);
        for row in sql_made(days.clone()).bind(changed.series()).fetch_all(&mut **tx).await? {
            all.unpack(&table::read(&row)?)?;
        }
        all.all.append(&mut changed.all);
        all.sort();
        all.all.retain(|(.., bucket)| bucket.count > 0.0);
        insert(tx, DAYS, all).await?;
    }
    sql("delete from noetl_metrics.rollup_hour where hour >= $1 and hour < $2")
        .bind(from)
        .bind(to)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Reads the buckets of series in ranges of hours, and tells `found` of each: series, hour, bucket. In
/// no particular order.
pub(in crate::store) async fn read(
    tx: &mut Transaction,
    ids: Option<&Ids>,
    hours: &[(Millis, Millis)],
    mut found: impl FnMut(i32, Millis, Bucket),
) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (hours.first(), hours.last()) else { return Ok(()) };
    let wanted = |id: i32, hour: Millis| {
        ids.is_none_or(|ids| ids.has(id)) && hours.iter().any(|(from, to)| (*from..=*to).contains(&hour))
    };
    let rows_of_ids = Ids::overlap(ids);
    let mut changed = HashMap::new();
    for (table, from) in [(HOURS, first.0), (DAYS, first.0.floor(DAY_MS))] {
        let text = format!(
            "select {} from noetl_metrics.{table} c where c.hour between '{}' and '{}' {rows_of_ids}",
            table::COLUMNS,
            from.rfc3339(),
            last.1.rfc3339()
        );
        let mut rows = sql_made(text).fetch(&mut **tx);
        while let Some(row) = rows.try_next().await? {
            let chunk = table::read(&row)?;
            let mut here = Rollups::of(chunk.hour);
            here.unpack(&chunk)?;
            for (id, ms, bucket) in here.all {
                let hour = chunk.hour.plus(ms.into());
                if !wanted(id, hour) {
                    continue;
                }
                if table == HOURS {
                    changed.insert((id, hour), bucket);
                } else if !changed.contains_key(&(id, hour)) {
                    found(id, hour, bucket);
                }
            }
        }
    }
    for ((id, hour), bucket) in changed {
        if bucket.count > 0.0 {
            found(id, hour, bucket);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn buckets_are_unpacked_as_they_were_packed(
            all in prop::collection::btree_map((0_i32..40, 0_i32..24), prop::array::uniform7(any::<f64>()), 1..200)
        ) {
            let mut packed = Rollups::of(Millis(0));
            for ((id, hour), fields) in &all {
                packed.push(*id, Millis(i64::from(*hour) * HOUR_MS), Bucket::from_fields(*fields));
            }
            packed.sort();
            let mut unpacked = Rollups::of(Millis(0));
            for chunk in packed.pack() {
                unpacked.unpack(&chunk).unwrap();
            }
            unpacked.sort();
            let bits = |all: &Rollups| -> Vec<_> {
                all.all.iter().map(|(id, ms, b)| (*id, *ms, b.fields().map(f64::to_bits))).collect()
            };
            prop_assert_eq!(bits(&unpacked), bits(&packed));
        }
    }

    #[test]
    fn a_day_of_buckets_takes_few_bytes() {
        let mut all = Rollups::of(Millis(0));
        let mut random = 1_u64;
        let mut chance = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 11) as f64 / (1_u64 << 53) as f64
        };
        for id in 0..100 {
            let mut value = 50.0;
            for hour in 0..24 {
                let mut values = Vec::new();
                for _ in 0..60 {
                    match id {
                        0..30 => {}
                        30..65 => value = ((value + chance() - 0.5) * 100.0_f64).round() / 100.0,
                        _ => value += (chance() * 5000.0).floor(),
                    }
                    values.push(value);
                }
                all.push(id, Millis(hour * HOUR_MS), Bucket::of_rounded(&values).unwrap());
            }
        }
        all.sort();
        let chunks = all.pack();
        let bytes: usize =
            chunks.iter().map(|c| c.bits.len().div_ceil(8) + 8 * c.doubles.len() + 8 * c.series.len()).sum();
        assert!(chunks.len() <= 4 && bytes < 2400 * 10, "{} rows, {bytes} bytes", chunks.len());
    }
}
