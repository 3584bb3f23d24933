//! `--auth-token-file`: who may read, write and administer.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use serde_json::json;

use crate::harness::{Contract, SOON, eventually, gauge};

const WRITES: &[(&str, &str)] = &[
    ("POST", "/api/metrics/report"),
    ("POST", "/api/metrics/self-report"),
    ("POST", "/api/worker/pool/register"),
    ("POST", "/api/worker/pool/heartbeat"),
    ("POST", "/heartbeat"),
    ("POST", "/api/worker/pool/deregister"),
    ("DELETE", "/api/worker/pool/deregister"),
];

const ADMINISTERS: &[(&str, &str)] = &[
    ("POST", "/api/metrics/cleanup"),
    ("POST", "/api/metrics/partitions/create"),
    ("POST", "/api/metrics/ttl/set?metric_name=m"),
    ("POST", "/api/metrics/ttl/extend-component?component_name=w"),
];

const READS: &[(&str, &str)] = &[
    ("GET", "/api/metrics/query"),
    ("GET", "/api/metrics/exemplars"),
    ("GET", "/api/metrics/prometheus"),
    ("HEAD", "/api/metrics/prometheus"),
    ("GET", "/api/metrics/components"),
    ("GET", "/api/worker/pools"),
    ("GET", "/metrics"),
    ("GET", "/"),
    ("GET", "/components"),
    ("GET", "/metrics-explorer"),
    ("GET", "/status"),
];

