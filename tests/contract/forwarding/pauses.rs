//! When a target is asked again that could not take something.

use std::time::Duration;

use serde_json::json;

use super::{flag, has_all, number};
use crate::harness::{Contract, SOON, Store, eventually, gauge};

#[tokio::test]
async fn a_target_says_when_it_is_asked_again() {
    let store = Store::start().await;
    store.answer(429, &[("retry-after", "2")]);
    let contract = Contract::with(&[&flag("t", &store.url())]).await;
    contract.register("w").await;
    contract.report("w", json!([gauge("one", 2.0)])).await.ok();
    let requests = eventually("it is asked again", SOON, async || {
        Some(store.requests()).filter(|requests| requests.len() >= 3)
    })
    .await;
    for pair in requests.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= Duration::from_secs(2), "{requests:?}");
    }
    store.answer(200, &[]);
    has_all(&contract, &store).await;
}

/// What is read from the database waits for ten seconds only, and is read again then.
#[tokio::test]
async fn a_target_that_is_brought_up_says_so_too() {
    let asked = Duration::from_secs(12);
    let store = Store::start().await;
    let mut contract = Contract::with(&[&flag("t", &store.url())]).await;
    let id = contract.register("w").await;
    contract.report("w", json!([gauge("one", 1.0)])).await.ok();
    has_all(&contract, &store).await;
    contract.server.terminate();
    contract.server.ended(SOON).await;
    contract
        .run(format!(
            "insert into noetl.metrics (runtime_id, metric_name, metric_type, metric_value) \
             values ({id}, 'by_sql', 'gauge', 2)"
        ))
        .await;
    let before = store.requests().len();
    store.answer(429, &[("retry-after", "12")]);
    contract.start_again().await;
    let came = || store.requests().split_off(before);
    eventually("it is asked", SOON, async || (!came().is_empty()).then_some(())).await;
    eventually("it is brought up", SOON, async || {
        (number(&contract, "reading_database", "t").await? == 1.0).then_some(())
    })
    .await;
    store.answer(200, &[]);
    has_all(&contract, &store).await;
    let came = came();
    assert!(came.len() >= 2 && came[1].0 - came[0].0 >= asked, "{came:?}");
}
