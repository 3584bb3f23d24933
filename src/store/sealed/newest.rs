//! The newest sealed sample of series.

use std::collections::HashSet;
use std::hash::BuildHasher;

use sqlx::Row as _;

use super::table;
use crate::model::Millis;
use crate::store::db::{StoreError, Timestamp, Transaction, sql, sql_made};

/// Finds the newest samples of `ids` in the hours from `from` on, and tells `found` of each.
pub(in crate::store) async fn newest<S: BuildHasher>(
    tx: &mut Transaction,
    ids: &mut HashSet<i32, S>,
    from: Millis,
    mut found: impl FnMut(i32, Millis, f64),
) -> Result<(), StoreError> {
    let hours = sql("select (extract(epoch from hour) * 1000)::bigint from noetl_metrics.sealed_hour \
                     where hour > $1 - interval '1 hour' order by hour desc")
    .bind(Timestamp(from))
    .fetch_all(&mut **tx)
    .await?;
    for hour in hours {
        let (Some(least), Some(greatest)) = (ids.iter().min(), ids.iter().max()) else { return Ok(()) };
        let hour = Millis(hour.try_get(0)?);
        let text = format!(
            "select {} from noetl_metrics.chunk c where c.hour = '{}' \
             and int4range(c.least_id, c.greatest_id, '[]') && int4range({least}, {greatest}, '[]')",
            table::COLUMNS,
            hour.rfc3339()
        );
        let mut here = Vec::new();
        for row in sql_made(text).fetch_all(&mut **tx).await? {
            let chunk = table::read(&row)?;
            let damaged = || table::damaged(hour);
            let at = chunk.last_time().ok_or_else(damaged)?;
            for of in chunk.series.iter().filter(|of| ids.contains(&of.id)) {
                found(of.id, at, chunk.last(of).ok_or_else(damaged)?);
                here.push(of.id);
            }
        }
        // Not before: a series may have several chunks of one hour.
        for id in here {
            ids.remove(&id);
        }
    }
    Ok(())
}
