//! Reads the series of components from the database into the index, with their newest values: at
//! the start those of all that report, later those of one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::Row as _;

use super::db::{Database, StoreError, Transaction, sql};
use super::newest;
use super::series::{SeriesIndex, restore};
use crate::model::{Component, Label, MetricType, Series, SeriesId, export_line};

impl SeriesIndex {
    /// Reads the series of these components with their newest values; `describe` is told name, type,
    /// help and unit of each.
    pub async fn load(
        &self,
        database: &Database,
        components: &[Arc<Component>],
        describe: &impl Fn(&str, MetricType, Option<&str>, Option<&str>),
    ) -> Result<Vec<Arc<Series>>, StoreError> {
        let mut tx = database.begin_long().await?;
        self.names.load(&mut tx).await?;
        tx.commit().await?;
        // The two take about the same time; side by side they make the start half as long.
        let (mut loaded, stored) = tokio::try_join!(self.read(database, components, describe), async {
            // Late samples may be brought into their hours meanwhile.
            let mut tx = database.begin_snapshot().await?;
            let ids = ids_of(&mut tx, components).await?;
            let stored = newest::newest(&mut tx, &ids).await?;
            tx.commit().await?;
            Ok(stored)
        })?;
        for series in &mut loaded {
            restore(series, stored.get(&series.id.0));
        }
        database.saw_series(loaded.iter().map(|series| series.id.0));
        self.reserve(loaded.len());
        Ok(loaded.into_iter().map(|series| self.hold(series)).collect())
    }

    /// The series of these components, without their values.
    async fn read(
        &self,
        database: &Database,
        components: &[Arc<Component>],
        describe: &impl Fn(&str, MetricType, Option<&str>, Option<&str>),
    ) -> Result<Vec<Series>, StoreError> {
        let by_name: HashMap<(&str, &str), &Arc<Component>> =
            components.iter().map(|c| ((&*c.name, &*c.kind), c)).collect();
        let (names, kinds) = names_of(components);
        let mut tx = database.begin_long().await?;
        let mut rows = sql("select s.series_id, s.component_name, s.component_type, s.metric_name, s.labels::text, s.help_text, s.unit::text \
                            from noetl_metrics.series s \
                            join unnest($1::text[], $2::text[]) u(name, kind) on u.name = s.component_name and u.kind = s.component_type")
            .bind(names)
            .bind(kinds)
            .fetch(&mut *tx);
        let mut read = Vec::new();
        let mut line = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let (key, name): ((&str, &str), &str) = ((row.try_get(1)?, row.try_get(2)?), row.try_get(3)?);
            let (Some(component), Some(kind)) = (by_name.get(&key), self.names.get(name)) else { continue };
            let text: Option<&str> = row.try_get(4)?;
            let labels: BTreeMap<String, String> =
                text.and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default();
            let labels: Vec<Label<'_>> = labels.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
            export_line(&mut line, name, key.0, key.1, &labels);
            describe(name, kind, row.try_get(5)?, row.try_get(6)?);
            let id = SeriesId(row.try_get(0)?);
            read.push(Series::new(id, Arc::clone(component), kind, line.as_slice().into()));
        }
        drop(rows);
        tx.commit().await?;
        Ok(read)
    }
}

/// Names and kinds of components, for `unnest`.
fn names_of(components: &[Arc<Component>]) -> (Vec<&str>, Vec<&str>) {
    components.iter().map(|c| (&*c.name, &*c.kind)).unzip()
}

/// Ids of the series of components.
async fn ids_of(tx: &mut Transaction, components: &[Arc<Component>]) -> Result<Vec<i32>, StoreError> {
    let (names, kinds) = names_of(components);
    let row = sql("select coalesce(array_agg(s.series_id order by s.series_id), '{}') from noetl_metrics.series s \
                   join unnest($1::text[], $2::text[]) u(name, kind) on u.name = s.component_name and u.kind = s.component_type")
        .bind(names)
        .bind(kinds)
        .fetch_one(&mut **tx)
        .await?;
    Ok(row.try_get(0)?)
}
