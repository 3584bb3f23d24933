//! Sizes of what is stored.

use sqlx::Row as _;

use super::db::{Database, StoreError, sql};
use crate::model::Millis;

/// One table, or all partitions of samples together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSize {
    /// Name in schema `noetl_metrics`.
    pub name: String,
    /// Rows: of samples by their fixed size, of other tables as the planner estimates them.
    pub rows: i64,
    /// Bytes of the table with TOAST.
    pub table_bytes: i64,
    /// Bytes of its indexes.
    pub index_bytes: i64,
}

/// One partition of samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSize {
    /// Name of the table.
    pub name: String,
    /// First millisecond.
    pub from: Millis,
    /// First millisecond after it.
    pub to: Millis,
    /// Rows, an estimate.
    pub rows: i64,
    /// Bytes with indexes.
    pub bytes: i64,
}

/// Sizes of what is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of the whole database.
    pub database_bytes: i64,
    /// PostgreSQL's version.
    pub postgres: String,
    /// The tables, largest first; all partitions of samples count as one.
    pub tables: Vec<TableSize>,
    /// The newest 24 partitions up to this hour's, newest first.
    pub partitions: Vec<PartitionSize>,
}

impl Sizes {
    /// Reads the sizes.
    pub async fn read(database: &Database) -> Result<Self, StoreError> {
        let mut tx = database.begin().await?;
        let row = sql("select pg_database_size(current_database()), current_setting('server_version')")
            .fetch_one(&mut *tx)
            .await?;
        let tables = sql("select case when i.inhrelid is null then c.relname::text else 'sample' end, \
                            sum(case when i.inhrelid is null then greatest(c.reltuples, 0)::bigint \
                                else pg_relation_size(c.oid) / 8192 * 157 end)::bigint, \
                            sum(pg_table_size(c.oid))::bigint, sum(pg_indexes_size(c.oid))::bigint \
                          from pg_class c join pg_namespace n on n.oid = c.relnamespace \
                          left join pg_inherits i on i.inhrelid = c.oid \
                          where n.nspname = 'noetl_metrics' and c.relkind = 'r' group by 1 order by 3 desc, 1")
            .fetch_all(&mut *tx)
            .await?;
        // A page of 8 KiB holds 157 samples of 52 bytes.
        let partitions = sql("select name, extract(epoch from from_time)::bigint * 1000, extract(epoch from to_time)::bigint * 1000, \
                                coalesce(pg_relation_size(t) / 8192 * 157, 0), coalesce(pg_total_relation_size(t), 0) \
                              from noetl_metrics.partition, to_regclass('noetl_metrics.' || name) t \
                              where from_time <= now() order by from_time desc limit 24")
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
        let partitions = partitions
            .iter()
            .map(|row| {
                Ok(PartitionSize {
                    name: row.try_get(0)?,
                    from: Millis(row.try_get(1)?),
                    to: Millis(row.try_get(2)?),
                    rows: row.try_get(3)?,
                    bytes: row.try_get(4)?,
                })
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Self { database_bytes: row.try_get(0)?, postgres: row.try_get(1)?, tables, partitions })
    }
}
