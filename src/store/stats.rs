//! Sizes of what is stored.

use sqlx::Row as _;

use super::db::{Database, StoreError, sql};

/// One table, or all partitions of samples together.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TableSize {
    /// Name in schema `noetl_metrics`.
    pub name: String,
    /// Rows, as the planner estimates them.
    pub rows: i64,
    /// Bytes of the table with TOAST.
    pub table_bytes: i64,
    /// Bytes of its indexes.
    pub index_bytes: i64,
}

/// Sizes of what is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sizes {
    /// Bytes of the whole database.
    pub database_bytes: i64,
    /// PostgreSQL's version.
    pub postgres: String,
    /// The tables, largest first.
    pub tables: Vec<TableSize>,
}

impl Sizes {
    /// Reads the sizes.
    pub async fn read(database: &Database) -> Result<Self, StoreError> {
        let mut tx = database.begin().await?;
        let row = sql("select pg_database_size(current_database()), current_setting('server_version')")
            .fetch_one(&mut *tx)
            .await?;
        let tables = sql("select case when i.inhrelid is null then c.relname::text else 'sample' end as name, \
                            sum(greatest(c.reltuples, 0))::bigint, \
                            sum(pg_table_size(c.oid))::bigint, sum(pg_indexes_size(c.oid))::bigint \
                          from pg_class c join pg_namespace n on n.oid = c.relnamespace \
                          left join pg_inherits i on i.inhrelid = c.oid \
                          where n.nspname = 'noetl_metrics' and c.relkind = 'r' group by 1 order by 3 desc, 1")
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        let tables = tables
            .iter()
            .map(|row| {
                Ok(TableSize {
                    name: row.try_get(0)?,
                    rows: row.try_get(1)?,
                    table_bytes: row.try_get(2)?,
                    index_bytes: row.try_get(3)?,
                })
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Self { database_bytes: row.try_get(0)?, postgres: row.try_get(1)?, tables })
    }
}
