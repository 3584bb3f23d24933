//! Sealing: the samples of an hour that is over become chunks; late ones are brought into theirs. What
//! changes of an hour changes its roll-ups in the same transaction.
//!
//! One at a time: who changes chunks holds a lock until the end of the transaction.

use std::collections::HashSet;

use futures_util::TryStreamExt as _;
use sqlx::{PgConnection, Row as _};

use super::rollup::{self, Before};
use super::samples::Samples;
use super::table;
use crate::model::Millis;
use crate::store::arrays::Doubles;
use crate::store::blocks::ids_of;
use crate::store::db::{Database, StoreError, Timestamp, Transaction, sql, sql_made};

/// Milliseconds of an hour.
pub(in crate::store) const HOUR_MS: i64 = 3_600_000;

/// Samples that are packed at once; more are packed series by series.
pub(super) const AT_ONCE: u64 = 2_000_000;

/// Late samples that are brought into their hour at once.
const LATE_AT_ONCE: u64 = 100_000;

/// The samples of an hour that are not sealed.
const OF_HOUR: &str = "\"timestamp\" >= $1 and \"timestamp\" < $1 + interval '1 hour'";

/// Seals what an hour has that is not sealed; returns how many samples were. Nothing where somebody
/// else is sealing just now. Whoever calls it has seen to it that nobody appends to the hour any more.
pub(in crate::store) async fn seal(database: &Database, hour: Millis) -> Result<Option<u64>, StoreError> {
    // One snapshot for all statements: what is deleted is what was read.
    let mut tx = database.begin_snapshot().await?;
    if !lock(&mut tx, false).await? {
        return Ok(None);
    }
    if !table::has_day(&mut tx, hour).await? && has_unsealed(&mut tx, hour).await? {
        // Made before anything is moved into it: a reader whose plan does not know it yet may still see
        // what this transaction does.
        table::create_day(&mut tx, hour).await?;
        tx.commit().await?;
        tx = database.begin_snapshot().await?;
        if !lock(&mut tx, false).await? {
            return Ok(None);
        }
    }
    let text = format!(
        "select (select count(*) from noetl_metrics.sample where {OF_HOUR})::bigint, \
                coalesce(sum(cardinality(\"values\")), 0)::bigint, \
                coalesce((select max(series_id) from noetl_metrics.series), 0) \
         from noetl_metrics.block where {OF_HOUR}"
    );
    let row = sql_made(text).bind(Timestamp(hour)).fetch_one(&mut *tx).await?;
    let (rows, blocks, greatest): (i64, i64, i32) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let all = (rows + blocks).unsigned_abs();
    if all == 0 {
        return Ok(Some(0));
    }
    let before = Before::of(&mut tx, hour).await?;
    let mut sealed = 0;
    let windows = i32::try_from(all / AT_ONCE + 1).unwrap_or(i32::MAX);
    let width = greatest / windows + 1;
    let mut least = i32::MIN;
    for window in 1..=windows {
        let most = if window == windows { i32::MAX } else { width * window };
        let samples = unsealed(&mut tx, hour, least, most).await?;
        sealed += samples.len() as u64;
        add(&mut tx, hour, before, samples).await?;
        least = most.saturating_add(1);
    }
    // Nothing is deleted that was not packed.
    if sealed != all {
        let hour = hour.rfc3339();
        return Err(StoreError::Unavailable(format!(
            "{sealed} of the {all} samples of {hour} could be sealed"
        )));
    }
    for table in ["block", "sample"] {
        let text = format!("delete from noetl_metrics.{table} where {OF_HOUR}");
        sql_made(text).bind(Timestamp(hour)).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(Some(sealed))
}

async fn has_unsealed(on: &mut PgConnection, hour: Millis) -> Result<bool, StoreError> {
    let text = format!(
        "select exists (select from noetl_metrics.block where {OF_HOUR}) \
             or exists (select from noetl_metrics.sample where {OF_HOUR})"
    );
    Ok(sql_made(text).bind(Timestamp(hour)).fetch_one(on).await?.try_get(0)?)
}

/// The samples of an hour and of series from one to another that are not sealed.
async fn unsealed(on: &mut PgConnection, hour: Millis, least: i32, most: i32) -> Result<Samples, StoreError> {
    let mut samples = Samples::of(hour);
    let text = format!(
        "select (extract(epoch from \"timestamp\") * 1000)::bigint, series_ids, \"values\", least_id \
         from noetl_metrics.block where {OF_HOUR} and least_id <= $3 and greatest_id >= $2"
    );
    let mut blocks = sql_made(text).bind(Timestamp(hour)).bind(least).bind(most).fetch(&mut *on);
    while let Some(row) = blocks.try_next().await? {
        let at = Millis(row.try_get(0)?);
        let Doubles(values) = row.try_get(2)?;
        let ids = ids_of(row.try_get(1)?, row.try_get(3)?, values.len());
        for (id, value) in ids.into_iter().zip(values).filter(|(id, _)| (least..=most).contains(id)) {
            samples.push(id, at, value);
        }
    }
    drop(blocks);
    // Of rows that somebody put in by hand, the one that was stored last comes last.
    let text = format!(
        "select series_id, floor(extract(epoch from \"timestamp\") * 1000)::bigint, value \
         from noetl_metrics.sample where {OF_HOUR} and series_id between $2 and $3 order by tableoid, ctid"
    );
    let mut rows = sql_made(text).bind(Timestamp(hour)).bind(least).bind(most).fetch(&mut *on);
    while let Some(row) = rows.try_next().await? {
        samples.push(row.try_get(0)?, Millis(row.try_get(1)?), row.try_get(2)?);
    }
    drop(rows);
    Ok(samples)
}

/// Brings late samples into hours that are over, and of these into those from `from` on; returns how
/// many. An hour that still has samples which are not sealed waits until they are; one whose samples are
/// gone takes none any more, since its roll-ups say more than they would.
pub(in crate::store) async fn merge_late(
    database: &Database,
    from: Millis,
    over: Millis,
) -> Result<u64, StoreError> {
    let mut tx = database.begin_long().await?;
    let hours = late_hours(&mut tx, from, over).await?;
    tx.commit().await?;
    let mut merged = 0;
    for hour in hours {
        loop {
            let mut tx = database.begin_long().await?;
            lock(&mut tx, true).await?;
            let some = merge_hour(&mut tx, hour).await?;
            tx.commit().await?;
            merged += some;
            if some < LATE_AT_ONCE {
                break;
            }
        }
    }
    Ok(merged)
}

/// Hours with late samples that [`merge_late`] brings into them.
async fn late_hours(on: &mut PgConnection, from: Millis, over: Millis) -> Result<Vec<Millis>, StoreError> {
    let rows = sql("select (extract(epoch from h.hour) * 1000)::bigint from ( \
                      select distinct date_bin('1 hour', \"timestamp\", 'epoch') as hour from noetl_metrics.sample_late \
                      where \"timestamp\" >= $1 and \"timestamp\" < $2) h \
                    where not exists (select from noetl_metrics.unsealed u \
                      where u.\"timestamp\" >= h.hour and u.\"timestamp\" < h.hour + interval '1 hour') \
                    and (not exists (select from noetl_metrics.rolled_hour r where r.hour = h.hour) \
                      or exists (select from noetl_metrics.sealed_hour s where s.hour = h.hour)) \
                    order by 1")
    .bind(Timestamp(from))
    .bind(Timestamp(over))
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| Ok(Millis(row.try_get(0)?))).collect()
}

