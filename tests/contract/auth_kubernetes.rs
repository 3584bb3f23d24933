//! `--auth-kubernetes-audience`: pods write with tokens of their ServiceAccounts, verified with the
//! keys that the cluster publishes. The cluster here is the two documents that are asked of it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::Method;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::{Answer, Contract, SOON, eventually, gauge, now};

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// A key of the cluster.
struct Key {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl Key {
    fn new(id: &'static str) -> Self {
        let (signing, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(signing, &random).unwrap();
        Self { id, pair: EcdsaKeyPair::from_pkcs8(signing, document.as_ref(), &random).unwrap() }
    }

    fn published(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
               "x": base64url(&point[1..33]), "y": base64url(&point[33..])})
    }

    fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": self.id});
        let text = format!(
            "{}.{}",
            base64url(header.to_string().as_bytes()),
            base64url(claims.to_string().as_bytes())
        );
        let signature = self.pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", base64url(signature.as_ref()))
    }
}

fn base64url(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn claims(account: &str) -> Value {
    let now = now() / 1000;
    json!({"iss": ISSUER, "aud": ["noetl-metrics"], "sub": format!("system:serviceaccount:{account}"),
           "iat": now, "nbf": now, "exp": now + 600})
}

/// Publishes keys, to callers that send the server's own token.
struct Publisher {
    address: SocketAddr,
    keys: Arc<Mutex<Vec<Value>>>,
    _own: tempfile::TempDir,
    flags: Vec<String>,
}

impl Publisher {
    async fn start(keys: &[&Key]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let keys = Arc::new(Mutex::new(keys.iter().map(|k| k.published()).collect()));
        let published = Arc::clone(&keys);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 8192];
                let mut read = 0;
                while !head[..read].ends_with(b"\r\n\r\n") {
                    match stream.read(&mut head[read..]).await {
                        Ok(0) | Err(_) => break,
                        Ok(more) => read += more,
                    }
                }
                let head = String::from_utf8_lossy(&head[..read]).to_lowercase();
                let (status, body) = if !head.contains("authorization: bearer own-token\r\n") {
                    ("403 Forbidden", json!({}))
                } else if head.starts_with("get /openid/v1/jwks ") {
                    ("200 OK", json!({"keys": *published.lock().unwrap()}))
                } else {
                    ("200 OK", json!({"issuer": ISSUER}))
                };
                let body = body.to_string();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let own = tempfile::tempdir().unwrap();
        std::fs::write(own.path().join("token"), "own-token\n").unwrap();
        let flags =
            ["--auth-kubernetes-audience", "noetl-metrics", "--auth-service-accounts", "flows/*,noetl/agent"];
        let mut flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        flags.extend(["--service-account-dir".into(), own.path().to_string_lossy().into_owned()]);
        flags.extend(["--kubernetes-url".into(), format!("http://{address}")]);
        Self { address, keys, _own: own, flags }
    }

    async fn contract(&self) -> Contract {
        self.contract_with(&[]).await
    }

    async fn contract_with(&self, more: &[&str]) -> Contract {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Contract::with(&flags).await
    }
}

async fn write(contract: &Contract, token: &str) -> Answer {
    register(contract, token, "w").await
}

async fn register(contract: &Contract, token: &str, name: &str) -> Answer {
    let body = json!({"name": name, "component_type": "worker_pool"}).to_string().into_bytes();
    call(contract, Method::POST, "/api/worker/pool/register", token, body).await
}

async fn call(contract: &Contract, method: Method, path: &str, token: &str, body: Vec<u8>) -> Answer {
    let header = format!("Bearer {token}");
    let headers = [("authorization", header.as_str()), ("content-type", "application/json")];
    contract.send(method, path, &headers, body).await
}

