//! Exemplars: of each series the newest one of each minute, for an hour.

use super::db::{Database, StoreError, Transaction, sql};
use super::series::labels_json;
use crate::model::{Label, Millis, SeriesId};

/// An exemplar of a series.
#[derive(Clone, Debug)]
pub struct Exemplar<'a> {
    /// The series.
    pub series: SeriesId,
    /// When it was observed.
    pub at: Millis,
    /// Its value.
    pub value: f64,
    /// Its own labels, such as `trace_id`.
    pub labels: Vec<Label<'a>>,
}

impl Exemplar<'_> {
    /// Stores exemplars; returns after they are committed. The same again changes nothing.
    pub async fn store(database: &Database, exemplars: &[Exemplar<'_>]) -> Result<(), StoreError> {
        if exemplars.is_empty() {
            return Ok(());
        }
        let labels = exemplars.iter().map(|e| labels_json(&e.labels).unwrap_or_else(|| "{}".into()));
        let mut tx = database.begin_write().await?;
        sql("insert into noetl_metrics.exemplar as e (series_id, minute, \"timestamp\", value, labels) \
             select distinct on (id, minute) id, minute, timestamptz 'epoch' + at * interval '1 ms', value, labels::jsonb \
             from (select u.*, (at / 60000 % 60)::smallint as minute \
                   from unnest($1::integer[], $2::bigint[], $3::double precision[], $4::text[]) u(id, at, value, labels)) u \
             order by id, minute, at desc \
             on conflict (series_id, minute) do update \
               set \"timestamp\" = excluded.\"timestamp\", value = excluded.value, labels = excluded.labels \
               where excluded.\"timestamp\" > e.\"timestamp\"")
            .bind(exemplars.iter().map(|e| e.series.0).collect::<Vec<_>>())
            .bind(exemplars.iter().map(|e| e.at.0).collect::<Vec<_>>())
            .bind(exemplars.iter().map(|e| e.value).collect::<Vec<_>>())
            .bind(labels.collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }
}

/// Drops those that are past their time.
pub(super) async fn drop_past(tx: &mut Transaction, cutoff: Millis) -> Result<(), StoreError> {
    sql(
        "delete from noetl_metrics.exemplar where \"timestamp\" < timestamptz 'epoch' + $1 * interval '1 ms'",
    )
    .bind(cutoff.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
