//! Rows of `noetl.runtime` and of the table that stands beside NoETL's own.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::model::Millis;
use crate::store::db::{StoreError, Transaction, sql_made};

/// A component's registration, as its endpoint takes it.
#[derive(Clone, Debug, Default)]
pub struct Registration {
    /// Name; unique within a kind.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// Where the component can be reached, if it says so.
    pub uri: Option<String>,
    /// Its own word for its state: `ready`, `busy`.
    pub status: String,
    /// Labels, an object or a list.
    pub labels: Option<serde_json::Value>,
    /// Capabilities, as it says them.
    pub capabilities: Option<serde_json::Value>,
    /// How much it can do at once.
    pub capacity: Option<i32>,
    /// What it says of its process.
    pub runtime: Option<serde_json::Value>,
}

/// A row of `noetl.runtime`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct RuntimeRow {
    /// Id of the component, a 64-bit number.
    pub runtime_id: i64,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// Where it can be reached.
    pub uri: Option<String>,
    /// Its state: its own word, or `offline`.
    pub status: String,
    /// Labels.
    #[schema(value_type = serde_json::Value)]
    pub labels: Option<serde_json::Value>,
    /// Capabilities.
    #[schema(value_type = serde_json::Value)]
    pub capabilities: Option<serde_json::Value>,
    /// How much it can do at once.
    pub capacity: Option<i32>,
    /// What it says of its process.
    #[schema(value_type = serde_json::Value)]
    pub runtime: Option<serde_json::Value>,
    /// Last heartbeat, RFC 3339.
    pub heartbeat: String,
    /// When it registered first, RFC 3339.
    pub created_at: String,
    /// When it registered last, RFC 3339.
    pub updated_at: String,
}

/// What [`runtime_row`] reads.
pub(super) const COLUMNS: &str = "runtime_id, name, kind, uri, status, labels::text as labels, \
    capabilities::text as capabilities, capacity, runtime::text as runtime, \
    floor(extract(epoch from heartbeat) * 1000)::bigint as heartbeat, \
    floor(extract(epoch from created_at) * 1000)::bigint as created_at, \
    floor(extract(epoch from updated_at) * 1000)::bigint as updated_at";

/// The row of a component that NoETL registered itself.
pub(super) async fn of_noetl(tx: &mut Transaction, r: &Registration) -> Result<Option<PgRow>, StoreError> {
    let text = format!(
        "select {COLUMNS} from noetl_metrics.registered() x where name = $1 and kind = $2 \
         and not exists (select from noetl_metrics.runtime o where o.runtime_id = x.runtime_id)"
    );
    Ok(sql_made(text).bind(&r.name).bind(&r.kind).fetch_optional(&mut **tx).await?)
}

/// Makes or changes the row of a component.
pub(super) async fn upsert(tx: &mut Transaction, table: &str, r: &Registration) -> Result<PgRow, StoreError> {
    let text = format!(
        "insert into {table} (runtime_id, name, kind, uri, status, labels, capabilities, capacity, runtime) \
         values (noetl_metrics.next_runtime_id(), $1, $2, $3, $4, $5::jsonb, $6::jsonb, $7, $8::jsonb) \
         on conflict (kind, name) do update set uri = excluded.uri, status = excluded.status, \
           labels = excluded.labels, capabilities = excluded.capabilities, capacity = excluded.capacity, \
           runtime = excluded.runtime, heartbeat = now(), updated_at = now() \
         returning {COLUMNS}"
    );
    let json = |value: &Option<serde_json::Value>| value.as_ref().map(ToString::to_string);
    Ok(sql_made(text)
        .bind(&r.name)
        .bind(&r.kind)
        .bind(&r.uri)
        .bind(&r.status)
        .bind(json(&r.labels))
        .bind(json(&r.capabilities))
        .bind(r.capacity)
        .bind(json(&r.runtime))
        .fetch_one(&mut **tx)
        .await?)
}

/// What a row says.
pub(super) fn runtime_row(row: &PgRow) -> Result<RuntimeRow, StoreError> {
    let json = |column: &str| -> Result<Option<serde_json::Value>, StoreError> {
        let text: Option<String> = row.try_get(column)?;
        Ok(text.and_then(|t| serde_json::from_str(&t).ok()))
    };
    let time = |column: &str| -> Result<String, StoreError> { Ok(Millis(row.try_get(column)?).rfc3339()) };
    Ok(RuntimeRow {
        runtime_id: row.try_get("runtime_id")?,
        name: row.try_get("name")?,
        kind: row.try_get("kind")?,
        uri: row.try_get("uri")?,
        status: row.try_get("status")?,
        labels: json("labels")?,
        capabilities: json("capabilities")?,
        capacity: row.try_get("capacity")?,
        runtime: json("runtime")?,
        heartbeat: time("heartbeat")?,
        created_at: time("created_at")?,
        updated_at: time("updated_at")?,
    })
}
