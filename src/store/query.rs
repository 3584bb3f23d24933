//! Stored samples, newest first, by filters; or aggregated in steps of time.

use std::collections::HashMap;

use sqlx::Row as _;

use super::db::{Database, StoreError, Transaction, sql, sql_made};
use super::sealed::{HOUR_MS, Ids};
use super::steps::Steps;
use crate::model::{MetricType, Millis, SeriesId};

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

/// Why a query can't be answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The database failed.
    #[error(transparent)]
    Store(StoreError),
    /// A sum or a difference is larger than a double can be.
    #[error("the result is no number that a double can hold: the values are too large or too small")]
    OutOfRange,
}

impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        if error.has_code("22003") { Self::OutOfRange } else { Self::Store(error) }
    }
}

impl From<sqlx::Error> for QueryError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

/// A stored sample with what is known of its series.
#[derive(Clone, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct Row {
    /// Id of the sample, a 64-bit number; null for an aggregated value.
    pub metric_id: Option<i64>,
    /// Id of the component; null where its row is gone.
    pub runtime_id: Option<i64>,
    /// Name of the component.
    pub component_name: String,
    /// Kind of the component.
    pub component_type: String,
    /// Metric name.
    pub metric_name: String,
    /// gauge, counter, histogram or summary.
    pub metric_type: String,
    /// The value; NaN, +Inf and -Inf are strings.
    #[serde(serialize_with = "number")]
    #[schema(schema_with = crate::wire::value::schema)]
    pub metric_value: f64,
    /// Labels as they were reported first.
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    pub labels: Option<serde_json::Value>,
    /// Help text.
    pub help_text: Option<String>,
    /// Unit.
    pub unit: Option<String>,
    /// Time of the sample, or start of the step; RFC 3339 with milliseconds.
    pub timestamp: String,
    /// When it was stored: for a sample in time the same as `timestamp`.
    pub created_at: String,
    /// Where the row stands, for the next page.
    #[serde(skip)]
    pub place: Page,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn number<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    crate::wire::value::serialize(*value, serializer)
}

impl Default for Page {
    fn default() -> Self {
        Self { at: Millis(0), series: 0 }
    }
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
    pub async fn run(&self, database: &Database) -> Result<Vec<Row>, QueryError> {
        let _turn = database.query_turn().await?;
        let mut tx = database.begin_query().await?;
        let ids = self.series(&mut tx).await?.map(Ids::of);
        if ids.as_ref().is_some_and(|ids| ids.all().is_empty()) {
            return Ok(Vec::new());
        }
        let found = match self.step {
            None => self.samples(&mut tx, ids.as_ref().map(Ids::all)).await?,
            Some((step, aggregate)) => self.steps(ids.as_ref(), step, aggregate).run(&mut tx).await?,
        };
        let rows = describe(&mut tx, found, self.step.is_some()).await?;
        tx.commit().await?;
        Ok(rows)
    }

    fn filters_series(&self) -> bool {
        self.runtime_id.is_some()
            || self.component_name.is_some()
            || self.metric_name.is_some()
            || self.metric_type.is_some()
            || !self.labels.is_empty()
    }

    /// The series that the filters let pass; `None` where there is no filter.
    async fn series(&self, tx: &mut Transaction) -> Result<Option<Vec<i32>>, StoreError> {
        if !self.filters_series() {
            return Ok(None);
        }
        let labels: serde_json::Map<String, serde_json::Value> =
            self.labels.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
        let labels = (!labels.is_empty()).then(|| serde_json::Value::Object(labels).to_string());
        let rows = sql("select s.series_id from noetl_metrics.series s join noetl_metrics.metric_name n using (metric_name) \
                        where ($1::bigint is null or s.runtime_id = $1) and ($2::text is null or s.component_name = $2) \
                          and ($3::text is null or s.metric_name = $3) and ($4::text is null or n.metric_type = $4) \
                          and ($5::text is null or s.labels @> $5::jsonb)")
            .bind(self.runtime_id)
            // The id wins over the name.
            .bind(self.component_name.as_ref().filter(|_| self.runtime_id.is_none()))
            .bind(&self.metric_name)
            .bind(self.metric_type.map(MetricType::as_str))
            .bind(labels)
            .fetch_all(&mut **tx)
            .await?;
        Ok(Some(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?))
    }

    /// One page of samples. The newest times are looked at first, then wider and wider.
    async fn samples(&self, tx: &mut Transaction, ids: Option<&[i32]>) -> Result<Vec<Found>, StoreError> {
        let start = self.start.unwrap_or(Millis(0));
        let mut end = self.end.unwrap_or(Millis::MAX);
        if let Some(page) = self.after {
            end = end.min(page.at);
        }
        let newest = Millis::now().plus(3_600_000);
        let mut to = end.min(newest);
        let mut found = Vec::new();
        if end > newest {
            found = self.window(tx, ids, newest.plus(1).max(start), end, self.limit).await?;
        }
        for minutes in [65, 6 * 60, 24 * 60, 7 * 24 * 60, i64::MAX / 60_000] {
            if found.len() >= self.limit || to < start {
                break;
            }
            let from = to.plus(-minutes * 60_000).max(start);
            let room = self.limit - found.len();
            found.extend(self.window(tx, ids, from, to, room).await?);
            to = from.plus(-1);
        }
        Ok(found)
    }

