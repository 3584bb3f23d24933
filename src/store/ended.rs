//! Series that said that they have ended: a server that starts must not export them again.

use std::collections::HashMap;

use sqlx::Row as _;

use super::db::{Database, StoreError, Transaction, sql};
use crate::model::{Millis, Point, SeriesId};

/// Writes down that series ended at the points' times; returns after that is committed.
pub async fn store_ended(database: &Database, ended: &[Point]) -> Result<(), StoreError> {
    if ended.is_empty() {
        return Ok(());
    }
    let mut tx = database.begin_write().await?;
    // In order, so that two that write the same ones do not wait for each other.
    sql("insert into noetl_metrics.ended_series as e (series_id, ended_at) \
         select id, timestamptz 'epoch' + max(at) * interval '1 ms' \
         from unnest($1::integer[], $2::bigint[]) u(id, at) \
         where exists (select from noetl_metrics.series where series_id = id) group by id order by id \
         on conflict (series_id) do update set ended_at = excluded.ended_at where excluded.ended_at > e.ended_at")
        .bind(ended.iter().map(|point| point.series.id.0).collect::<Vec<_>>())
        .bind(ended.iter().map(|point| point.at.0).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

/// When each series ended that did.
pub async fn ended_series(database: &Database) -> Result<HashMap<SeriesId, Millis>, StoreError> {
    let mut tx = database.begin_long().await?;
    let rows = sql(
        "select series_id, (extract(epoch from ended_at) * 1000)::bigint from noetl_metrics.ended_series",
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    rows.iter().map(|row| Ok((SeriesId(row.try_get(0)?), Millis(row.try_get(1)?)))).collect()
}

/// Forgets those that ended before the retention of samples: nothing of them would be exported.
pub(super) async fn drop_past(tx: &mut Transaction, cutoff: Millis) -> Result<(), StoreError> {
    sql("delete from noetl_metrics.ended_series where ended_at < timestamptz 'epoch' + $1 * interval '1 ms'")
        .bind(cutoff.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
