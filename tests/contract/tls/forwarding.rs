//! Samples are sent on by TLS to whom a target's own authority vouches for.

use std::time::Duration;

use serde_json::{Value, json};

use super::{HERE, Secure};
use crate::harness::{Authority, Contract, SecretFiles, eventually, gauge};

/// Pauses between tries grow up to half a minute.
const LONG: Duration = Duration::from_mins(2);

/// A target's address, and the authority that vouches for it.
fn target(name: &str, secure: &Secure, files: &SecretFiles) -> [String; 2] {
    [
        format!("--forward-url={name}=https://{}/api/v1/write", secure.address()),
        format!("--forward-ca-file={name}={}", files.path("ca.crt").display()),
    ]
}

async fn taken(secure: &Secure) -> i64 {
    secure.contract.value("select count(*) from noetl.metrics where metric_name = 'sent_on'").await
}

/// What the forwarding server says that is wrong with a target; nothing where nothing is.
async fn problem(contract: &Contract, name: &str) -> Value {
    let status = contract.get("/status?format=json").await.ok();
    let targets = status["forward"].as_array().unwrap();
    targets.iter().find(|target| target["name"] == name).unwrap()["problem"].clone()
}

#[tokio::test]
async fn a_target_is_verified_by_its_own_authority_as_its_file_holds_it_now() {
    let unknown = || vec!["--unknown-components".to_owned(), "register".to_owned()];
    let start = async || {
        let authority = Authority::new();
        let pair = authority.signs(&[HERE]);
        Secure::with(authority, &pair, &unknown()).await
    };
    let (one, two) = (start().await, start().await);
    let strangers = SecretFiles::new(&Authority::new(), &two.authority.signs(&[HERE]));
    let flags = [target("one", &one, &one.files), target("two", &two, &strangers)].concat();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let contract = Contract::with(&flags).await;
    contract.register("w").await;
    contract.report("w", json!([gauge("sent_on", 1.0)])).await.ok();
    eventually("whom its authority vouches for has it", LONG, async || {
        (taken(&one).await == 1).then_some(())
    })
    .await;
    eventually("the other one is named, with the reason", LONG, async || {
        let problem = problem(&contract, "two").await;
        problem.as_str()?.contains("certificate").then_some(())
    })
    .await;
    assert_eq!(problem(&contract, "one").await, Value::Null);
    assert_eq!(taken(&two).await, 0);
    strangers.put("ca.crt", &two.authority.pem());
    eventually("it has it once its authority is known", LONG, async || {
        (taken(&two).await == 1).then_some(())
    })
    .await;
    eventually("nothing is wrong any more", LONG, async || {
        problem(&contract, "two").await.is_null().then_some(())
    })
    .await;
}
