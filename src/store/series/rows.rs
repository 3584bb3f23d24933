//! What PostgreSQL is told of new series.

use sqlx::Row as _;

use super::NewSample;
use crate::model::{Component, Label};
use crate::store::db::{StoreError, Transaction, sql};
use crate::store::names::NewName;

/// Inserts the series that are not there; returns each one's id and whether it was made just now. Their ids
/// follow one on the other as the samples do: what is reported like this again needs no ids in its blocks.
/// They are stored in the order of their fingerprints, as by whoever else makes some: neither then waits for
/// what the other has.
pub(super) async fn insert(
    tx: &mut Transaction,
    component: &Component,
    samples: &[NewSample<'_>],
    open: &[usize],
) -> Result<Vec<(i32, bool)>, StoreError> {
    let picked: Vec<&NewSample<'_>> = open.iter().map(|at| &samples[*at]).collect();
    let labels: Vec<Option<String>> = picked.iter().map(|s| labels_json(s.labels)).collect();
    let rows = sql(
        "with input as materialized ( \
           select ord, name, labels::jsonb as labels, help, unit, noetl_metrics.fingerprint($1, $2, name, labels::jsonb) as print \
           from unnest($4::text[], $5::text[], $6::text[], $7::text[]) with ordinality u(name, labels, help, unit, ord)), \
         fresh as materialized ( \
           select nextval(pg_get_serial_sequence('noetl_metrics.series', 'series_id'))::integer as id, n.* from ( \
             select * from (select distinct on (print) * from input order by print, ord) i \
             where not exists (select from noetl_metrics.series s where s.fingerprint = i.print) order by ord) n), \
         made as ( \
           insert into noetl_metrics.series (series_id, fingerprint, runtime_id, component_name, component_type, metric_name, labels, help_text, unit) \
           overriding system value select id, print, $3, $1, $2, name, labels, help, unit from fresh order by print \
           on conflict (fingerprint) do nothing returning series_id, fingerprint) \
         select i.ord, coalesce(m.series_id, s.series_id), m.series_id is not null from input i \
         left join made m on m.fingerprint = i.print left join noetl_metrics.series s on s.fingerprint = i.print order by i.ord",
    )
    .bind(&*component.name)
    .bind(&*component.kind)
    .bind(component.id.0)
    .bind(picked.iter().map(|s| s.name).collect::<Vec<_>>())
    .bind(labels)
    .bind(picked.iter().map(|s| s.help).collect::<Vec<_>>())
    .bind(picked.iter().map(|s| s.unit).collect::<Vec<_>>())
    .fetch_all(&mut **tx)
    .await?;
    rows.iter()
        .map(|row| {
            // Missing only where another server made it since this statement's snapshot.
            let id: Option<i32> = row.try_get(1)?;
            let id = id.ok_or_else(|| {
                StoreError::Unavailable("a series is being made elsewhere; try again".into())
            })?;
            Ok((id, row.try_get(2)?))
        })
        .collect()
}

/// Gives help and unit to the series of these names that were made without.
pub(super) async fn describe(tx: &mut Transaction, names: &[NewName<'_>]) -> Result<(), StoreError> {
    sql("update noetl_metrics.series s set help_text = coalesce(s.help_text, u.help), unit = coalesce(s.unit, left(u.unit, 50)) \
         from unnest($1::text[], $2::text[], $3::text[]) u(name, help, unit) \
         where s.metric_name = u.name and (s.help_text is null and u.help is not null or s.unit is null and u.unit is not null)")
        .bind(names.iter().map(|n| n.name).collect::<Vec<_>>())
        .bind(names.iter().map(|n| n.help).collect::<Vec<_>>())
        .bind(names.iter().map(|n| n.unit).collect::<Vec<_>>())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(in crate::store) fn labels_json(labels: &[Label<'_>]) -> Option<String> {
    if labels.is_empty() {
        return None;
    }
    let map: serde_json::Map<String, serde_json::Value> =
        labels.iter().map(|(k, v)| (k.to_string(), v.to_string().into())).collect();
    serde_json::to_string(&map).ok()
}