/// How many samples from one time to another a relation has: `unsealed`, or `sample_late`.
pub(in crate::store) async fn count(
    on: &mut PgConnection,
    relation: &str,
    from: Millis,
    over: Millis,
) -> Result<u64, StoreError> {
    let text = format!(
        "select count(*) from noetl_metrics.{relation} where \"timestamp\" >= $1 and \"timestamp\" < $2"
    );
    let row = sql_made(text).bind(Timestamp(from)).bind(Timestamp(over)).fetch_one(on).await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}

async fn merge_hour(tx: &mut Transaction, hour: Millis) -> Result<u64, StoreError> {
    // Locked in the order in which the writer locks them, so that neither waits for the other; from
    // here to the end none of them changes.
    let text = format!(
        "select series_id, (extract(epoch from \"timestamp\") * 1000)::bigint, value, ctid::text, \
           (extract(epoch from created_at) * 1000)::bigint \
         from noetl_metrics.sample_late where {OF_HOUR} \
         order by series_id, \"timestamp\" limit {LATE_AT_ONCE} for update"
    );
    let rows = sql_made(text).bind(Timestamp(hour)).fetch_all(&mut **tx).await?;
    let before = Before::of(tx, hour).await?;
    let mut samples = Samples::of(hour);
    let mut places: Vec<String> = Vec::with_capacity(rows.len());
    let mut stored = Millis(0);
    for row in &rows {
        samples.push(row.try_get(0)?, Millis(row.try_get(1)?), row.try_get(2)?);
        places.push(row.try_get(3)?);
        stored = stored.max(Millis(row.try_get(4)?));
    }
    add(tx, hour, before, samples).await?;
    // Who sends on what is new finds it in its hour from now on.
    sql("update noetl_metrics.sealed_hour set late_at = greatest(late_at, $2) where hour = $1")
        .bind(Timestamp(hour))
        .bind(Timestamp(stored))
        .execute(&mut **tx)
        .await?;
    sql("delete from noetl_metrics.sample_late where ctid = any($1::text[]::tid[])")
        .bind(places)
        .execute(&mut **tx)
        .await?;
    Ok(rows.len() as u64)
}

