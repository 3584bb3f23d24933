//! Brings the schema forward: numbered SQL, each applied once, all in one transaction that holds an
//! advisory lock, so any number of servers may start at once.

use sqlx::Row as _;
use sqlx::migrate::Migrator;

use super::db::{Database, StoreError, sql};
use crate::model::Millis;

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// Where sqlx keeps what was applied; not the public default, since the database may be shared.
const TABLE: &str = "noetl_metrics.migration";

/// How far a database's schema is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MigrationState {
    /// Newest version applied, 0 if none.
    pub applied: i64,
    /// Newest version that this program knows.
    pub newest: i64,
}

/// Applies what is missing; returns the versions that were applied.
pub async fn migrate(database: &Database) -> Result<Vec<i64>, StoreError> {
    let failed = |e: sqlx::Error| StoreError::Migration(e.to_string());
    let mut tx = database.begin_long().await?;
    sql("select pg_advisory_xact_lock(hashtext('noetl_metrics.migrate'))").execute(&mut *tx).await?;
    sql("create schema if not exists noetl_metrics").execute(&mut *tx).await.map_err(failed)?;
    let before = applied(&mut tx).await?;
    let mut migrator = Migrator { migrations: MIGRATOR.migrations.clone(), ..Migrator::DEFAULT };
    // The transaction's lock is enough: sqlx' own is one of the session, which PgBouncer breaks. A
    // newer server may have gone ahead; what it added is no business of this one.
    migrator.set_locking(false).set_ignore_missing(true);
    migrator.dangerous_set_table_name(TABLE);
    // sqlx names the statements of its migrator whatever it is told; behind a PgBouncer another
    // client may have left the same name on this connection, or would find ours.
    sqlx::raw_sql("deallocate all").execute(&mut *tx).await.map_err(failed)?;
    migrator.run_direct(None, &mut *tx, false).await.map_err(|e| StoreError::Migration(e.to_string()))?;
    sqlx::raw_sql("deallocate all").execute(&mut *tx).await.map_err(failed)?;
    tx.commit().await.map_err(failed)?;
    Ok(MIGRATOR.iter().map(|m| m.version).filter(|v| *v > before).collect())
}

/// How far the schema is.
pub async fn state(database: &Database) -> Result<MigrationState, StoreError> {
    let mut tx = database.begin().await?;
    let applied = applied(&mut tx).await?;
    tx.commit().await?;
    Ok(MigrationState { applied, newest: MIGRATOR.iter().map(|m| m.version).max().unwrap_or(0) })
}

/// One step of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its number.
    pub version: i64,
    /// What it does.
    pub description: String,
    /// When it was applied, if it was.
    pub applied_at: Option<Millis>,
}

/// All steps that this program knows, and when each was applied.
pub async fn all(database: &Database) -> Result<Vec<Migration>, StoreError> {
    let mut tx = database.begin().await?;
    let rows = sql("select version, floor(extract(epoch from installed_on) * 1000)::bigint \
                    from noetl_metrics.migration where success")
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let mut applied = std::collections::HashMap::new();
    for row in rows {
        applied.insert(row.try_get::<i64, _>(0)?, Millis(row.try_get(1)?));
    }
    Ok(MIGRATOR
        .iter()
        .map(|m| Migration {
            version: m.version,
            description: m.description.to_string(),
            applied_at: applied.get(&m.version).copied(),
        })
        .collect())
}

async fn applied(tx: &mut super::Transaction) -> Result<i64, StoreError> {
    let row = sql("select to_regclass('noetl_metrics.migration') is not null").fetch_one(&mut **tx).await?;
    if !row.try_get::<bool, _>(0)? {
        return Ok(0);
    }
    let row = sql("select coalesce(max(version), 0) from noetl_metrics.migration where success")
        .fetch_one(&mut **tx)
        .await?;
    Ok(row.try_get(0)?)
}
