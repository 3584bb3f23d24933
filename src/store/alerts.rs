//! Alerts over restarts: the active server writes down what it knows of them, the next one reads it.

use std::collections::BTreeMap;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Json;

use super::db::{Database, StoreError, sql};
use crate::model::Millis;

/// An alert as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptAlert {
    /// Digest of its labels.
    pub key: String,
    /// Name of its rule.
    pub rule: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its texts.
    pub annotations: BTreeMap<String, String>,
    /// The series' value.
    pub value: f64,
    /// `pending`, `firing` or `resolved`.
    pub state: String,
    /// Since when its rule holds.
    pub active_at: Millis,
    /// When it began to fire.
    pub fired_at: Option<Millis>,
    /// Since when it fires although its rule does not hold.
    pub kept_since: Option<Millis>,
    /// When it was resolved.
    pub resolved_at: Option<Millis>,
    /// What the webhook was told last.
    pub told: Option<String>,
}

/// All alerts, and when the rules were evaluated last.
pub async fn load_alerts(database: &Database) -> Result<(Vec<KeptAlert>, Option<Millis>), StoreError> {
    let mut tx = database.begin().await?;
    let rows = sql("select key, rule, labels, annotations, value, state, \
                      (extract(epoch from active_at) * 1000)::bigint, (extract(epoch from fired_at) * 1000)::bigint, \
                      (extract(epoch from kept_since) * 1000)::bigint, (extract(epoch from resolved_at) * 1000)::bigint, told \
                    from noetl_metrics.alert")
    .fetch_all(&mut *tx)
    .await?;
    let last = sql("select (extract(epoch from evaluated_at) * 1000)::bigint from noetl_metrics.alerting")
        .fetch_optional(&mut *tx)
        .await?;
    tx.commit().await?;
    let alerts = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok((alerts, last.map(|row| row.try_get(0)).transpose()?.map(Millis)))
}

fn read(row: &PgRow) -> Result<KeptAlert, StoreError> {
    let time = |at: usize| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(at)?.map(Millis));
    Ok(KeptAlert {
        key: row.try_get(0)?,
        rule: row.try_get(1)?,
        labels: row.try_get::<Json<_>, _>(2)?.0,
        annotations: row.try_get::<Json<_>, _>(3)?.0,
        value: row.try_get(4)?,
        state: row.try_get(5)?,
        active_at: Millis(row.try_get(6)?),
        fired_at: time(7)?,
        kept_since: time(8)?,
        resolved_at: time(9)?,
        told: row.try_get(10)?,
    })
}

/// Writes down what changed of the alerts as the rules were evaluated at `at`. Fails as
/// [`StoreError::Fenced`] where another server is active, also where nothing changed.
pub async fn save_alerts(
    database: &Database,
    at: Millis,
    changed: &[KeptAlert],
    gone: &[String],
) -> Result<(), StoreError> {
    let mut tx = database.begin_write().await?;
    sql("insert into noetl_metrics.alerting (evaluated_at) values (timestamptz 'epoch' + $1 * interval '1 ms') \
         on conflict (only_row) do update set evaluated_at = excluded.evaluated_at")
        .bind(at.0)
        .execute(&mut *tx)
        .await?;
    if !gone.is_empty() {
        sql("delete from noetl_metrics.alert where key = any($1)").bind(gone).execute(&mut *tx).await?;
    }
    if !changed.is_empty() {
        let texts = |of: fn(&KeptAlert) -> &str| changed.iter().map(of).collect::<Vec<_>>();
        let maps = |of: fn(&KeptAlert) -> &BTreeMap<String, String>| {
            changed.iter().map(|alert| Json(of(alert))).collect::<Vec<_>>()
        };
        let times = |of: fn(&KeptAlert) -> Option<Millis>| {
            changed.iter().map(|alert| of(alert).map(|at| at.0)).collect::<Vec<_>>()
        };
        sql("insert into noetl_metrics.alert (key, rule, labels, annotations, value, state, active_at, fired_at, kept_since, resolved_at, told) \
             select key, rule, labels, annotations, value, state, timestamptz 'epoch' + active * interval '1 ms', \
               timestamptz 'epoch' + fired * interval '1 ms', timestamptz 'epoch' + kept * interval '1 ms', \
               timestamptz 'epoch' + resolved * interval '1 ms', told \
             from unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[], $5::double precision[], $6::text[], \
               $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[]) \
               u(key, rule, labels, annotations, value, state, active, fired, kept, resolved, told) \
             on conflict (key) do update set rule = excluded.rule, annotations = excluded.annotations, value = excluded.value, \
               state = excluded.state, active_at = excluded.active_at, fired_at = excluded.fired_at, \
               kept_since = excluded.kept_since, resolved_at = excluded.resolved_at, told = excluded.told")
            .bind(texts(|alert| &alert.key))
            .bind(texts(|alert| &alert.rule))
            .bind(maps(|alert| &alert.labels))
            .bind(maps(|alert| &alert.annotations))
            .bind(changed.iter().map(|alert| alert.value).collect::<Vec<_>>())
            .bind(texts(|alert| &alert.state))
            .bind(times(|alert| Some(alert.active_at)))
            .bind(times(|alert| alert.fired_at))
            .bind(times(|alert| alert.kept_since))
            .bind(times(|alert| alert.resolved_at))
            .bind(changed.iter().map(|alert| alert.told.as_deref()).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
    }
    Ok(tx.commit().await?)
}
