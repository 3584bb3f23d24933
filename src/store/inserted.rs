//! Samples that came by INSERT into `noetl.metrics`, so that they are exported like reported ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sqlx::Row as _;

use super::components::Components;
use super::db::{Database, StoreError, sql};
use super::series::SeriesIndex;
use crate::model::{MetricType, Millis, Point, RuntimeId, Series};

/// A transaction may commit this long after the time that its rows carry, in milliseconds.
const COMMIT_LAG_MS: i64 = 60_000;
/// Series looked at in one go.
const MAX_SERIES: i64 = 50_000;

/// How far the late table was read.
#[derive(Debug)]
pub struct Inserted {
    since: Millis,
    /// What was found last time and may be found again: the newest sample of each series, and when
    /// it was stored, in microseconds.
    seen: HashMap<i32, (Millis, i64)>,
}

/// A series' newest late sample.
struct Found {
    series: i32,
    component: RuntimeId,
    at: Millis,
    value: f64,
    stored: i64,
}

impl Inserted {
    /// Begins with what is inserted from now on.
    pub fn from_now() -> Self {
        Self { since: Millis::now(), seen: HashMap::new() }
    }

    /// The newest sample of each series that was stored since the last time and is recent enough to
    /// be exported, those of one component together. `describe` is told name, type, help and unit
    /// of series that memory did not know.
    pub async fn read(
        &mut self,
        database: &Database,
        components: &Components,
        series: &SeriesIndex,
        recent_ms: i64,
        describe: &impl Fn(&str, MetricType, Option<&str>, Option<&str>),
    ) -> Result<Vec<Vec<Point>>, StoreError> {
        let began = Millis::now();
        let found = newest_since(database, self.since.plus(-COMMIT_LAG_MS), began.plus(-recent_ms)).await?;
        let seen: HashMap<i32, (Millis, i64)> = found.iter().map(|f| (f.series, (f.at, f.stored))).collect();
        let mut known = series.with_ids(&seen.keys().copied().collect());
        let mut by_component: HashMap<RuntimeId, Vec<Found>> = HashMap::new();
        for one in found {
            let again = self.seen.get(&one.series) == Some(&(one.at, one.stored));
            if !again && known.get(&one.series).is_none_or(|series| one.is_news_for(series)) {
                by_component.entry(one.component).or_default().push(one);
            }
        }
        let mut points = Vec::new();
        for (id, found) in by_component {
            if found.iter().any(|f| !known.contains_key(&f.series)) {
                let Some(component) = components.by_id(database, id).await? else { continue };
                let loaded = series.load(database, &[component], describe).await?;
                known.extend(loaded.into_iter().map(|s| (s.id.0, s)));
            }
            points.push(found.iter().filter_map(|f| point(f, &known)).collect());
        }
        (self.since, self.seen) = (began, seen);
        Ok(points)
    }
}

impl Found {
    /// Whether memory does not know it: late samples of reports are in the same table.
    fn is_news_for(&self, series: &Series) -> bool {
        series.newest.get().is_none_or(|(at, value)| {
            self.at > at || (self.at == at && self.value.to_bits() != value.to_bits())
        })
    }
}

fn point(found: &Found, known: &HashMap<i32, Arc<Series>>) -> Option<Point> {
    let series = Arc::clone(known.get(&found.series)?);
    // A report of the same time has to override it, not to be appended and hidden by it.
    series.appended.fetch_max(found.at.0, Ordering::Relaxed);
    Some(Point { series, at: found.at, value: found.value })
}

async fn newest_since(database: &Database, stored: Millis, at: Millis) -> Result<Vec<Found>, StoreError> {
    let mut tx = database.begin().await?;
    let rows = sql("select distinct on (l.series_id) l.series_id, s.runtime_id, \
                      floor(extract(epoch from l.\"timestamp\") * 1000)::bigint, l.value, \
                      floor(extract(epoch from l.created_at) * 1000000)::bigint \
                    from noetl_metrics.sample_late l join noetl_metrics.series s using (series_id) \
                    where l.created_at > timestamptz 'epoch' + $1 * interval '1 ms' \
                      and l.\"timestamp\" > timestamptz 'epoch' + $2 * interval '1 ms' and s.runtime_id is not null \
                    order by l.series_id, l.\"timestamp\" desc limit $3")
        .bind(stored.0)
        .bind(at.0)
        .bind(MAX_SERIES)
        .fetch_all(&mut *tx)
        .await?;
    tx.commit().await?;
    rows.iter()
        .map(|row| {
            Ok(Found {
                series: row.try_get(0)?,
                component: RuntimeId(row.try_get(1)?),
                at: Millis(row.try_get(2)?),
                value: row.try_get(3)?,
                stored: row.try_get(4)?,
            })
        })
        .collect()
}