const OPEN: &[(&str, &str)] = &[
    ("GET", "/livez"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/openapi.json"),
    ("GET", "/problems/unauthenticated"),
];

const REGISTER: (&str, &str) = ("POST", "/api/worker/pool/register");

struct TokenFile {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl TokenFile {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        std::fs::write(&path, text).unwrap();
        Self { _dir: dir, path }
    }

    async fn server(&self) -> Contract {
        Contract::with(&["--auth-token-file", self.path.to_str().unwrap()]).await
    }

    async fn server_that_asks_readers(&self) -> Contract {
        let path = self.path.to_str().unwrap();
        Contract::with(&["--auth-read", "required", "--auth-token-file", path]).await
    }
}

async fn send(
    contract: &Contract,
    method: &str,
    path: &str,
    authorization: Option<&str>,
) -> crate::harness::Answer {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(authorization.map(|a| ("authorization", a)));
    let body = json!({"name": "w", "component_name": "w", "metrics": [gauge("m", 1.0)]}).to_string();
    contract.send(method.parse::<Method>().unwrap(), path, &headers, body.into_bytes()).await
}

#[tokio::test]
async fn writing_needs_a_token_and_reading_does_not() {
    let file = TokenFile::new("# tokens\n\nfirst-token\n  second-token  \n");
    let contract = file.server().await;
    for (method, path) in WRITES {
        for wrong in [
            None,
            Some("first-token"),
            Some("Basic first-token"),
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer first-toke"),
            Some("Bearer first-token2"),
            Some("Bearer # tokens"),
        ] {
            let answer = send(&contract, method, path, wrong).await;
            answer.problem(401, "unauthenticated");
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{method} {path}");
        }
    }
    // Its body is no JSON, which whoever may write learns.
    let write = async |token| send(&contract, "POST", "/api/v1/write", token).await;
    write(None).await.problem(401, "unauthenticated");
    write(Some("Bearer first-token")).await.problem(415, "unsupported-media-type");
    assert_eq!(contract.value::<i64>("select count(*) from noetl.runtime where name = 'w'").await, 0);
    for (method, path) in READS.iter().chain(OPEN) {
        send(&contract, method, path, None).await.expect(200);
    }
    for (method, path) in [REGISTER].iter().chain(WRITES) {
        for right in ["Bearer first-token", "bearer second-token", "Bearer  first-token"] {
            let answer = send(&contract, method, path, Some(right)).await;
            assert!(matches!(answer.status, 200), "{method} {path}: {} {}", answer.status, answer.text());
        }
    }
    // A token alone decides nothing of what is kept.
    for (method, path) in ADMINISTERS {
        send(&contract, method, path, None).await.problem(401, "unauthenticated");
        send(&contract, method, path, Some("Bearer first-token")).await.problem(403, "forbidden");
    }
    // Who asks for what is not there, or may not be, learns that first.
    send(&contract, "GET", "/api/metrics/report", None).await.problem(405, "method-not-allowed");
    send(&contract, "POST", "/nothing", None).await.problem(404, "not-found");
}

#[tokio::test]
async fn each_right_lets_what_it_names_and_no_more() {
    let file = TokenFile::new("r rights=read\nw rights=write\na rights=admin\nall rights=read,write,admin\n");
    let contract = file.server_that_asks_readers().await;
    let bearer = async |token, (method, path): &(&str, &str)| {
        send(&contract, method, path, Some(&format!("Bearer {token}"))).await.status
    };
    for route in [REGISTER, WRITES[0]] {
        assert_eq!(bearer("all", &route).await, 200);
    }
    for (right, routes) in [("r", READS), ("w", WRITES), ("a", ADMINISTERS)] {
        for route in routes {
            assert_eq!(send(&contract, route.0, route.1, None).await.status, 401, "{route:?}");
            assert_eq!(bearer("unknown", route).await, 401, "{route:?}");
            for token in ["r", "w", "a"] {
                let status = bearer(token, route).await;
                assert_eq!(status, if token == right { 200 } else { 403 }, "{route:?} by {token}");
            }
        }
    }
    for (method, path) in OPEN {
        send(&contract, method, path, None).await.expect(200);
    }
    // A browser is asked for a password, and sends it; not where something is changed.
    let basic = |both: &str| format!("Basic {}", BASE64_STANDARD.encode(both));
    for (method, path) in READS {
        let status = async |both| send(&contract, method, path, Some(&basic(both))).await.status;
        assert_eq!((status("me:r").await, status("me:unknown").await), (200, 401), "{method} {path}");
    }
    for (method, path) in WRITES.iter().chain(ADMINISTERS) {
        for both in ["me:w", "me:a", "me:all"] {
            send(&contract, method, path, Some(&basic(both))).await.problem(401, "unauthenticated");
        }
    }
    for sent in [None, Some(&*basic("me:unknown"))] {
        let answer = send(&contract, "GET", "/", sent).await;
        answer.problem(401, "unauthenticated");
        assert!(answer.header("www-authenticate").starts_with("Basic realm="));
    }
    assert!(!contract.server.logged(&["unknown"]), "a token is in the log");
}

#[tokio::test]
async fn tokens_are_read_again_when_the_file_changes() {
    let file = TokenFile::new("old\n");
    let contract = file.server().await;
    let register = async |token: &str| {
        send(&contract, "POST", "/api/worker/pool/register", Some(&format!("Bearer {token}"))).await.status
    };
    assert_eq!((register("old").await, register("new").await), (200, 401));
    // As an operator rotates: both, then the new one alone, by a rename.
    let replace = |text: &str| {
        let next = file.path.with_extension("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, &file.path).unwrap();
    };
    replace("old\nnew\n");
    eventually("the new token is taken", SOON, async || (register("new").await == 200).then_some(())).await;
    assert_eq!(register("old").await, 200);
    replace("new\n");
    eventually("the old token is refused", SOON, async || (register("old").await == 401).then_some(())).await;
    assert_eq!(register("new").await, 200);
    // A file that can't be used leaves the last good tokens in force.
    replace("# none\n");
    eventually("that is said in the log", SOON, async || {
        assert_eq!(register("new").await, 200);
        tokio::time::sleep(Duration::from_millis(100)).await;
        contract.server.logged(&["tokens could not be read again", "holds no token"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_without_readable_tokens_does_not_start() {
    let bad = [
        (Some("\n# nothing\n"), "holds no token"),
        (Some("fine\nsecret rights=root\n"), "line 2: rights: one of them is not read, write or admin"),
        (None, "No such file"),
    ];
    for (text, reason) in bad {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_noetl-metrics"))
            .args([
                "server",
                "--listen",
                "127.0.0.1:0",
                "--database-url",
                "postgres://127.0.0.1:1/x",
                "--auth-token-file",
            ])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(
            !run.status.success() && said.contains(reason) && said.contains("--auth-token-file"),
            "{said}"
        );
    }
}
