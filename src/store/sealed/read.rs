//! Sealed samples of some series and hours.

use futures_util::TryStreamExt as _;

use super::ids::Ids;
use super::seal::HOUR_MS;
use super::table;
use crate::model::Millis;
use crate::store::db::{StoreError, Transaction, sql_made};

/// Reads samples of series in ranges of hours, from one time to another, both inclusive; tells `found` of
/// each series of a chunk: its times, in order, and the values at them. Of a series, those of one chunk are
/// all before or all after those of another; chunks come in no particular order. `found` says from which
/// time on it wants to know of further ones.
pub(in crate::store) async fn read(
    tx: &mut Transaction,
    ids: Option<&Ids>,
    hours: &[(Millis, Millis)],
    from: Millis,
    to: Millis,
    mut found: impl FnMut(i32, &[Millis], &[f64]) -> Millis,
) -> Result<(), StoreError> {
    if hours.is_empty() {
        return Ok(());
    }
    // Times are written as literals so that partitions are pruned when the statement is planned.
    let of =
        |(from, to): &(Millis, Millis)| format!("c.hour between '{}' and '{}'", from.rfc3339(), to.rfc3339());
    let text = format!(
        "select {} from noetl_metrics.chunk c where ({}) {}",
        table::COLUMNS,
        hours.iter().map(of).collect::<Vec<_>>().join(" or "),
        Ids::overlap(ids)
    );
    let mut from = from;
    let mut values = Vec::new();
    let mut rows = sql_made(text).fetch(&mut **tx);
    while let Some(row) = rows.try_next().await? {
        let chunk = table::read(&row)?;
        if chunk.hour.plus(HOUR_MS) <= from {
            continue;
        }
        let damaged = || table::damaged(chunk.hour);
        let times = chunk.all_times().ok_or_else(damaged)?;
        let end = times.partition_point(|at| *at <= to);
        for of in chunk.series.iter().filter(|of| ids.is_none_or(|ids| ids.has(of.id))) {
            let begin = times.partition_point(|at| *at < from);
            let Some(times) = times.get(begin..end).filter(|times| !times.is_empty()) else { break };
            chunk.values_at(of, begin..end, &mut values).ok_or_else(damaged)?;
            from = from.max(found(of.id, times, &values));
        }
    }
    Ok(())
}
