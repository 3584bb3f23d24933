//! Roll-ups of hours that were sealed without, and packing those of days that are over. Each hour and each
//! day is a transaction: whoever is ended goes on there the next time.

use std::time::Instant;

use futures_util::TryStreamExt as _;
use sqlx::Row as _;

use super::rollup::{self, Backfill, Before};
use super::samples::Samples;
use super::seal::{AT_ONCE, lock};
use super::table;
use crate::model::Millis;
use crate::store::db::{Database, StoreError, Timestamp, Transaction, sql, sql_made};

/// Hours that were sealed and have no roll-ups, oldest first: those that retention drops next.
pub(in crate::store) async fn unrolled(tx: &mut Transaction) -> Result<Vec<Millis>, StoreError> {
    let rows = sql("select (extract(epoch from s.hour) * 1000)::bigint from noetl_metrics.sealed_hour s \
                    where not exists (select from noetl_metrics.rolled_hour r where r.hour = s.hour) order by 1")
        .fetch_all(&mut **tx)
        .await?;
    rows.iter().map(|row| Ok(Millis(row.try_get(0)?))).collect()
}

/// Makes the roll-ups of an hour that has none.
pub(in crate::store) async fn roll_up(database: &Database, hour: Millis) -> Result<(), StoreError> {
    let mut tx = database.begin_long().await?;
    lock(&mut tx, true).await?;
    let before = Before::of(&mut tx, hour).await?;
    if !before.sealed || before.rolled {
        return Ok(());
    }
    let row = sql("select samples, coalesce((select max(series_id) from noetl_metrics.series), 0) \
                   from noetl_metrics.sealed_hour where hour = $1")
    .bind(Timestamp(hour))
    .fetch_one(&mut *tx)
    .await?;
    let (samples, greatest): (i64, i32) = (row.try_get(0)?, row.try_get(1)?);
    let windows = i32::try_from(samples.unsigned_abs() / AT_ONCE + 1).unwrap_or(i32::MAX);
    let width = greatest / windows + 1;
    let mut backfill = Backfill::of(hour);
    let mut least = i32::MIN;
    for window in 1..=windows {
        let most = if window == windows { i32::MAX } else { width * window };
        let mut samples = within(&mut tx, hour, least, most).await?;
        let buckets = tokio::task::spawn_blocking(move || {
            samples.sort();
            samples.buckets(&samples.series())
        });
        let buckets = buckets.await.map_err(|e| StoreError::Unavailable(e.to_string()))?;
        backfill.add(&mut tx, buckets).await?;
        least = most.saturating_add(1);
    }
    backfill.finish(&mut tx).await?;
    Ok(tx.commit().await?)
}

/// The sealed samples of an hour, of series from one to another.
async fn within(tx: &mut Transaction, hour: Millis, least: i32, most: i32) -> Result<Samples, StoreError> {
    let mut samples = Samples::of(hour);
    let text = format!(
        "select {} from noetl_metrics.chunk c where c.hour = '{}' and c.least_id <= $2 and c.greatest_id >= $1",
        table::COLUMNS,
        hour.rfc3339()
    );
    let mut rows = sql_made(text).bind(least).bind(most).fetch(&mut **tx);
    while let Some(row) = rows.try_next().await? {
        let chunk = table::read(&row)?;
        let times = chunk.all_times().ok_or_else(|| table::damaged(hour))?;
        for of in chunk.series.iter().filter(|of| (least..=most).contains(&of.id)) {
            let values = chunk.values(of).ok_or_else(|| table::damaged(hour))?;
            for (at, value) in times.iter().zip(values) {
                samples.push(of.id, *at, value);
            }
        }
    }
    drop(rows);
    Ok(samples)
}

/// Packs the roll-ups of days that ended before `over`: one, and others until a moment; returns the days.
pub(in crate::store) async fn pack_days(
    database: &Database,
    over: Millis,
    until: Instant,
) -> Result<Vec<Millis>, StoreError> {
    let mut tx = database.begin().await?;
    let days = rollup::unpacked_days(&mut tx, over).await?;
    tx.commit().await?;
    let mut packed = Vec::new();
    for day in days {
        let mut tx = database.begin_long().await?;
        lock(&mut tx, true).await?;
        rollup::pack_day(&mut tx, day).await?;
        tx.commit().await?;
        packed.push(day);
        if Instant::now() >= until {
            break;
        }
    }
    Ok(packed)
}
