//! What was stored since some place: all of it, wherever it is by now, and whenever its samples are of.
//!
//! A place is the number of a transaction below which none was under way when it was looked at: what
//! such a transaction stored had been seen, and what is stored since has the number of another one in
//! its row. In order of time there is no such place: a sample may be late, and a transaction may be
//! seen long after it began.
//!
//! Beside its row's number, what is new is found by time, so that not all is looked through: samples
//! that are appended are of an hour that was open then, late ones have the time of their storing, and
//! an hour into which late ones were brought has the newest of theirs.

use sqlx::{FromRow as _, Row as _};

use super::db::{Database, StoreError, Timestamp, Transaction, sql, sql_made};
use super::past::{BY_SERIES, Past};
use super::sealed::HOUR_MS;
use crate::model::Millis;

/// An hour still takes samples for five minutes after its end; and clocks may differ by as much.
const OPEN_MS: i64 = 600_000;
/// A transaction may have begun this long before it stored its first sample.
const BEGUN_MS: i64 = 60_000;

/// The lowest transaction that is under way or the next one, the next one, and the time.
const LOOK: &str = "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint, \
                      pg_snapshot_xmax(pg_current_snapshot())::text::bigint, (extract(epoch from now()) * 1000)::bigint";

/// A place in what was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// All that transactions below this one stored is before it; 0 where that is not known.
    pub xid: i64,
    /// The others got their numbers after this time of the database's clock.
    pub at: Millis,
}

/// How far a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptPlace {
    /// It has all before this place.
    pub since: Place,
    /// Of hours before this one, it has all before a later place.
    pub upto: Option<(Millis, Place)>,
}

impl KeptPlace {
    /// From where on an hour is read.
    pub fn of_hour(&self, hour: Millis) -> Place {
        self.upto.filter(|(upto, _)| hour < *upto).map_or(self.since, |(_, place)| place)
    }
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All.
    All,
    /// Samples that were late when they were stored.
    Late,
}

/// One look at the database.
#[derive(Clone, Debug)]
pub struct Look {
    /// The lowest transaction that was under way, or the next one.
    pub lowest: i64,
    /// The next one: it and those above it begin to store after `at`.
    pub next: i64,
    /// When it was, by the database's clock.
    pub at: Millis,
    /// The hours that had something new, the oldest first.
    pub hours: Vec<Millis>,
}

/// How far a target is; a new one begins with what is stored from now on.
pub async fn begin_place(database: &Database, target: &str) -> Result<KeptPlace, StoreError> {
    if let Some(kept) = kept_place(database, target).await? {
        return Ok(kept);
    }
    let mut tx = database.begin().await?;
    let row = sql(LOOK).fetch_one(&mut *tx).await?;
    tx.commit().await?;
    let kept = KeptPlace { since: Place { xid: row.try_get(0)?, at: Millis(row.try_get(2)?) }, upto: None };
    keep_place(database, target, &kept).await?;
    tracing::info!(to = target, "a new target: it is sent what is stored from now on");
    Ok(kept)
}

/// How far a target is; nothing where it is new.
async fn kept_place(database: &Database, target: &str) -> Result<Option<KeptPlace>, StoreError> {
    let mut tx = database.begin().await?;
    let row = sql("select case when is_ours then since_xid else 0 end, (extract(epoch from since_time) * 1000)::bigint, \
                     (extract(epoch from upto_hour) * 1000)::bigint, \
                     case when is_ours then upto_xid else 0 end, (extract(epoch from upto_time) * 1000)::bigint \
                   from (select *, xmin::text::bigint = mod(written_by, 4294967296) as is_ours \
                         from noetl_metrics.forward_target where target = $1) t")
    .bind(target)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let since = Place { xid: row.try_get(0)?, at: Millis(row.try_get(1)?) };
    let upto: Option<i64> = row.try_get(2)?;
    let upto = match upto {
        Some(hour) => Some((Millis(hour), Place { xid: row.try_get(3)?, at: Millis(row.try_get(4)?) })),
        None => None,
    };
    Ok(Some(KeptPlace { since, upto }))
}

