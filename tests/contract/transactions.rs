//! Connections of the store's pool: none is handed on with a transaction that somebody left open.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use noetl_metrics::store::{Database, DatabaseSource, StoreError};

use crate::harness::{Cluster, Database as OfTest, SOON, eventually};

/// A database with a table to write in, and a pool of one connection to it.
async fn one_connection() -> (OfTest, Database) {
    let database = Cluster::shared().database().await;
    sqlx::raw_sql("create table written (n int)").execute(&database.pool).await.unwrap();
    let store = Database::new(DatabaseSource::Url(database.url.clone()), 1).unwrap();
    store.ping().await.unwrap();
    (database, store)
}

/// Gives up after so many looks whether it is done; returns whether it was.
async fn looked_at<F: Future>(future: F, times: usize) -> bool {
    let mut future = pin!(future);
    let mut looks = 0;
    std::future::poll_fn(|context| {
        looks += 1;
        let done = future.as_mut().poll(context).is_ready();
        if done || looks == times { Poll::Ready(done) } else { Poll::Pending }
    })
    .await
}

async fn write(store: &Database, n: i32) -> Result<(), StoreError> {
    let mut connection = store.connection().await?;
    sqlx::query("insert into written values ($1)").bind(n).execute(&mut *connection).await?;
    Ok(())
}

async fn written(database: &OfTest) -> Vec<i32> {
    database.column("select n from written order by n").await
}

#[tokio::test]
async fn who_goes_while_a_transaction_begins_takes_it_along() {
    let (database, store) = one_connection().await;
    for n in 0..20 {
        let is_idle = async || (store.connections().1 == 1).then_some(());
        eventually("the connection is back", SOON, is_idle).await;
        // Looked at once, it has sent what a transaction begins with.
        let done = looked_at(store.begin(), 1 + n % 2).await;
        write(&store, 1).await.unwrap();
        assert_eq!(written(&database).await.len(), n + 1, "it was done: {done}");
    }
}

#[tokio::test]
async fn a_query_that_gets_no_lock_spoils_nothing_for_the_next() {
    let (database, store) = one_connection().await;
    let mut lock = database.pool.begin().await.unwrap();
    sqlx::raw_sql("lock table noetl_metrics.chunk in access exclusive mode")
        .execute(&mut *lock)
        .await
        .unwrap();
    let query = tokio::spawn({
        let store = store.clone();
        async move { store.begin_query().await.map(drop) }
    });
    let end = "select pg_cancel_backend(pid) from pg_stat_activity \
               where wait_event_type = 'Lock' and datname = current_database()";
    eventually("the query is ended", SOON, async || {
        database.column::<bool>(end).await.first().copied().filter(|ended| *ended)
    })
    .await;
    query.await.unwrap().unwrap_err();
    write(&store, 1).await.unwrap();
    assert_eq!(written(&database).await, [1]);
    lock.rollback().await.unwrap();
    store.begin_query().await.unwrap();
}

#[tokio::test]
async fn a_connection_whose_transaction_failed_is_replaced() {
    let (database, store) = one_connection().await;
    let mut connection = store.connection().await.unwrap();
    sqlx::raw_sql("begin").execute(&mut *connection).await.unwrap();
    sqlx::raw_sql("select 1 / 0").execute(&mut *connection).await.unwrap_err();
    drop(connection);
    // Only one that was idle for a while is looked at.
    tokio::time::sleep(Duration::from_secs(1)).await;
    write(&store, 1).await.unwrap();
    assert_eq!(written(&database).await, [1]);
}
