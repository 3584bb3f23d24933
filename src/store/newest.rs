//! The newest stored sample of series: among those of the last minutes and the blocks of open hours,
//! then partition by partition from the newest back, then in sealed hours. What an open hour has as
//! rows has no index by series and is read through once.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use sqlx::Row as _;

use super::blocks::NewestFirst;
use super::db::{StoreError, Transaction, sql_made};
use super::partitions::{self, Kind, Partition};
use super::sealed;
use crate::model::Millis;

/// Most series have a sample among those of the last minutes.
const RECENT_MS: i64 = 150_000;

/// How far back sealed hours are looked through. A series that has been silent for longer has no value
/// until it is reported again; what it is then is appended in any case.
const SEALED_MS: i64 = 48 * 3_600_000;

/// The newest stored sample of one series, in a partition, a block or among the late ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) at: Millis,
    pub(super) value: f64,
}

/// Newest samples by the id of their series.
pub(super) type Found = HashMap<i32, Stored, RandomState>;

/// Finds the newest samples of `ids`; a series without samples is not in the answer.
pub(super) async fn newest(tx: &mut Transaction, ids: &[i32]) -> Result<Found, StoreError> {
    let mut found = Found::with_capacity_and_hasher(ids.len(), RandomState::default());
    if ids.is_empty() {
        return Ok(found);
    }
    let recent = Millis::now().plus(-RECENT_MS);
    read_through(tx, &format!("\"timestamp\" >= '{}'", recent.rfc3339()), ids, &mut found).await?;
    in_blocks(tx, ids, recent, &mut found).await?;
    let horizon = Millis::now().plus(3_600_000);
    for partition in partitions::list(tx, Kind::Hour).await?.iter().rev().filter(|p| p.from <= horizon) {
        // An open hour may have a newer sample as a row than in a block.
        let enough = |stored: &Stored| partition.closed || stored.at >= recent;
        let missing: Vec<i32> = ids.iter().filter(|id| !found.get(id).is_some_and(enough)).copied().collect();
        // Those made ahead are empty: no need to ask them for each series.
        if missing.is_empty() || is_empty(tx, partition).await? {
            continue;
        }
        if partition.closed {
            in_partition(tx, partition, &missing, &mut found).await?;
        } else {
            read_through(tx, &within(partition), &missing, &mut found).await?;
        }
    }
    in_chunks(tx, ids, &mut found).await?;
    late(tx, ids, &mut found).await?;
    Ok(found)
}

fn keep_newer(found: &mut Found, id: i32, stored: Stored) {
    let kept = found.entry(id).or_insert(stored);
    if stored.at > kept.at {
        *kept = stored;
    }
}

/// The newest of each series among the blocks.
async fn in_blocks(
    tx: &mut Transaction,
    ids: &[i32],
    recent: Millis,
    found: &mut Found,
) -> Result<(), StoreError> {
    let mut open: HashSet<i32, RandomState> = ids.iter().copied().collect();
    let mut blocks = NewestFirst::open(tx, ids).await?;
    while !open.is_empty() {
        let page = blocks.next().await?;
        let Some(last) = page.last().map(|block| block.at) else { break };
        for block in page {
            for (id, value) in block.ids.into_iter().zip(block.values) {
                if open.remove(&id) {
                    keep_newer(found, id, Stored { at: block.at, value });
                }
            }
        }
        if last < recent {
            // Those that have a recent row have none newer in the blocks that are left.
            open.retain(|id| !found.contains_key(id));
        }
    }
    blocks.close().await
}

/// The newest of each series that has none in a later hour.
async fn in_chunks(tx: &mut Transaction, ids: &[i32], found: &mut Found) -> Result<(), StoreError> {
    let mut missing: HashSet<i32, RandomState> =
        ids.iter().filter(|id| !found.contains_key(id)).copied().collect();
    let from = Millis::now().plus(-SEALED_MS);
    sealed::newest(tx, &mut missing, from, |id, at, value| keep_newer(found, id, Stored { at, value })).await
}

async fn in_partition(
    tx: &mut Transaction,
    partition: &Partition,
    ids: &[i32],
    found: &mut Found,
) -> Result<(), StoreError> {
    // By its bounds and not by its name: maintenance may drop it in this moment. One row of arrays:
    // as rows, a hundred thousand answers would cost more than finding them.
    let text = format!(
        "select array_agg(i.id), array_agg((date_part('epoch', s.at) * 1000)::bigint), array_agg(s.value) \
         from unnest($1::integer[]) i(id) \
         cross join lateral (select \"timestamp\" as at, value from noetl_metrics.sample \
           where series_id = i.id and {} order by \"timestamp\" desc limit 1) s",
        within(partition)
    );
    take(tx, text, ids, found).await
}

/// Reads all samples of a time that no index finds by their series.
async fn read_through(
    tx: &mut Transaction,
    within: &str,
    ids: &[i32],
    found: &mut Found,
) -> Result<(), StoreError> {
    let text = format!(
        "select array_agg(series_id), array_agg((date_part('epoch', at) * 1000)::bigint), array_agg(value) from ( \
           select distinct on (series_id) series_id, \"timestamp\" as at, value from noetl_metrics.sample \
           where series_id = any($1) and {within} order by series_id, \"timestamp\" desc) s"
    );
    take(tx, text, ids, found).await
}

async fn take(tx: &mut Transaction, text: String, ids: &[i32], found: &mut Found) -> Result<(), StoreError> {
    let row = sql_made(text).bind(ids).fetch_one(&mut **tx).await?;
    let ids: Vec<i32> = row.try_get::<Option<_>, _>(0)?.unwrap_or_default();
    let times: Vec<i64> = row.try_get::<Option<_>, _>(1)?.unwrap_or_default();
    let values: Vec<f64> = row.try_get::<Option<_>, _>(2)?.unwrap_or_default();
    for ((id, at), value) in ids.into_iter().zip(times).zip(values) {
        keep_newer(found, id, Stored { at: Millis(at), value });
    }
    Ok(())
}

async fn is_empty(tx: &mut Transaction, partition: &Partition) -> Result<bool, StoreError> {
    let text = format!("select not exists (select from noetl_metrics.sample where {})", within(partition));
    Ok(sql_made(text).fetch_one(&mut **tx).await?.try_get(0)?)
}

fn within(partition: &Partition) -> String {
    let (from, to) = (partition.from.rfc3339(), partition.to.rfc3339());
    format!("\"timestamp\" >= '{from}' and \"timestamp\" < '{to}'")
}

async fn late(tx: &mut Transaction, ids: &[i32], found: &mut Found) -> Result<(), StoreError> {
    // Mostly there is none, and it need not be looked for. Else by the index, series by series:
    // adopted history makes the table large.
    let text = "select array_agg(i.id), array_agg(floor(extract(epoch from l.at) * 1000)::bigint), array_agg(l.value) \
                from unnest($1::integer[]) i(id) cross join lateral ( \
                  select \"timestamp\" as at, value from noetl_metrics.sample_late \
                  where series_id = i.id order by \"timestamp\" desc limit 1) l \
                where (select exists (select from noetl_metrics.sample_late))";
    let mut late = Found::default();
    take(tx, text.to_owned(), ids, &mut late).await?;
    for (id, late) in late {
        let stored = found.entry(id).or_insert(late);
        // At the same time the late one overrides.
        if late.at >= stored.at {
            *stored = late;
        }
    }
    Ok(())
}
