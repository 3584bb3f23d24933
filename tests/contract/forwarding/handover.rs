//! One server dies, another one goes on sending where it was.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;

use super::{A_LOOK, flag};
use crate::durability::check_stored;
use crate::harness::{SOON, Store, eventually};
use crate::replicas::{LEASE, Pair};

/// The values that the target has of what clients report; each is another one.
fn taken(store: &Store) -> BTreeSet<u64> {
    let samples = store.samples();
    samples.iter().filter(|((labels, _), _)| labels["__name__"] == "load").map(|(_, v)| *v as u64).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_has_all_that_two_servers_took_though_the_active_one_was_killed() {
    let store = Store::start().await;
    let mut pair = Pair::with(&[flag("t", &store.url())]).await;
    let mut clients = pair.clients().await;
    for active in [0, 1] {
        let go_on = AtomicBool::new(true);
        let disturb = async {
            let before = store.count();
            eventually("the active one sends", A_LOOK, async || (store.count() > before).then_some(())).await;
            pair.servers[active].kill();
            pair.becomes_active(1 - active, LEASE + SOON).await;
            let before = store.count();
            eventually("the other one sends", A_LOOK, async || (store.count() > before).then_some(())).await;
            pair.start_again(active).await;
            go_on.store(false, Ordering::Relaxed);
        };
        tokio::join!(disturb, join_all(clients.iter_mut().map(|client| client.run(&go_on))));
        let round = format!("after server {active} was killed");
        check_stored(&pair.database, &clients, &round).await;
        let sql = "select metric_value from noetl.metrics where metric_name = 'load'";
        let stored: BTreeSet<u64> =
            pair.database.column::<f64>(sql).await.into_iter().map(|value| value as u64).collect();
        eventually("the target has all", A_LOOK, async || {
            (store.count() >= stored.len() && stored.is_subset(&taken(&store))).then_some(())
        })
        .await;
        assert_eq!(taken(&store), stored, "and nothing else {round}");
    }
}
