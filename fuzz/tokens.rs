//! Tokens: none is taken that the cluster did not sign for us, and nothing secret is repeated.

use std::path::PathBuf;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::JwkSet;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::super::token_file::TokenFile;
use super::super::{Right, signature, token};
use super::keys::{Keys, Published};
use super::*;

const ISSUER: &str = "https://cluster";
const AUDIENCE: &str = "noetl-metrics";

/// The first byte says what the others are.
pub(crate) fn tokens(data: &[u8]) {
    let Some((what, rest)) = data.split_first() else { return };
    match what % 5 {
        0 => signed(rest),
        1 => any_token(rest),
        2 => any_keys(rest),
        3 => a_file(rest),
        _ => a_header(rest),
    }
}

/// A cluster with one key, and what it signs with it.
struct Signer {
    runtime: tokio::runtime::Runtime,
    pair: EcdsaKeyPair,
    kubernetes: Kubernetes,
}

static CLUSTER: LazyLock<Signer> = LazyLock::new(|| {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
    let pair = pair.expect("a key");
    let point = pair.public_key().as_ref();
    let key = json!({"kty": "EC", "kid": "k", "crv": "P-256", "x": base64(&point[1..33]), "y": base64(&point[33..])});
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let kubernetes =
        runtime.block_on(async { with_keys(json!({"keys": [key]})) }).expect("it is a set of keys");
    Signer { runtime, pair, kubernetes }
});

/// What verifies tokens by these keys; to be called within a runtime.
fn with_keys(keys: Value) -> Option<Kubernetes> {
    signature::install();
    let set: JwkSet = serde_json::from_value(keys).ok()?;
    let config = KubernetesAuth {
        audience: AUDIENCE.into(),
        issuer: None,
        readers: ServiceAccounts::default(),
        writers: ServiceAccounts::default(),
        admins: ServiceAccounts::default(),
        own_component: true,
        any_component: ServiceAccounts::default(),
        review: None,
        api_url: String::new(),
        own_dir: PathBuf::new(),
    };
    Some(Kubernetes { config, keys: Keys::given(Published { issuer: ISSUER.into(), set }), review: None })
}

/// A header and claims, apart by a line feed, as the cluster signs them; then with a bit of it changed.
fn signed(data: &[u8]) {
    let [at, change, rest @ ..] = data else { return };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (header, claims) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    let said = format!("{}.{}", base64(header), base64(claims));
    let signature = CLUSTER.pair.sign(&SystemRandom::new(), said.as_bytes()).expect("a signature");
    let token = format!("{said}.{}", base64(signature.as_ref()));
    match CLUSTER.kubernetes.verify(&token) {
        Ok(read) => is_right(claims, &read),
        Err(problem) => assert_eq!(problem.status(), 401),
    }
    let mut other = token.clone().into_bytes();
    let at = usize::from(*at) * other.len() / 256;
    other[at] ^= change & 0x7f;
    if let Ok(other) = String::from_utf8(other)
        && other != token
    {
        assert!(CLUSTER.kubernetes.verify(&other).is_err(), "{other} is not {token}");
    }
}

/// Claims that were taken are of this cluster, not over, and of someone.
fn is_right(claims: &[u8], read: &Claims) {
    // What is in claims that nobody reads may be no text, or no number.
    let Ok(claims) = serde_json::from_slice::<Value>(claims) else { return };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let (now, leeway) = (now.as_secs_f64(), LEEWAY as f64 + 2.0);
    assert!(claims["exp"].as_f64().is_some_and(|exp| exp >= now - leeway), "{claims}");
    assert!(claims["nbf"].as_f64().is_none_or(|nbf| nbf <= now + leeway), "{claims}");
    // One word, or a list that has it.
    let says = |claim: &str, word: &str| {
        let all = claims[claim].as_array();
        claims[claim] == json!(word) || all.is_some_and(|all| all.contains(&json!(word)))
    };
    assert!(says("iss", ISSUER), "{claims}");
    assert_eq!(claims["sub"], json!(read.sub));
    assert_eq!(read.aud.have(AUDIENCE), says("aud", AUDIENCE), "{claims}");
    if let Ok(account) = account(read) {
        assert_eq!(read.sub, format!("system:serviceaccount:{}:{}", account.namespace, account.name));
    }
}

/// Nobody but the cluster makes a token that it takes.
fn any_token(data: &[u8]) {
    let Ok(token) = str::from_utf8(data) else { return };
    assert!(CLUSTER.kubernetes.verify(token).is_err());
}

/// Whatever keys a cluster publishes, they verify nothing that they did not sign.
fn any_keys(data: &[u8]) {
    let Ok(keys) = serde_json::from_slice(data) else { return };
    let Some(kubernetes) = CLUSTER.runtime.block_on(async { with_keys(keys) }) else { return };
    let kids: Vec<String> = kubernetes
        .keys
        .published()
        .iter()
        .flat_map(|p| &p.set.keys)
        .filter_map(|k| k.common.key_id.clone())
        .collect();
    for kid in kids.into_iter().take(3) {
        for algorithm in ["RS256", "ES256", "ES384", "HS256", "none"] {
            let header = json!({"alg": algorithm, "kid": kid}).to_string();
            let claims =
                json!({"exp": 9_999_999_999_u64, "iss": ISSUER, "aud": AUDIENCE, "sub": "x"}).to_string();
            let token =
                format!("{}.{}.{}", base64(header.as_bytes()), base64(claims.as_bytes()), base64(&[7; 64]));
            assert!(kubernetes.verify(&token).is_err(), "{token}");
        }
    }
}

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("noetl-metrics-tokens-{}", std::process::id())));

/// A token of a file is found by itself alone, and none is repeated where a line is wrong.
fn a_file(data: &[u8]) {
    std::fs::write(&*FILE, data).expect("a file");
    let text = String::from_utf8_lossy(data);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let words: Vec<&str> = lines.filter_map(|line| line.split_whitespace().next()).collect();
    match TokenFile::open(&FILE) {
        Ok(file) => {
            for word in &words {
                assert!(file.find(word.as_bytes()).is_some());
                assert!(file.find(format!("{word} ").as_bytes()).is_none());
                let less = &word.as_bytes()[1..];
                assert!(file.find(less).is_none() || words.iter().any(|other| other.as_bytes() == less));
            }
            assert!(file.find(b"").is_none());
        }
        Err(error) => {
            let said = error.to_string();
            // Shorter ones may be words of what is said.
            let is_told = |word: &&&str| word.len() > 24 && said.contains(**word);
            assert_eq!(words.iter().find(is_told), None, "{said}");
        }
    }
}

fn a_header(data: &[u8]) {
    let Ok(header) = str::from_utf8(data) else { return };
    for right in [Right::Read, Right::Write] {
        match token(header, right) {
            Ok(token) if header.contains(&*token) => assert_eq!(token.trim(), &*token),
            // Of a name and a password, which only who reads may send.
            Ok(token) => {
                let both =
                    header.split_once(' ').and_then(|(_, both)| BASE64_STANDARD.decode(both.trim()).ok());
                assert!(right == Right::Read && both.is_some_and(|both| both.ends_with(token.as_bytes())));
            }
            Err(problem) => assert_eq!(problem.status(), 401),
        }
    }
    let _ = serde_json::from_slice::<super::review::User>(data);
}

/// As tokens have it: without what fills up.
fn base64(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
