//! Sizes of what is stored.

use sqlx::Row as _;

use super::db::{Database, StoreError, sql};
use crate::model::Millis;

/// One table, with all its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSize {
    /// Name in schema `noetl_metrics`.
    pub name: String,
    /// Rows: of samples by their fixed size, of blocks and chunks the samples in them; of other tables
    /// as the planner estimates them.
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
    /// Samples; of hours an estimate.
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
    /// The tables, largest first.
    pub tables: Vec<TableSize>,
    /// Partitions of samples, hours and days.
    pub partition_count: i64,
    /// When the oldest of them begins.
    pub oldest: Option<Millis>,
    /// The newest 24 of them up to this hour's, newest first.
    pub partitions: Vec<PartitionSize>,
}

/// Tables that hold samples.
const OF_SAMPLES: [&str; 4] = ["sample", "block", "chunk", "sample_late"];

impl Sizes {
    /// Reads the sizes.
    pub async fn read(database: &Database) -> Result<Self, StoreError> {
        let mut tx = database.begin().await?;
        let row = sql("select pg_database_size(current_database()), current_setting('server_version'), \
                         (select count(*) from noetl_metrics.partition) + (select count(*) from noetl_metrics.day), \
                         (extract(epoch from least((select min(from_time) from noetl_metrics.partition), \
                                                   (select min(from_time) from noetl_metrics.day))) * 1000)::bigint")
            .fetch_one(&mut *tx)
            .await?;
        // A page of 8 KiB holds 157 samples of 52 bytes, or some 900 in blocks, most of which have no ids.
        let tables = sql("select t.name, \
                            case t.name when 'chunk' then (select coalesce(sum(samples), 0) from noetl_metrics.sealed_hour) \
                              when 'sample' then t.pages * 157 when 'block' then t.pages * 900 else t.rows end::bigint, t.bytes, t.indexes \
                          from (select coalesce(p.relname, c.relname)::text as name, sum(greatest(c.reltuples, 0))::bigint as rows, \
                                  sum(pg_relation_size(c.oid) / 8192)::bigint as pages, sum(pg_table_size(c.oid))::bigint as bytes, \
                                  sum(pg_indexes_size(c.oid))::bigint as indexes \
                                from pg_class c join pg_namespace n on n.oid = c.relnamespace \
                                left join pg_inherits i on i.inhrelid = c.oid left join pg_class p on p.oid = i.inhparent \
                                where n.nspname = 'noetl_metrics' and c.relkind = 'r' group by 1) t order by 3 desc, 1")
            .fetch_all(&mut *tx)
            .await?;
        let partitions = sql("select name, (extract(epoch from from_time) * 1000)::bigint, (extract(epoch from to_time) * 1000)::bigint, \
                                samples::bigint, coalesce(pg_total_relation_size(t), 0) \
                              from (select name, from_time, to_time, t, pg_relation_size(t) / 8192 * 157 as samples \
                                    from noetl_metrics.partition, to_regclass('noetl_metrics.' || name) t \
                                    union all \
                                    select name, from_time, to_time, t, (select sum(samples) from noetl_metrics.sealed_hour \
                                                                         where hour >= from_time and hour < to_time) \
                                    from noetl_metrics.day, to_regclass('noetl_metrics.' || name) t) p \
                              where from_time <= now() order by to_time desc, from_time desc limit 24")
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
                    rows: row.try_get::<Option<_>, _>(3)?.unwrap_or_default(),
                    bytes: row.try_get(4)?,
                })
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Self {
            database_bytes: row.try_get(0)?,
            postgres: row.try_get(1)?,
            partition_count: row.try_get(2)?,
            oldest: row.try_get::<Option<i64>, _>(3)?.map(Millis),
            tables,
            partitions,
        })
    }

    /// The tables that hold samples.
    pub fn of_samples(&self) -> impl Iterator<Item = &TableSize> {
        self.tables.iter().filter(|table| OF_SAMPLES.contains(&table.name.as_str()))
    }
}
