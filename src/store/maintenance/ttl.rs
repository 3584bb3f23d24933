//! Times to live that metrics and components have of their own: what they keep longer than the
//! retention does, and what they delete before.

use std::collections::HashMap;

use sqlx::Row as _;

use super::super::db::{Database, StoreError, Transaction, sql, sql_made};
use super::super::partitions::{Kind, Partition};
use super::super::sealed::{self, HOUR_MS};
use super::MaintenanceReport;
use crate::model::{Component, Millis};

/// Samples of series with a time of their own: the longer of the metric's and the component's.
const TTL: &str = "select s.series_id, greatest(m.ttl, c.ttl) as ttl from noetl_metrics.series s \
    join noetl_metrics.metric_name n using (metric_name) join noetl_metrics.metric m on m.family = n.family \
    left join noetl_metrics.component_ttl c using (component_name, component_type) where m.ttl is not null or c.ttl is not null";

/// From when on each of these series keeps its samples, of those that have a time of their own.
pub(in crate::store) async fn kept_from(
    tx: &mut Transaction,
    series: &[i32],
) -> Result<HashMap<i32, Millis>, StoreError> {
    let text = format!(
        "select t.series_id, (extract(epoch from now() - t.ttl) * 1000)::bigint from ({TTL}) t where t.series_id = any($1)"
    );
    let rows = sql_made(text).bind(series).fetch_all(&mut **tx).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, Millis(row.try_get(1)?)))).collect()
}

/// [`keep_longer`], committed.
pub(super) async fn keep(database: &Database, partition: &Partition) -> Result<u64, StoreError> {
    let mut tx = database.begin_long().await?;
    let kept = keep_longer(&mut tx, partition).await?;
    tx.commit().await?;
    Ok(kept)
}

/// Samples that outlive their partition are copied to the late table.
pub(super) async fn keep_longer(tx: &mut Transaction, partition: &Partition) -> Result<u64, StoreError> {
    match partition.kind {
        Kind::Hour => keep_of(tx, &format!("noetl_metrics.{}", partition.name)).await,
        Kind::Day => keep_sealed(tx, partition.from, partition.to).await,
        Kind::Month => Ok(0),
    }
}

/// The same for sealed hours from one to another.
async fn keep_sealed(tx: &mut Transaction, from: Millis, to: Millis) -> Result<u64, StoreError> {
    let (from, to) = (from.rfc3339(), to.rfc3339());
    keep_of(tx, &format!("(select * from noetl_metrics.sealed where hour >= '{from}' and hour < '{to}')"))
        .await
}

async fn keep_of(tx: &mut Transaction, samples: &str) -> Result<u64, StoreError> {
    // Nearly always there are none: then nothing is unpacked to find that out.
    let any = sql_made(format!("select exists ({TTL})")).fetch_one(&mut **tx).await?;
    if !any.try_get::<bool, _>(0)? {
        return Ok(0);
    }
    let text = format!(
        "insert into noetl_metrics.sample_late (series_id, \"timestamp\", value, created_at) \
         select p.series_id, p.\"timestamp\", p.value, p.\"timestamp\" from {samples} p join ({TTL}) t using (series_id) \
         where p.\"timestamp\" > now() - t.ttl on conflict do nothing"
    );
    Ok(sql_made(text).execute(&mut **tx).await?.rows_affected())
}

/// Sealed hours that are past, of the day that is not past as a whole.
pub(super) async fn delete_hours(
    tx: &mut Transaction,
    cutoff: Millis,
    report: &mut MaintenanceReport,
) -> Result<(), StoreError> {
    let (from, to) = (cutoff.floor(24 * HOUR_MS), cutoff.floor(HOUR_MS));
    sealed::lock(tx, true).await?;
    report.kept_samples += keep_sealed(tx, from, to).await?;
    report.deleted_samples += sealed::delete(tx, from, to).await?;
    Ok(())
}