/// Notes how far a target is; fails where another server is active.
pub async fn keep_place(database: &Database, target: &str, kept: &KeptPlace) -> Result<(), StoreError> {
    let KeptPlace { since, upto } = kept;
    let mut tx = database.begin_write().await?;
    sql("insert into noetl_metrics.forward_target (target, since_xid, since_time, upto_hour, upto_xid, upto_time, written_by) \
         values ($1, $2, $3, $4, $5, $6, pg_current_xact_id()::text::bigint) \
         on conflict (target) do update set since_xid = excluded.since_xid, since_time = excluded.since_time, \
           upto_hour = excluded.upto_hour, upto_xid = excluded.upto_xid, upto_time = excluded.upto_time, \
           written_by = excluded.written_by")
        .bind(target)
        .bind(since.xid)
        .bind(Timestamp(since.at))
        .bind(upto.map(|(hour, _)| Timestamp(hour)))
        .bind(upto.map(|(_, place)| place.xid))
        .bind(upto.map(|(_, place)| Timestamp(place.at)))
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

/// Which hours have something that was stored since a place.
pub async fn hours_with_news(database: &Database, since: Place, kind: Kind) -> Result<Look, StoreError> {
    let mut tx = database.begin_snapshot().await?;
    let row = sql(LOOK).fetch_one(&mut *tx).await?;
    let (lowest, next, at) = (row.try_get(0)?, row.try_get(1)?, Millis(row.try_get(2)?));
    let mut text = "select distinct (extract(epoch from date_bin('1 hour', \"timestamp\", 'epoch')) * 1000)::bigint from ( \
                      select hour as \"timestamp\" from noetl_metrics.sealed_hour s \
                      where noetl_metrics.is_since(s.xmin, $1) and (late_at >= $3 or ($4 and hour >= $2)) \
                      union all \
                      select \"timestamp\" from noetl_metrics.sample_late l \
                      where created_at >= $3 and noetl_metrics.is_since(l.xmin, $1)"
        .to_owned();
    if kind == Kind::All {
        for table in ["block", "sample"] {
            text.push_str(" union all select \"timestamp\" from noetl_metrics.");
            text.push_str(table);
            text.push_str(" u where \"timestamp\" >= $2 and noetl_metrics.is_since(u.xmin, $1)");
        }
    }
    text.push_str(") n order by 1");
    let rows = sql_made(text)
        .bind(since.xid)
        .bind(Timestamp(open_then(since)))
        .bind(Timestamp(begun_by(since)))
        .bind(kind == Kind::All)
        .fetch_all(&mut *tx)
        .await?;
    let hours = rows.iter().map(|row| Ok(Millis(row.try_get(0)?))).collect::<Result<_, StoreError>>()?;
    Ok(Look { lowest, next, at, hours })
}

/// What an hour has that was stored since a place, series by series, and perhaps more: of an hour that
/// was sealed since, or into which late samples were brought, all. A transaction is open as long as it
/// is there.
#[derive(Debug)]
pub struct News(Transaction);

impl News {
    /// Begins to read.
    pub async fn open(
        database: &Database,
        hour: Millis,
        since: Place,
        kind: Kind,
    ) -> Result<Self, StoreError> {
        let mut tx = database.begin_snapshot().await?;
        sqlx::raw_sql("set local jit = off; set local cursor_tuple_fraction = 1").execute(&mut *tx).await?;
        sql_made(format!("declare news no scroll cursor for {}", of_hour(hour, since, kind)))
            .execute(&mut *tx)
            .await?;
        Ok(Self(tx))
    }

    /// The next series; none at the end.
    pub async fn next(&mut self) -> Result<Vec<Past>, StoreError> {
        let rows = sql("fetch 32 from news").fetch_all(&mut *self.0).await?;
        rows.iter().map(|row| Ok(Past::from_row(row)?)).collect()
    }
}

/// The query for it. A cursor takes no values.
fn of_hour(hour: Millis, since: Place, kind: Kind) -> String {
    let (from, to, xid) = (hour.rfc3339(), hour.plus(HOUR_MS).rfc3339(), since.xid);
    let (open, begun) = (open_then(since).rfc3339(), begun_by(since).rfc3339());
    let of_hour = format!("\"timestamp\" >= '{from}' and \"timestamp\" < '{to}'");
    let all = kind == Kind::All;
    let unsealed = |table: &str, columns: &str| {
        format!(
            "select {columns} from noetl_metrics.{table} u \
             where {of_hour} and (noetl_metrics.is_since(u.xmin, {xid}) or (select yes from whole))"
        )
    };
    let appended = match kind {
        Kind::Late => String::new(),
        Kind::All => format!(
            "{} union all \
             select noetl_metrics.block_series(b.series_ids, b.least_id, e.place), b.\"timestamp\", e.value from ({}) b \
             cross join lateral unnest(b.\"values\") with ordinality e(value, place) union all ",
            unsealed("sample", "series_id, \"timestamp\", value"),
            unsealed("block", "\"timestamp\", series_ids, least_id, \"values\""),
        ),
    };
    format!(
        "with whole as materialized (select exists (select from noetl_metrics.sealed_hour s \
           where s.hour = '{from}' and noetl_metrics.is_since(s.xmin, {xid}) \
             and (late_at >= '{begun}' or ({all} and hour >= '{open}'))) as yes), \
         late as materialized (select series_id, \"timestamp\", value, \
             (created_at >= '{begun}' and noetl_metrics.is_since(l.xmin, {xid})) or (select yes from whole) as is_new \
           from noetl_metrics.sample_late l where {of_hour}), \
         stored as ({appended} \
           select series_id, \"timestamp\", value from noetl_metrics.sealed \
           where hour = '{from}' and (select yes from whole)), \
         samples as (select series_id, \"timestamp\", value from late where is_new union all \
           select * from stored s where not exists \
             (select from late l where l.series_id = s.series_id and l.\"timestamp\" = s.\"timestamp\")) \
         {BY_SERIES}"
    )
}

/// The first hour to which a sample could be appended that was stored since a place.
fn open_then(since: Place) -> Millis {
    since.at.plus(-OPEN_MS).floor(HOUR_MS)
}

/// When a transaction began at the earliest that stored since a place.
fn begun_by(since: Place) -> Millis {
    since.at.plus(-BEGUN_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_that_were_brought_up_are_read_from_the_later_place() {
        let place = |xid| Place { xid, at: Millis(xid) };
        let kept = KeptPlace { since: place(1), upto: Some((Millis(2 * HOUR_MS), place(9))) };
        assert_eq!([0, 1, 2, 3].map(|hour| kept.of_hour(Millis(hour * HOUR_MS)).xid), [9, 9, 1, 1]);
        assert_eq!(KeptPlace { upto: None, ..kept }.of_hour(Millis(0)), place(1));
    }

    #[test]
    fn an_hour_that_was_open_is_looked_into() {
        let since = |ms| open_then(Place { xid: 1, at: Millis(ms) }).0;
        assert_eq!(since(HOUR_MS + OPEN_MS - 1), 0);
        assert_eq!(since(HOUR_MS + OPEN_MS), HOUR_MS);
    }
}
