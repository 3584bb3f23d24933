//! Samples that came by INSERT into `noetl.metrics`, so that they are exported like reported ones.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::Row as _;

use super::components::Components;
use super::db::{Database, StoreError, sql};
use super::series::SeriesIndex;
use crate::model::{Millis, Point, RuntimeId};

/// A transaction may commit this long after the time that its rows carry, in milliseconds.
const COMMIT_LAG_MS: i64 = 60_000;
/// Rows looked at in one go.
const MAX_ROWS: i64 = 50_000;

/// How far the late table was read.
#[derive(Debug)]
pub struct Inserted {
    since: Millis,
}

impl Inserted {
    /// Begins with what is inserted from now on.
    pub fn from_now() -> Self {
        Self { since: Millis::now() }
    }

    /// Samples since the last time that are recent enough to be exported, those of one component
    /// together. A sample may come again; the same value is taken twice then.
    pub async fn read(
        &mut self,
        database: &Database,
        components: &Components,
        series: &SeriesIndex,
        recent_ms: i64,
    ) -> Result<Vec<Vec<Point>>, StoreError> {
        let began = Millis::now();
        let mut tx = database.begin().await?;
        let rows = sql("select l.series_id, s.runtime_id, floor(extract(epoch from l.\"timestamp\") * 1000)::bigint, l.value \
                        from noetl_metrics.sample_late l join noetl_metrics.series s using (series_id) \
                        where l.created_at > timestamptz 'epoch' + $1 * interval '1 ms' \
                          and l.\"timestamp\" > timestamptz 'epoch' + $2 * interval '1 ms' and s.runtime_id is not null \
                        order by l.\"timestamp\" limit $3")
            .bind(self.since.plus(-COMMIT_LAG_MS).0)
            .bind(began.plus(-recent_ms).0)
            .bind(MAX_ROWS)
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        self.since = began;
        let mut by_component: HashMap<i64, Vec<(i32, Millis, f64)>> = HashMap::new();
        for row in rows {
            let sample = (row.try_get(0)?, Millis(row.try_get(2)?), row.try_get(3)?);
            by_component.entry(row.try_get(1)?).or_default().push(sample);
        }
        let mut points = Vec::new();
        for (id, samples) in by_component {
            let Some(component) = components.by_id(database, RuntimeId(id)).await? else { continue };
            let known: HashMap<i32, _> = series
                .load(database, &[component], &|_, _, _, _| {})
                .await?
                .into_iter()
                .map(|s| (s.id.0, s))
                .collect();
            let found = samples
                .into_iter()
                .filter_map(|(id, at, value)| Some(Point { series: Arc::clone(known.get(&id)?), at, value }));
            points.push(found.collect());
        }
        Ok(points)
    }
}
