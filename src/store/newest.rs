//! The newest stored sample of series, partition by partition from the newest back.

use std::collections::HashMap;

use sqlx::Row as _;

use super::db::{StoreError, Transaction, sql, sql_made};
use super::partitions::{self, Partition};
use crate::model::Millis;

/// The newest stored sample of one series, in a partition or among the late ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) at: Millis,
    pub(super) value: f64,
}

/// Finds the newest samples of `ids`; a series without samples is not in the answer.
pub(super) async fn newest(tx: &mut Transaction, ids: &[i32]) -> Result<HashMap<i32, Stored>, StoreError> {
    let mut found: HashMap<i32, Stored> = HashMap::with_capacity(ids.len());
    let mut missing: Vec<i32> = ids.to_vec();
    let horizon = Millis::now().plus(3_600_000);
    for partition in partitions::list(tx).await?.iter().rev().filter(|p| p.from <= horizon) {
        if missing.is_empty() {
            break;
        }
        in_partition(tx, partition, &missing, &mut found).await?;
        missing.retain(|id| !found.contains_key(id));
    }
    late(tx, ids, &mut found).await?;
    Ok(found)
}

async fn in_partition(
    tx: &mut Transaction,
    partition: &Partition,
    ids: &[i32],
    found: &mut HashMap<i32, Stored>,
) -> Result<(), StoreError> {
    // By its bounds and not by its name: maintenance may drop it in this moment.
    let text = format!(
        "select i.id, floor(extract(epoch from s.at) * 1000)::bigint, s.value from unnest($1::integer[]) i(id) \
         cross join lateral (select \"timestamp\" as at, value from noetl_metrics.sample \
           where series_id = i.id and \"timestamp\" >= '{}' and \"timestamp\" < '{}' order by \"timestamp\" desc limit 1) s",
        partition.from.rfc3339(),
        partition.to.rfc3339()
    );
    for row in sql_made(text).bind(ids).fetch_all(&mut **tx).await? {
        found.insert(row.try_get(0)?, Stored { at: Millis(row.try_get(1)?), value: row.try_get(2)? });
    }
    Ok(())
}

async fn late(tx: &mut Transaction, ids: &[i32], found: &mut HashMap<i32, Stored>) -> Result<(), StoreError> {
    let rows = sql("select distinct on (series_id) series_id, floor(extract(epoch from \"timestamp\") * 1000)::bigint, value \
                    from noetl_metrics.sample_late where series_id = any($1) order by series_id, \"timestamp\" desc")
        .bind(ids)
        .fetch_all(&mut **tx)
        .await?;
    for row in rows {
        let late = Stored { at: Millis(row.try_get(1)?), value: row.try_get(2)? };
        let stored = found.entry(row.try_get(0)?).or_insert(late);
        // At the same time the late one overrides.
        if late.at >= stored.at {
            *stored = late;
        }
    }
    Ok(())
}
