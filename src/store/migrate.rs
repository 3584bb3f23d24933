//! Brings the schema forward: numbered SQL, each applied once, all in one transaction that holds an
//! advisory lock, so any number of servers may start at once.

use sqlx::Row as _;
use sqlx::migrate::Migrator;

use super::adoption;
use super::db::{Database, StoreError, Transaction, sql};
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

/// Who keeps `noetl.runtime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RuntimeOwner {
    /// This program: the database is its own.
    Own,
    /// NoETL, whose database it is: the table is read and never written.
    Shared,
}

/// Applies what is missing; returns the versions that were applied. Fails where `noetl.runtime` is
/// another's than `owner` says; without it, whatever is there is right.
pub async fn migrate(database: &Database, owner: Option<RuntimeOwner>) -> Result<Vec<i64>, StoreError> {
    let failed = |e: sqlx::Error| StoreError::Migration(e.to_string());
    let mut tx = database.begin_long().await?;
    sql("select pg_advisory_xact_lock(hashtext('noetl_metrics.migrate'))").execute(&mut *tx).await?;
    check_owner(&mut tx, owner).await?;
    // Asked first: "if not exists" asks for a right that a role may not have where it does exist.
    if !exists(&mut tx, "select to_regnamespace('noetl_metrics') is not null").await? {
        sql("create schema noetl_metrics").execute(&mut *tx).await.map_err(failed)?;
    }
    let before = applied(&mut tx).await?;
    let aside = adoption::move_aside(&mut tx).await?;
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
    adoption::begin(&mut tx, &aside).await?;
    tx.commit().await.map_err(failed)?;
    Ok(MIGRATOR.iter().map(|m| m.version).filter(|v| *v > before).collect())
}

/// Whether `noetl.runtime` is whose it should be.
async fn check_owner(tx: &mut Transaction, owner: Option<RuntimeOwner>) -> Result<(), StoreError> {
    let row = sql("select to_regclass('noetl.runtime') is not null, \
                     coalesce(obj_description(to_regclass('noetl.runtime')) like '%Made by NoETL Metrics%', false)")
        .fetch_one(&mut **tx)
        .await?;
    let why = match (owner, row.try_get(0)?, row.try_get(1)?) {
        (Some(RuntimeOwner::Own), true, false) => {
            "NoETL made the table noetl.runtime of this database: share it (--runtime shared, database.runtime: Shared), \
             or use a database of our own"
        }
        (Some(RuntimeOwner::Shared), false, _) => {
            "this database has no table noetl.runtime to share: NoETL makes it at its installation"
        }
        (Some(RuntimeOwner::Shared), true, true) => {
            "NoETL Metrics made the table noetl.runtime of this database: it is not shared (--runtime own, database.runtime: Own)"
        }
        _ => return Ok(()),
    };
    Err(StoreError::Migration(why.into()))
}

/// Rights that the role lacks, each with the statement that grants it.
pub async fn missing_rights(database: &Database) -> Result<Vec<String>, StoreError> {
    let mut tx = database.begin().await?;
    let rows = sql("select noetl_metrics.missing_rights()").fetch_all(&mut *tx).await?;
    tx.commit().await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

async fn exists(tx: &mut Transaction, question: &'static str) -> Result<bool, StoreError> {
    Ok(sql(question).fetch_one(&mut **tx).await?.try_get(0)?)
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

async fn applied(tx: &mut Transaction) -> Result<i64, StoreError> {
    if !exists(tx, "select to_regclass('noetl_metrics.migration') is not null").await? {
        return Ok(0);
    }
    let row = sql("select coalesce(max(version), 0) from noetl_metrics.migration where success")
        .fetch_one(&mut **tx)
        .await?;
    Ok(row.try_get(0)?)
}
