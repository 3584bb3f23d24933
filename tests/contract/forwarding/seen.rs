//! How far targets are, as the status page and `check` say it.

use serde_json::{Value, json};

use super::{flag, has_all, many};
use crate::check::{check, line};
use crate::harness::{Contract, SOON, Store, eventually, free_port, gauge};

/// What the status page has of a target.
async fn of(contract: &Contract, name: &str) -> Value {
    let status = contract.get("/status?format=json").await.ok();
    let found = status["forward"].as_array().unwrap().iter().find(|target| target["name"] == name).cloned();
    found.unwrap_or_else(|| panic!("{name} is not in {status}"))
}

#[tokio::test]
async fn the_page_and_check_say_who_is_away_and_show_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "hush-hush\n").unwrap();
    let store = Store::start().await;
    let away = format!("127.0.0.1:{}", free_port());
    let contract = Contract::with(&[
        &flag("there", &format!("{}?token=hush-hush", store.url())),
        &flag("away", &format!("http://{away}/hush-hush")),
        &format!("--forward-token-file=there={}", token.display()),
    ])
    .await;
    contract.register("w").await;
    contract.report("w", many("m", 20, 1.0)).await.ok();
    has_all(&contract, &store).await;
    let there = eventually("one has all", SOON, async || {
        let there = of(&contract, "there").await;
        let has_all = there["sent"].as_u64() >= Some(20) && there["lag_seconds"].as_u64() < Some(60);
        (has_all && there["reads_database"] == false && there["pending"] == 0).then_some(there)
    })
    .await;
    assert_eq!((&there["problem"], &there["dropped"]), (&Value::Null, &json!(0)), "{there}");
    assert_eq!(there["host"], store.address.to_string());
    let other = eventually("the other one is away", SOON, async || {
        let other = of(&contract, "away").await;
        other["problem"].is_string().then_some(other)
    })
    .await;
    assert_eq!((&other["host"], &other["sent"]), (&json!(away), &json!(0)), "{other}");

    let (_, steps) = check(&format!("http://{}", contract.server.address), &[]).await;
    let found = line(&steps, "forwarding");
    assert_eq!(found["status"], "warning", "{steps}");
    let detail = found["detail"].as_str().unwrap();
    assert!(
        detail.starts_with(&format!("away ({away}) does not take")) && !detail.contains("there"),
        "{detail}"
    );
    assert!(!found["hint"].as_str().unwrap().is_empty() && found["docs"].is_string(), "{found}");

    let forward = json!([there, other]).to_string();
    let page = contract.get("/status").await.expect(200).text().to_owned();
    assert!(page.contains("Stores that samples are sent on to") && page.contains(&away), "{page}");
    let own = page.split("id=\"forward\"").nth(1).unwrap().split("</section>").next().unwrap();
    for text in [forward.as_str(), own, detail] {
        assert!(!text.contains("hush-hush"), "{text}");
    }
    // The table of flags has URLs, without what is known as a secret.
    assert!(!page.contains("token=hush-hush"), "{page}");
}

#[tokio::test]
async fn what_a_target_refuses_is_shown_without_its_words() {
    let store = Store::start().await;
    store.answer(400, &[]);
    let contract = Contract::with(&[&flag("t", &store.url())]).await;
    contract.register("w").await;
    contract.report("w", json!([gauge("one", 2.0)])).await.ok();
    let target = eventually("it refuses some", SOON, async || {
        let target = of(&contract, "t").await;
        (target["dropped"].as_u64() > Some(0) && target["problem"].is_string()).then_some(target)
    })
    .await;
    assert_eq!(target["problem"], "it answered 400 Bad Request");
    let (_, steps) = check(&format!("http://{}", contract.server.address), &[]).await;
    let detail = line(&steps, "forwarding")["detail"].as_str().unwrap();
    assert!(detail.contains("for good since the server started") && !detail.contains("told so"), "{detail}");
}

#[tokio::test]
async fn without_a_target_nothing_is_said_of_any() {
    let contract = Contract::start().await;
    let (page, status) =
        (contract.get("/status").await.expect(200), contract.get("/status?format=json").await.ok());
    assert!(!page.text().contains("sent on to"), "{}", page.text());
    assert_eq!(status["forward"], json!([]));
    let (_, steps) = check(&format!("http://{}", contract.server.address), &[]).await;
    assert_eq!(line(&steps, "forwarding")["status"], "left-out", "{steps}");
}
