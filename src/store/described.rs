//! What is known of series beside their samples.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::value::RawValue;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::db::{StoreError, Transaction, sql_made};

/// What all samples of a series share.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Described {
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
    /// Labels as they were reported first.
    pub labels: Option<Box<RawValue>>,
    /// Help text.
    pub help_text: Option<String>,
    /// Unit.
    pub unit: Option<String>,
    /// All of this as the members of a JSON object, made once for all samples.
    #[serde(skip)]
    pub members: String,
}

/// Series by their ids.
pub(super) type Known = HashMap<i32, Arc<Described>>;

/// What [`read`] wants of a row, of the tables [`TABLES`].
pub(super) const COLUMNS: &str = "s.series_id, s.runtime_id, s.component_name, s.component_type, s.metric_name, n.metric_type, \
     s.labels::text as labels, s.help_text, s.unit::text as unit";

/// Where series are.
pub(super) const TABLES: &str = "noetl_metrics.series s join noetl_metrics.metric_name n using (metric_name)";

/// Reads what is known of these series.
pub(super) async fn describe(tx: &mut Transaction, ids: Vec<i32>) -> Result<Known, StoreError> {
    let text = format!("select {COLUMNS} from {TABLES} where s.series_id = any($1)");
    sql_made(text).bind(ids).fetch_all(&mut **tx).await?.iter().map(read).collect()
}

/// JSON as it is written elsewhere: without blanks.
pub(super) fn compact(text: &str) -> Option<Box<RawValue>> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    serde_json::value::to_raw_value(&value).ok()
}

/// Reads a row of [`COLUMNS`].
pub(super) fn read(row: &PgRow) -> Result<(i32, Arc<Described>), StoreError> {
    let labels = row.try_get::<Option<&str>, _>("labels")?.and_then(compact);
    let mut described = Described {
        runtime_id: row.try_get("runtime_id")?,
        component_name: row.try_get("component_name")?,
        component_type: row.try_get("component_type")?,
        metric_name: row.try_get("metric_name")?,
        metric_type: row.try_get("metric_type")?,
        labels,
        help_text: row.try_get("help_text")?,
        unit: row.try_get("unit")?,
        members: String::new(),
    };
    let mut object = serde_json::to_string(&described).unwrap_or_default();
    object.pop();
    described.members = object.split_off(object.len().min(1));
    Ok((row.try_get("series_id")?, Arc::new(described)))
}