/// Takes some series out of an hour; returns how many samples went.
pub(in crate::store) async fn remove(
    tx: &mut Transaction,
    hour: Millis,
    series: &HashSet<i32>,
) -> Result<u64, StoreError> {
    lock(tx, true).await?;
    let before = Before::of(tx, hour).await?;
    let mut ids: Vec<i32> = series.iter().copied().collect();
    ids.sort_unstable();
    let (mut samples, gone) = take_chunks(tx, hour, before, &ids).await?;
    let had = samples.series();
    let removed = samples.remove(series);
    put_chunks(tx, hour, before, samples, gone, Touched { ids, had }).await?;
    Ok(removed)
}

/// Notes that the hours of days which were dropped, by whomever, have no samples any more.
pub(in crate::store) async fn forget_dropped(tx: &mut Transaction) -> Result<(), StoreError> {
    lock(tx, true).await?;
    sql("delete from noetl_metrics.sealed_hour h where not exists (select from noetl_metrics.day d \
           where h.hour >= d.from_time and h.hour < d.to_time)")
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Deletes the samples of hours from one to another, whose roll-ups stay; returns how many went. Whoever calls it has
/// [the lock](lock).
pub(in crate::store) async fn delete(
    tx: &mut Transaction,
    from: Millis,
    to: Millis,
) -> Result<u64, StoreError> {
    let gone = sql("with gone as (delete from noetl_metrics.sealed_hour where hour >= $1 and hour < $2 returning samples) \
                    select coalesce(sum(samples), 0)::bigint from gone")
        .bind(Timestamp(from))
        .bind(Timestamp(to))
        .fetch_one(&mut **tx)
        .await?;
    sql("delete from noetl_metrics.chunk where hour >= $1 and hour < $2")
        .bind(Timestamp(from))
        .bind(Timestamp(to))
        .execute(&mut **tx)
        .await?;
    Ok(gone.try_get::<i64, _>(0)?.unsigned_abs())
}

/// Adds samples to an hour; where it has some of the same series and time, the new ones override them.
async fn add(tx: &mut Transaction, hour: Millis, before: Before, new: Samples) -> Result<(), StoreError> {
    if new.is_empty() {
        return Ok(());
    }
    table::create_day(tx, hour).await?;
    let ids = new.series();
    let (mut samples, gone) = take_chunks(tx, hour, before, &ids).await?;
    let had = samples.series();
    samples.append(new);
    put_chunks(tx, hour, before, samples, gone, Touched { ids, had }).await
}

/// Samples and chunks that were taken out of an hour.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    samples: i64,
    chunks: i64,
}

