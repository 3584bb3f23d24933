//! Points of a few series over a while, thinned, for charts.

use std::collections::HashMap;

use sqlx::Row as _;

use super::db::{Database, StoreError, sql_made};
use super::sealed::HOUR_MS;
use crate::model::{Millis, SeriesId};

/// Points of one series: milliseconds since 1970 and value, in order of time.
pub type Points = Vec<(i64, f64)>;

/// The newest sample of each `step_ms` milliseconds of each series, from `from` to `to`.
pub async fn points(
    database: &Database,
    series: &[SeriesId],
    from: Millis,
    to: Millis,
    step_ms: i64,
) -> Result<HashMap<i32, Points>, StoreError> {
    if series.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<i32> = series.iter().map(|s| s.0).collect();
    let text = format!(
        "select distinct on (series_id, ms / {step}) series_id, ms, value from ( \
           select series_id, floor(extract(epoch from \"timestamp\") * 1000)::bigint as ms, value from ({all}) b) v \
         order by series_id, ms / {step}, ms desc",
        step = step_ms.max(1),
        all = all_samples(Some(&ids), from, to)
    );
    let mut tx = database.begin().await?;
    let rows = sql_made(text).bind(ids).fetch_all(&mut *tx).await?;
    tx.commit().await?;
    let mut points: HashMap<i32, Points> = HashMap::new();
    for row in rows {
        points.entry(row.try_get(0)?).or_default().push((row.try_get(1)?, row.try_get(2)?));
    }
    Ok(points)
}

/// SQL for all samples from a time to another of these series, which are parameter 1, or of all: those
/// that no late one overrides, and the late ones.
fn all_samples(ids: Option<&[i32]>, from: Millis, to: Millis) -> String {
    // Times are written as literals so that partitions are pruned when the statement is planned.
    let time = format!("\"timestamp\" between '{}' and '{}'", from.rfc3339(), to.rfc3339());
    let hours = format!("hour between '{}' and '{}'", from.floor(HOUR_MS).rfc3339(), to.rfc3339());
    let only = if ids.is_some() { "series_id = any($1)" } else { "$1::integer[] is null" };
    // By these, blocks and chunks of other series are passed over.
    let bounds = ids.and_then(|ids| Some((ids.iter().min()?, ids.iter().max()?)));
    let (blocks, chunks) = bounds.map_or_else(Default::default, |(least, greatest)| {
        (
            format!("and least_id <= {greatest} and greatest_id >= {least}"),
            format!("and ids && int4range({least}, {greatest}, '[]')"),
        )
    });
    format!(
        "select h.series_id, h.\"timestamp\", h.value, h.\"timestamp\" as created_at from ( \
           select series_id, \"timestamp\", value from noetl_metrics.unsealed where {only} and {time} {blocks} \
           union all \
           select series_id, \"timestamp\", value from noetl_metrics.sealed where {only} and {time} and {hours} {chunks}) h \
         where not exists (select from noetl_metrics.sample_late l where l.series_id = h.series_id and l.\"timestamp\" = h.\"timestamp\") \
         union all \
         select series_id, \"timestamp\", value, created_at from noetl_metrics.sample_late where {only} and {time}"
    )
}