    async fn window(
        &self,
        tx: &mut Transaction,
        ids: Option<&[i32]>,
        from: Millis,
        to: Millis,
        limit: usize,
    ) -> Result<Vec<Found>, StoreError> {
        let after = self.after.map_or_else(String::new, |page| {
            format!(
                "where (v.\"timestamp\", v.series_id) < ('{}'::timestamptz, {})",
                page.at.rfc3339(),
                page.series
            )
        });
        let text = format!(
            "select v.series_id, floor(extract(epoch from v.\"timestamp\") * 1000)::bigint, v.value, \
                    floor(extract(epoch from v.created_at) * 1000)::bigint \
             from ({}) v {after} order by v.\"timestamp\" desc, v.series_id desc limit {limit}",
            all_samples(ids, from, to)
        );
        let rows = sql_made(text).bind(ids).fetch_all(&mut **tx).await?;
        rows.iter().map(found).collect()
    }

    fn steps<'a>(&self, ids: Option<&'a Ids>, step: i64, aggregate: Aggregate) -> Steps<'a> {
        let end = self.end.unwrap_or_else(Millis::now);
        let start = self.start.unwrap_or_else(|| end.plus(-HOUR_MS));
        Steps { ids, start, end, step, aggregate, limit: self.limit, after: self.after }
    }
}

/// SQL for all samples from a time to another of these series, which are parameter 1, or of all: those
/// that no late one overrides, and the late ones.
pub(super) fn all_samples(ids: Option<&[i32]>, from: Millis, to: Millis) -> String {
    // Times are written as literals so that partitions are pruned when the statement is planned.
    let time = format!("\"timestamp\" between '{}' and '{}'", from.rfc3339(), to.rfc3339());
    let hours = format!("hour between '{}' and '{}'", from.floor(HOUR_MS).rfc3339(), to.rfc3339());
    let only = if ids.is_some() { "series_id = any($1)" } else { "$1::integer[] is null" };
    // By these, blocks and chunks of other series are passed over.
    let bounds = ids.and_then(|ids| Some((ids.iter().min()?, ids.iter().max()?)));
    let (blocks, chunks) = bounds.map_or_else(Default::default, |(least, greatest)| {
        (
            format!("and least_id <= {greatest} and greatest_id >= {least}"),
            format!("and ids && int4range({least}, {greatest}, '[]')"),
        )
    });
    format!(
        "select h.series_id, h.\"timestamp\", h.value, h.\"timestamp\" as created_at from ( \
           select series_id, \"timestamp\", value from noetl_metrics.unsealed where {only} and {time} {blocks} \
           union all \
           select series_id, \"timestamp\", value from noetl_metrics.sealed where {only} and {time} and {hours} {chunks}) h \
         where not exists (select from noetl_metrics.sample_late l where l.series_id = h.series_id and l.\"timestamp\" = h.\"timestamp\") \
         union all \
         select series_id, \"timestamp\", value, created_at from noetl_metrics.sample_late where {only} and {time}"
    )
}

fn found(row: &sqlx::postgres::PgRow) -> Result<Found, StoreError> {
    Ok(Found {
        series: row.try_get(0)?,
        at: Millis(row.try_get(1)?),
        value: row.try_get(2)?,
        created: Millis(row.try_get(3)?),
    })
}

/// Adds what is known of the series.
async fn describe(tx: &mut Transaction, found: Vec<Found>, aggregated: bool) -> Result<Vec<Row>, StoreError> {
    let mut ids: Vec<i32> = found.iter().map(|f| f.series).collect();
    ids.sort_unstable();
    ids.dedup();
    let rows = sql("select s.series_id, s.runtime_id, s.component_name, s.component_type, s.metric_name, n.metric_type, \
                      s.labels::text as labels, s.help_text, s.unit::text as unit \
                    from noetl_metrics.series s join noetl_metrics.metric_name n using (metric_name) where s.series_id = any($1)")
        .bind(ids)
        .fetch_all(&mut **tx)
        .await?;
    let mut series = HashMap::with_capacity(rows.len());
    for row in rows {
        let labels: Option<&str> = row.try_get("labels")?;
        let described = Row {
            metric_id: None,
            runtime_id: row.try_get("runtime_id")?,
            component_name: row.try_get("component_name")?,
            component_type: row.try_get("component_type")?,
            metric_name: row.try_get("metric_name")?,
            metric_type: row.try_get("metric_type")?,
            metric_value: 0.0,
            labels: labels.and_then(|t| serde_json::from_str(t).ok()),
            help_text: row.try_get("help_text")?,
            unit: row.try_get("unit")?,
            timestamp: String::new(),
            created_at: String::new(),
            place: Page::default(),
        };
        series.insert(row.try_get::<i32, _>("series_id")?, described);
    }
    Ok(found
        .into_iter()
        .filter_map(|f| {
            let mut row = series.get(&f.series)?.clone();
            row.metric_id = (!aggregated).then(|| SeriesId(f.series).metric_id(f.at));
            row.metric_value = f.value;
            row.timestamp = f.at.rfc3339();
            row.created_at = f.created.rfc3339();
            row.place = Page { at: f.at, series: f.series };
            Some(row)
        })
        .collect())
}
