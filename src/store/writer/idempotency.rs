//! Replies that are kept with an `Idempotency-Key`, in the transaction of their samples.

use super::task::Failure;
use crate::store::db::{Database, StoreError, Transaction, sql};

/// The reply to keep with an Idempotency-Key, in the same transaction as the samples.
#[derive(Clone, Debug)]
pub struct IdempotentReply {
    /// The key, with the component it belongs to.
    pub key: String,
    /// The reply's JSON.
    pub reply: String,
}

/// Keeps a reply, unless another request with its key was committed meanwhile.
pub(super) async fn keep_reply(tx: &mut Transaction, reply: &IdempotentReply) -> Result<(), Failure> {
    let done = sql(
        "insert into noetl_metrics.idempotency (key, reply) values ($1, $2::jsonb) on conflict do nothing",
    )
    .bind(&reply.key)
    .bind(&reply.reply)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::from)?;
    if done.rows_affected() == 0 { Err(Failure::Repeated(reply.key.clone())) } else { Ok(()) }
}

/// The reply that was kept with a key, if any.
pub(crate) async fn kept_reply(database: &Database, key: &str) -> Result<Option<String>, StoreError> {
    let mut tx = database.begin().await?;
    let row = sql("select reply::text from noetl_metrics.idempotency where key = $1")
        .bind(key)
        .fetch_optional(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(row.map(|row| sqlx::Row::try_get(&row, 0)).transpose()?)
}
