//! Stored samples, newest first, by filters; or aggregated in steps of time.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::value::RawValue;
use sqlx::Row as _;

use super::db::{Database, StoreError, Transaction, sql};
use super::pages::Pages;
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

/// Text that all rows of a series share.
type Text = Arc<str>;

/// A stored sample with what is known of its series.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Row {
    /// Id of the sample, a 64-bit number; null for an aggregated value.
    pub metric_id: Option<i64>,
    /// Id of the component; null where its row is gone.
    pub runtime_id: Option<i64>,
    /// Name of the component.
    #[serde(serialize_with = "shared")]
    #[schema(value_type = String)]
    pub component_name: Text,
    /// Kind of the component.
    #[serde(serialize_with = "shared")]
    #[schema(value_type = String)]
    pub component_type: Text,
    /// Metric name.
    #[serde(serialize_with = "shared")]
    #[schema(value_type = String)]
    pub metric_name: Text,
    /// gauge, counter, histogram or summary.
    #[serde(serialize_with = "shared")]
    #[schema(value_type = String)]
    pub metric_type: Text,
    /// The value; NaN, +Inf and -Inf are strings.
    #[serde(serialize_with = "number")]
    #[schema(schema_with = crate::wire::value::schema)]
    pub metric_value: f64,
    /// Labels as they were reported first.
    #[serde(serialize_with = "shared_option")]
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    pub labels: Option<Arc<RawValue>>,
    /// Help text.
    #[serde(serialize_with = "shared_option")]
    #[schema(value_type = Option<String>)]
    pub help_text: Option<Text>,
    /// Unit.
    #[serde(serialize_with = "shared_option")]
    #[schema(value_type = Option<String>)]
    pub unit: Option<Text>,
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

fn shared<S: serde::Serializer, T: serde::Serialize + ?Sized>(
    value: &Arc<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&**value, serializer)
}

#[expect(clippy::ref_option, reason = "the form that serde asks for")]
fn shared_option<S: serde::Serializer, T: serde::Serialize + ?Sized>(
    value: &Option<Arc<T>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&value.as_deref(), serializer)
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
            None => self.pages(ids.as_ref()).run(&mut tx).await?,
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

    /// What to look for page by page.
    fn pages<'a>(&self, ids: Option<&'a Ids>) -> Pages<'a> {
        let start = self.start.unwrap_or(Millis(0));
        Pages { ids, start, end: self.end.unwrap_or(Millis::MAX), limit: self.limit, after: self.after }
    }

    fn steps<'a>(&self, ids: Option<&'a Ids>, step: i64, aggregate: Aggregate) -> Steps<'a> {
        let end = self.end.unwrap_or_else(Millis::now);
        let start = self.start.unwrap_or_else(|| end.plus(-HOUR_MS));
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
        // As it is written elsewhere: without blanks.
        let labels = row.try_get::<Option<&str>, _>("labels")?.and_then(|text| {
            let value: serde_json::Value = serde_json::from_str(text).ok()?;
            serde_json::value::to_raw_value(&value).ok().map(Arc::from)
        });
        let text = |column: &str| Ok::<Text, StoreError>(row.try_get::<&str, _>(column)?.into());
        let known =
            |column: &str| Ok::<_, StoreError>(row.try_get::<Option<&str>, _>(column)?.map(Text::from));
        let described = Row {
            metric_id: None,
            runtime_id: row.try_get("runtime_id")?,
            component_name: text("component_name")?,
            component_type: text("component_type")?,
            metric_name: text("metric_name")?,
            metric_type: text("metric_type")?,
            metric_value: 0.0,
            labels,
            help_text: known("help_text")?,
            unit: known("unit")?,
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
            row.created_at = if f.created == f.at { row.timestamp.clone() } else { f.created.rfc3339() };
            row.place = Page { at: f.at, series: f.series };
            Some(row)
        })
        .collect())
}
