//! Whole history, series by series, as it goes to other stores.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow as _, Row as _};

use super::db::{Database, StoreError, sql, sql_made};
use crate::model::{Label, Millis, export_line, labels_of_line};

/// A series' samples of one stretch of time, the oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// Name of the component.
    pub component: String,
    /// Kind of the component.
    pub component_type: String,
    /// Name of the metric.
    pub metric: String,
    /// Its type, where history was asked for.
    pub metric_type: String,
    /// The series' other labels.
    pub labels: BTreeMap<String, String>,
    /// When the samples were taken, in milliseconds since 1970.
    pub times: Vec<i64>,
    /// Their values.
    pub values: Vec<f64>,
}

impl Past {
    /// All labels, as the line of the export for scrapers has them, the name among them.
    pub fn all_labels(&self) -> BTreeMap<String, String> {
        let own: Vec<Label<'_>> = self.labels.iter().map(|(k, v)| (k.into(), v.into())).collect();
        let mut line = Vec::new();
        export_line(&mut line, &self.metric, &self.component, &self.component_type, &own);
        let mut all: BTreeMap<_, _> = labels_of_line(&line).into_iter().collect();
        all.insert("__name__".to_owned(), self.metric.clone());
        all
    }
}

/// What makes rows of series of the samples that `samples` names.
pub(super) const BY_SERIES: &str = "select s.component_name, s.component_type, s.metric_name, coalesce(s.labels, '{}') as labels, v.times, v.\"values\" \
     from (select series_id, \
                  array_agg((extract(epoch from \"timestamp\") * 1000)::bigint order by \"timestamp\") as times, \
                  array_agg(value order by \"timestamp\") as \"values\" \
           from samples group by series_id) v \
     join noetl_metrics.series s using (series_id)";

impl<'r> sqlx::FromRow<'r, PgRow> for Past {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let labels: Json<BTreeMap<String, String>> = row.try_get("labels")?;
        Ok(Self {
            component: row.try_get("component_name")?,
            component_type: row.try_get("component_type")?,
            metric: row.try_get("metric_name")?,
            metric_type: String::new(),
            labels: labels.0,
            times: row.try_get("times")?,
            values: row.try_get("values")?,
        })
    }
}

/// The first hour from that of `from` on that may have samples, hot, sealed or late: between the two
/// there are none.
pub async fn first_hour(database: &Database, from: Millis) -> Result<Option<Millis>, StoreError> {
    let mut tx = database.begin_query().await?;
    // What is over is listed by hours, what is not is in partitions, of which there are few.
    let row = sql("with since as (select date_trunc('hour', timestamptz 'epoch' + $1 * interval '1 ms', 'UTC') as since) \
                   select (extract(epoch from date_trunc('hour', least( \
                     (select min(hour) from noetl_metrics.sealed_hour where hour >= since), \
                     (select min(greatest(from_time, since)) from noetl_metrics.partition where to_time > since), \
                     (select min(\"timestamp\") from noetl_metrics.block where \"timestamp\" >= since), \
                     (select min(\"timestamp\") from noetl_metrics.sample_late where \"timestamp\" >= since)), 'UTC')) * 1000)::bigint \
                   from since")
    .bind(from.0)
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(row.try_get::<Option<i64>, _>(0)?.map(Millis))
}

/// Whatever is stored, hot, sealed or late, of one hour or a part of it: `to` is not in it any more. All
/// is as it was at one moment.
pub async fn past<E: From<StoreError>>(
    database: &Database,
    from: Millis,
    to: Millis,
    mut take: impl AsyncFnMut(Past) -> Result<(), E>,
) -> Result<(), E> {
    let mut tx = database.begin_snapshot().await?;
    sql("set local jit = off").execute(&mut *tx).await.map_err(StoreError::from)?;
    let text = format!(
        "with span as materialized (select timestamptz 'epoch' + $1 * interval '1 ms' as since, \
                                           timestamptz 'epoch' + $2 * interval '1 ms' as until), \
         late as materialized (select l.series_id, l.\"timestamp\", l.value from noetl_metrics.sample_late l, span \
                               where l.\"timestamp\" >= since and l.\"timestamp\" < until), \
         stored as (select v.series_id, v.\"timestamp\", v.value from noetl_metrics.unsealed v, span \
                    where v.\"timestamp\" >= since and v.\"timestamp\" < until \
                    union all \
                    select v.series_id, v.\"timestamp\", v.value from noetl_metrics.sealed v, span \
                    where v.hour = date_trunc('hour', since, 'UTC') \
                      and v.\"timestamp\" >= since and v.\"timestamp\" < until), \
         samples as (select * from late union all \
                     select * from stored s where not exists \
                       (select from late l where l.series_id = s.series_id and l.\"timestamp\" = s.\"timestamp\")) \
         select r.*, n.metric_type from ({BY_SERIES}) r join noetl_metrics.metric_name n using (metric_name)"
    );
    let mut rows = sql_made(text).bind(from.0).bind(to.0).fetch(&mut *tx);
    while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
        let mut series = Past::from_row(&row).map_err(StoreError::from)?;
        series.metric_type = row.try_get("metric_type").map_err(StoreError::from)?;
        take(series).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_clashes_with_the_component_s_is_renamed() {
        let past = |labels: &[(&str, &str)]| Past {
            component: "w".into(),
            component_type: "k".into(),
            metric: "m".into(),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..Past::default()
        };
        let all = |labels: &[(&str, &str)]| {
            let all = past(labels).all_labels();
            all.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")
        };
        assert_eq!(all(&[("a", "1")]), "__name__=m,a=1,component=w,component_type=k");
        assert_eq!(
            all(&[("component", "x"), ("component_type", "k")]),
            "__name__=m,component=w,component_type=k,exported_component=x"
        );
        assert_eq!(
            all(&[("component", "x"), ("exported_component", "y")]),
            "__name__=m,component=w,component_type=k,exported_component=y,exported_exported_component=x"
        );
    }
}