/// The series that change, and all that had samples in the chunks that were taken out; both in order.
struct Touched {
    ids: Vec<i32>,
    had: Vec<i32>,
}

/// Takes out the chunks of an hour that have some of these series, with all series that they have.
async fn take_chunks(
    tx: &mut Transaction,
    hour: Millis,
    before: Before,
    ids: &[i32],
) -> Result<(Samples, Taken), StoreError> {
    let text = format!(
        "delete from noetl_metrics.chunk c where c.hour = $1 and c.series_ids && $2::integer[] returning {}",
        table::COLUMNS
    );
    let (mut samples, mut taken) = (Samples::of(hour), Taken::default());
    // Nearly always there are none.
    if !before.sealed {
        return Ok((samples, taken));
    }
    for row in sql_made(text).bind(Timestamp(hour)).bind(ids).fetch_all(&mut **tx).await? {
        let chunk = table::read(&row)?;
        let times = chunk.all_times().ok_or_else(|| table::damaged(hour))?;
        for of in &chunk.series {
            let values = chunk.values(of).ok_or_else(|| table::damaged(hour))?;
            for (at, value) in times.iter().zip(values) {
                samples.push(of.id, *at, value);
                taken.samples += 1;
            }
        }
        taken.chunks += 1;
    }
    Ok((samples, taken))
}

/// Packs samples into chunks of the hour, in place of what was taken out.
async fn put_chunks(
    tx: &mut Transaction,
    hour: Millis,
    before: Before,
    mut samples: Samples,
    gone: Taken,
    touched: Touched,
) -> Result<(), StoreError> {
    // As long as a core is busy with it, the others' requests must not wait.
    let packed = tokio::task::spawn_blocking(move || {
        samples.sort();
        // Of others only some of the samples may be here.
        let buckets = samples.buckets(&touched.ids);
        let had = |id: i32| touched.had.binary_search(&id).is_ok();
        let has = |id: i32| buckets.binary_search_by_key(&id, |(id, _)| *id).is_ok();
        let lost: Vec<i32> = touched.ids.iter().copied().filter(|id| had(*id) && !has(*id)).collect();
        let new = buckets.iter().filter(|(id, _)| !had(*id)).count();
        (samples.pack(), samples.len(), buckets, lost, new)
    });
    let (chunks, samples, buckets, lost, new) =
        packed.await.map_err(|e| StoreError::Unavailable(e.to_string()))?;
    for chunk in &chunks {
        table::insert(tx, table::CHUNK, chunk, 1).await?;
    }
    sql("insert into noetl_metrics.sealed_hour (hour, samples, chunks) values ($1, $2, $3) \
         on conflict (hour) do update set samples = sealed_hour.samples + excluded.samples, \
           chunks = sealed_hour.chunks + excluded.chunks, sealed_at = now()")
    .bind(Timestamp(hour))
    .bind(counted(samples) - gone.samples)
    .bind(counted(chunks.len()) - gone.chunks)
    .execute(&mut **tx)
    .await?;
    rollup::put(tx, hour, before, buckets, &lost, counted(new) - counted(lost.len())).await
}

fn counted(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Makes this transaction the only one that changes chunks; waits for it, or says that it is not.
pub(in crate::store) async fn lock(tx: &mut Transaction, wait: bool) -> Result<bool, StoreError> {
    if wait {
        // Sealing a large hour takes longer than others wait for a lock.
        sqlx::raw_sql(
            "set local lock_timeout = '10min'; select pg_advisory_xact_lock(hashtext('noetl_metrics.seal')); \
                       set local lock_timeout = '10s'",
        )
        .execute(&mut **tx)
        .await?;
        return Ok(true);
    }
    let row =
        sql("select pg_try_advisory_xact_lock(hashtext('noetl_metrics.seal'))").fetch_one(&mut **tx).await?;
    Ok(row.try_get(0)?)
}
