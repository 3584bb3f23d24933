//! Points of a few series over a while, thinned, for charts.

use std::collections::HashMap;

use sqlx::Row as _;

use super::db::{Database, StoreError, sql_made};
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
        all = super::query::all_samples(Some(&ids), from, to)
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