async fn keys_are_there(contract: &Contract, token: &str) {
    eventually("the keys are there", SOON, async || {
        let answer = write(contract, token).await;
        (answer.status != 503).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_pod_writes_with_the_token_of_a_service_account_that_may() {
    let (key, stranger) = (Key::new("one"), Key::new("one"));
    let publisher = Publisher::start(&[&key]).await;
    let contract = publisher.contract().await;
    eventually("the keys are there", SOON, async || {
        let answer = write(&contract, &key.token(&claims("flows:any"))).await;
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
        (answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(write(&contract, &key.token(&claims("noetl:agent"))).await.status, 200);
    write(&contract, &key.token(&claims("noetl:other"))).await.problem(403, "forbidden");
    write(&contract, &key.token(&claims("else:agent"))).await.problem(403, "forbidden");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut all = claims("flows:any");
        change(&mut all);
        key.token(&all)
    };
    let valid = key.token(&claims("flows:any"));
    let (head, signature) = valid.rsplit_once('.').unwrap();
    let none =
        format!("{}.{}.", base64url(br#"{"alg":"none","kid":"one"}"#), valid.split('.').nth(1).unwrap());
    let symmetric = format!(
        "{}.{}.{signature}",
        base64url(br#"{"alg":"HS256","kid":"one"}"#),
        valid.split('.').nth(1).unwrap()
    );
    let bad = [
        ("expired", with(&|c| c["exp"] = json!(now() / 1000 - 60))),
        ("not yet valid", with(&|c| c["nbf"] = json!(now() / 1000 + 600))),
        ("another audience", with(&|c| c["aud"] = json!(["https://kubernetes.default.svc"]))),
        ("no audience", with(&|c| drop(c.as_object_mut().unwrap().remove("aud")))),
        ("no end", with(&|c| drop(c.as_object_mut().unwrap().remove("exp")))),
        ("another issuer", with(&|c| c["iss"] = json!("https://elsewhere"))),
        ("a person", with(&|c| c["sub"] = json!("admin"))),
        ("another key of the same name", stranger.token(&claims("flows:any"))),
        ("a key that is not published", Key::new("two").token(&claims("flows:any"))),
        ("no signature", format!("{head}.")),
        ("no algorithm", none),
        ("another algorithm", symmetric),
        ("no token", "x".into()),
        ("nothing", String::new()),
    ];
    for (what, token) in bad {
        let answer = write(&contract, &token).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text());
    }
    // Reading is open.
    contract.get("/api/metrics/components").await.ok();
    contract.report("w", json!([gauge("m", 1.0)])).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_key_that_the_cluster_publishes_later_is_found() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let publisher = Publisher::start(&[&old]).await;
    let contract = publisher.contract().await;
    eventually("the keys are there", SOON, async || {
        (write(&contract, &old.token(&claims("flows:any"))).await.status == 200).then_some(())
    })
    .await;
    let token = new.token(&claims("flows:any"));
    assert_eq!(write(&contract, &token).await.status, 401);
    publisher.keys.lock().unwrap().push(new.published());
    eventually("the new key is known", SOON, async || {
        (write(&contract, &token).await.status == 200).then_some(())
    })
    .await;
    assert_ne!(publisher.address.port(), 0);
}

#[tokio::test]
async fn lists_give_each_right_and_no_other() {
    let key = Key::new("one");
    let publisher = Publisher::start(&[&key]).await;
    let lists = ["--auth-readers", "watch/*", "--auth-admins", "noetl/boss", "--auth-read", "required"];
    let contract = publisher.contract_with(&lists).await;
    let token = |account: &str| key.token(&claims(account));
    keys_are_there(&contract, &token("flows:any")).await;
    let status = async |account: &str, method: Method, path: &str| {
        call(&contract, method, path, &token(account), br#"{"name": "w"}"#.to_vec()).await.status
    };
    for (account, read, write, admin) in [
        ("flows:any", 403, 200, 403),
        ("watch:scraper", 200, 403, 403),
        ("noetl:boss", 403, 403, 200),
        ("else:any", 403, 403, 403),
    ] {
        assert_eq!(status(account, Method::POST, "/api/worker/pool/register").await, write, "{account}");
        assert_eq!(status(account, Method::GET, "/api/metrics/prometheus").await, read, "{account}");
        assert_eq!(status(account, Method::GET, "/status").await, read, "{account}");
        assert_eq!(status(account, Method::POST, "/api/metrics/cleanup").await, admin, "{account}");
    }
    contract.get("/api/metrics/prometheus").await.problem(401, "unauthenticated");
    contract.get("/readyz").await.expect(200);
}

#[tokio::test]
async fn a_pod_speaks_for_itself_and_its_service_account_and_an_agent_for_all() {
    let key = Key::new("one");
    let publisher = Publisher::start(&[&key]).await;
    let flags = ["--auth-own-component", "--auth-any-component", "noetl/agent"];
    let contract = publisher.contract_with(&flags).await;
    let mut bound = claims("flows:gpu");
    bound["kubernetes.io"] = json!({
        "namespace": "flows", "node": {"name": "node-1", "uid": "1"}, "pod": {"name": "gpu-7", "uid": "2"},
        "serviceaccount": {"name": "gpu", "uid": "3"},
    });
    let (pod, person) = (key.token(&bound), key.token(&claims("flows:gpu")));
    let agent = key.token(&claims("noetl:agent"));
    keys_are_there(&contract, &agent).await;
    let status = async |token: &str, name: &str| register(&contract, token, name).await.status;
    for (name, by_pod, by_person) in [
        ("gpu-7", 200, 403),
        ("gpu", 200, 200),
        ("gpu-8", 403, 403),
        ("node-1", 403, 403),
        ("gpu-*", 403, 403),
    ] {
        assert_eq!(status(&pod, name).await, by_pod, "{name} by the pod");
        assert_eq!(status(&person, name).await, by_person, "{name} by a token of no pod");
        assert_eq!(status(&agent, name).await, 200, "{name} by the agent");
    }
    let refused = register(&contract, &pod, "gpu-8").await.problem(403, "forbidden");
    let detail = "ServiceAccount flows/gpu (pod gpu-7) may not speak for 'gpu-8', only for gpu-7, gpu";
    assert_eq!(refused["detail"], detail);
}
