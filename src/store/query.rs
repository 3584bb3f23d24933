//! Stored samples, newest first, by filters; or aggregated in steps of time.

use std::sync::Arc;

use sqlx::Row as _;

use super::db::{Database, StoreError, Transaction, sql, sql_made};
use super::described::{self, Described, Known, describe};
use super::pages::Pages;
use super::sealed::Ids;
use super::steps::Steps;
use crate::model::{MetricType, Millis, SeriesId};

/// So many series at most are described when they are looked for; of more, those that the page has.
const FEW: usize = 1000;

/// Which series the filters let pass, of the tables [`described::TABLES`].
pub(super) const FILTERS: &str = "($1::bigint is null or s.runtime_id = $1) and ($2::text is null or s.component_name = $2) \
     and ($3::text is null or s.metric_name = $3) and ($4::text is null or n.metric_type = $4) \
     and ($5::text is null or s.labels @> $5::jsonb)";

/// What to look for. A filter that is `None` lets everything pass.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Id of the component.
    pub runtime_id: Option<i64>,
    /// Name of the component.
    pub component_name: Option<String>,
    /// Metric name.
    pub metric_name: Option<String>,
    /// Metric type.
    pub metric_type: Option<MetricType>,
    /// Labels that the series has.
    pub labels: Vec<(String, String)>,
    /// First time, inclusive.
    pub start: Option<Millis>,
    /// Last time, inclusive.
    pub end: Option<Millis>,
    /// Rows of one page.
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<Page>,
    /// Aggregate in steps of this many milliseconds.
    pub step: Option<(i64, Aggregate)>,
}

/// How the samples of one step become one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// Mean.
    Avg,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Sum.
    Sum,
    /// Number of samples.
    Count,
    /// Newest.
    Last,
    /// Increase of a counter per second; a fall is a restart at zero.
    Rate,
}

/// The end of a page: rows after it are older, or as old and of a smaller series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Time of the last row.
    pub at: Millis,
    /// Series of the last row.
    pub series: i32,
}

/// A stored sample with what is known of its series.
#[derive(Clone, Debug)]
pub struct Row {
    /// Id of the sample, a 64-bit number; nothing for an aggregated value.
    pub metric_id: Option<i64>,
    /// Its series.
    pub series: Arc<Described>,
    /// The value.
    pub value: f64,
    /// Time of the sample, or start of the step.
    pub at: Millis,
    /// When it was stored: for a sample in time the same as `at`.
    pub created: Millis,
    /// Where the row stands, for the next page.
    pub place: Page,
}

/// A sample as it is stored.
pub(super) struct Found {
    pub(super) series: i32,
    pub(super) at: Millis,
    pub(super) value: f64,
    pub(super) created: Millis,
}

impl Query {
    /// Runs the query.
    pub async fn run(&self, database: &Database) -> Result<Vec<Row>, StoreError> {
        let turn = database.query_turn().await?;
        let mut tx = database.begin_query().await?;
        let found = self.found(&mut tx).await;
        // Nothing was written, so nobody waits for its end.
        tokio::spawn(async move {
            let _ = tx.rollback().await;
            drop(turn);
        });
        found
    }

    async fn found(&self, tx: &mut Transaction) -> Result<Vec<Row>, StoreError> {
        let (ids, known) = self.series(tx).await?;
        if ids.as_ref().is_some_and(|ids| ids.all().is_empty()) {
            return Ok(Vec::new());
        }
        let found = match self.step {
            None => self.pages(ids.as_ref()).run(tx).await?,
            Some((step, aggregate)) => self.steps(ids.as_ref(), step, aggregate).run(tx).await?,
        };
        let known = if let Some(known) = known {
            known
        } else {
            let mut ids: Vec<i32> = found.iter().map(|f| f.series).collect();
            ids.sort_unstable();
            ids.dedup();
            describe(tx, ids).await?
        };
        Ok(found.iter().filter_map(|found| self.row(found, &known)).collect())
    }

    fn row(&self, found: &Found, known: &Known) -> Option<Row> {
        let Found { series, at, value, created } = *found;
        let metric_id = self.step.is_none().then(|| SeriesId(series).metric_id(at));
        let place = Page { at, series };
        Some(Row { metric_id, series: Arc::clone(known.get(&series)?), value, at, created, place })
    }

    fn filters_series(&self) -> bool {
        self.runtime_id.is_some()
            || self.component_name.is_some()
            || self.metric_name.is_some()
            || self.metric_type.is_some()
            || !self.labels.is_empty()
    }

    /// The series that the filters let pass, `None` where there is no filter; and what is known of them
    /// where they are [few](FEW).
    async fn series(&self, tx: &mut Transaction) -> Result<(Option<Ids>, Option<Known>), StoreError> {
        if !self.filters_series() {
            return Ok((None, None));
        }
        let few = self.filtered(tx, described::COLUMNS, &format!("limit {}", FEW + 1)).await?;
        if few.len() <= FEW {
            let known = few.iter().map(described::read).collect::<Result<Known, _>>()?;
            return Ok((Some(Ids::of(known.keys().copied().collect())), Some(known)));
        }
        let all = self.filtered(tx, "s.series_id", "").await?;
        let ids = all.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        Ok((Some(Ids::of(ids)), None))
    }

    async fn filtered(
        &self,
        tx: &mut Transaction,
        columns: &str,
        limit: &str,
    ) -> Result<Vec<sqlx::postgres::PgRow>, StoreError> {
        let text = format!("select {columns} from {} where {FILTERS} {limit}", described::TABLES);
        Ok(self.filtering(text).fetch_all(&mut **tx).await?)
    }

    /// A statement with what [`FILTERS`] want as its first parameters.
    pub(super) fn filtering(
        &self,
        text: String,
    ) -> sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments> {
        let labels: serde_json::Map<String, serde_json::Value> =
            self.labels.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
        let labels = (!labels.is_empty()).then(|| serde_json::Value::Object(labels).to_string());
        sql_made(text)
            .bind(self.runtime_id)
            // The id wins over the name.
            .bind(self.component_name.as_ref().filter(|_| self.runtime_id.is_none()))
            .bind(&self.metric_name)
            .bind(self.metric_type.map(MetricType::as_str))
            .bind(labels)
    }

    /// What to look for page by page.
    fn pages<'a>(&self, ids: Option<&'a Ids>) -> Pages<'a> {
        let start = self.start.unwrap_or(Millis(0));
        Pages { ids, start, end: self.end.unwrap_or(Millis::MAX), limit: self.limit, after: self.after }
    }

    fn steps<'a>(&self, ids: Option<&'a Ids>, step: i64, aggregate: Aggregate) -> Steps<'a> {
        let end = self.end.unwrap_or_else(Millis::now);
        let start = self.start.unwrap_or(Millis(0));
        Steps { ids, start, end, step, aggregate, limit: self.limit, after: self.after }
    }
}

/// How many series these are, one at least; of all, how many there may be.
pub(super) async fn series_count(tx: &mut Transaction, ids: Option<&Ids>) -> Result<i64, StoreError> {
    if let Some(ids) = ids {
        return Ok(i64::try_from(ids.all().len()).unwrap_or(i64::MAX).max(1));
    }
    let row = sql("select coalesce(max(series_id), 0)::bigint from noetl_metrics.series")
        .fetch_one(&mut **tx)
        .await?;
    Ok(row.try_get::<i64, _>(0)?.max(1))
}
