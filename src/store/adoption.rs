//! Adoption of tables `noetl.metrics` and `noetl.metric` that were there before: moved aside when
//! the schema is brought forward, copied afterwards, a few pages of a table a transaction.

use sqlx::Row as _;

use super::db::{Database, StoreError, Transaction, sql};

/// Pages of a table that one step copies: some ten thousand rows.
const PAGES: i32 = 400;

/// How far the copying is, all tables together.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Adoption {
    /// Pages of 8 KiB that were copied.
    pub pages_done: u64,
    /// Pages in all.
    pub pages: u64,
    /// Rows that were taken.
    pub adopted: u64,
    /// Rows that can't be kept; they stay in the table that was moved aside.
    pub refused: u64,
    /// Why the first of them can't.
    pub refusal: Option<String>,
    /// Whether all is done.
    pub finished: bool,
}

/// Moves tables that bear a name of our views out of the way; returns their new names.
pub(super) async fn move_aside(tx: &mut Transaction) -> Result<Vec<String>, StoreError> {
    let rows = sql(
        "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace \
                    where n.nspname = 'noetl' and c.relname in ('metrics', 'metric') and c.relkind in ('r', 'p')",
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut moved = Vec::new();
    for row in rows {
        let name: String = row.try_get(0)?;
        let aside = format!("adopted_{name}");
        for statement in [
            format!("alter table noetl.{name} rename to {aside}"),
            format!("alter table noetl.{aside} set schema noetl_metrics"),
        ] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut **tx).await.map_err(|error| {
                StoreError::Migration(format!("the table noetl.{name} can't be moved aside: {error}"))
            })?;
        }
        moved.push(format!("noetl_metrics.{aside}"));
    }
    Ok(moved)
}

/// Notes tables that were moved aside as to be copied.
pub(super) async fn begin(tx: &mut Transaction, tables: &[String]) -> Result<(), StoreError> {
    for table in tables {
        sql("select noetl_metrics.begin_adoption($1::text::regclass)").bind(table).execute(&mut **tx).await?;
    }
    Ok(())
}

/// How far it is; nothing where no table was ever adopted.
pub async fn adoption(database: &Database) -> Result<Option<Adoption>, StoreError> {
    let mut tx = database.begin().await?;
    let row = sql("select count(*), coalesce(sum(next_page), 0)::bigint, coalesce(sum(pages), 0)::bigint, \
                     coalesce(sum(adopted), 0)::bigint, coalesce(sum(refused), 0)::bigint, min(refusal), \
                     bool_and(finished_at is not null) from noetl_metrics.adoption")
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    if row.try_get::<i64, _>(0)? == 0 {
        return Ok(None);
    }
    let number = |at: usize| row.try_get::<i64, _>(at).map(i64::unsigned_abs);
    Ok(Some(Adoption {
        pages_done: number(1)?,
        pages: number(2)?,
        adopted: number(3)?,
        refused: number(4)?,
        refusal: row.try_get(5)?,
        finished: row.try_get(6)?,
    }))
}

/// Copies some more; `false` where nothing is left, or somebody else is at the last of it, which
/// [`adoption`] tells apart.
pub async fn adopt(database: &Database) -> Result<bool, StoreError> {
    let mut tx = database.begin_long().await?;
    let more = sql("select noetl_metrics.adopt($1)").bind(PAGES).fetch_one(&mut *tx).await?.try_get(0)?;
    tx.commit().await?;
    Ok(more)
}