/// Rows past their time that no partition takes with it.
pub(super) async fn delete_rows(tx: &mut Transaction, cutoff: Millis) -> Result<u64, StoreError> {
    let late = format!(
        "delete from noetl_metrics.sample_late l where l.\"timestamp\" < timestamptz 'epoch' + $1 * interval '1 ms' \
         and not exists (select from ({TTL}) t where t.series_id = l.series_id and l.\"timestamp\" > now() - t.ttl)"
    );
    let mut deleted = sql_made(late).bind(cutoff.0).execute(&mut **tx).await?.rows_affected();
    // Blocks whose hour was dropped by hand; those of any other go with it, and what has longer stays.
    sql("delete from noetl_metrics.block b where b.\"timestamp\" < timestamptz 'epoch' + $1 * interval '1 ms' \
         and not exists (select from noetl_metrics.partition p \
           where b.\"timestamp\" >= p.from_time and b.\"timestamp\" < p.to_time)")
    .bind(cutoff.0)
    .execute(&mut **tx)
    .await?;
    for table in ["sample", "sample_late"] {
        let text = format!(
            "delete from noetl_metrics.{table} x using ({TTL}) t where t.series_id = x.series_id and x.\"timestamp\" <= now() - t.ttl"
        );
        deleted += sql_made(text).execute(&mut **tx).await?.rows_affected();
    }
    sealed::forget_dropped(tx).await?;
    Ok(deleted + delete_sealed(tx).await?)
}

/// Sealed samples of series whose own time is shorter, hour by hour as it is past; returns how many.
async fn delete_sealed(tx: &mut Transaction) -> Result<u64, StoreError> {
    let text = format!(
        "select (extract(epoch from c.hour) * 1000)::bigint, array_agg(distinct t.series_id) \
         from noetl_metrics.chunk c cross join lateral unnest(c.series_ids) u(series_id) join ({TTL}) t using (series_id) \
         where c.hour + interval '1 hour' <= now() - t.ttl group by 1"
    );
    let mut deleted = 0;
    for row in sql_made(text).fetch_all(&mut **tx).await? {
        let series: Vec<i32> = row.try_get(1)?;
        deleted += sealed::remove(tx, Millis(row.try_get(0)?), &series.into_iter().collect()).await?;
    }
    Ok(deleted)
}

/// Sets how long a metric's samples are kept, whatever the retention; returns its number of series,
/// nothing where there is no such metric.
pub(crate) async fn set_metric_ttl(
    database: &Database,
    metric_name: &str,
    days: i32,
) -> Result<Option<i64>, StoreError> {
    let mut tx = database.begin().await?;
    let set = sql(
        "update noetl_metrics.metric m set ttl = make_interval(days => $2) from noetl_metrics.metric_name n \
         where n.metric_name = $1 and m.family = n.family",
    )
    .bind(metric_name)
    .bind(days)
    .execute(&mut *tx)
    .await?;
    if set.rows_affected() == 0 {
        return Ok(None);
    }
    let row = sql(
        "select count(*) from noetl_metrics.series s join noetl_metrics.metric_name n using (metric_name) \
                   where n.family = (select family from noetl_metrics.metric_name where metric_name = $1)",
    )
    .bind(metric_name)
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Some(row.try_get(0)?))
}

/// Keeps a component's samples for at least this long; returns its number of series.
pub(crate) async fn extend_component_ttl(
    database: &Database,
    component: &Component,
    days: i32,
) -> Result<i64, StoreError> {
    let mut tx = database.begin().await?;
    sql("insert into noetl_metrics.component_ttl (component_name, component_type, ttl) values ($1, $2, make_interval(days => $3)) \
         on conflict (component_name, component_type) do update set ttl = excluded.ttl")
    .bind(&*component.name)
    .bind(&*component.kind)
    .bind(days)
    .execute(&mut *tx)
    .await?;
    let row =
        sql("select count(*) from noetl_metrics.series where component_name = $1 and component_type = $2")
            .bind(&*component.name)
            .bind(&*component.kind)
            .fetch_one(&mut *tx)
            .await?;
    tx.commit().await?;
    Ok(row.try_get(0)?)
}
