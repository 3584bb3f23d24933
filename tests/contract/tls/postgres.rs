//! The connection to PostgreSQL by TLS, verified.

use std::process::Command;
use std::time::Duration;

use super::HERE;
use crate::harness::{Authority, Cluster, SecretFiles, eventually};

/// How `migrate` ends on a database, with the variables that the operator gives it; what it said.
async fn migrate(url: &str, variables: &[(&str, String)]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_noetl-metrics"));
    command
        .args(["migrate", "--database-url", url])
        .env_clear()
        .envs(crate::harness::clock())
        .envs(variables.iter().cloned());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn postgresql_s_certificate_is_verified_and_a_wrong_one_is_named() {
    let authority = Authority::new();
    let pair = authority.signs(&[HERE]);
    let cluster = Cluster::secure(&pair);
    let database = cluster.empty_database().await;
    let ours = SecretFiles::new(&authority, &pair);
    let strangers = SecretFiles::new(&Authority::new(), &pair);
    let verified = |files: &SecretFiles, host: &str| {
        let url = database.url.replace(HERE, host);
        format!("{url}?sslmode=verify-full&sslrootcert={}", files.path("ca.crt").display())
    };
    // PostgreSQL takes up its certificate a moment after it is told to.
    let good = verified(&ours, HERE);
    eventually("the schema is made by TLS", Duration::from_mins(1), async || {
        migrate(&good, &[]).await.0.then_some(())
    })
    .await;
    let (well, said) = migrate(&verified(&strangers, HERE), &[]).await;
    assert!(!well && said.contains("PostgreSQL's certificate can't be trusted"), "{said}");
    assert!(said.contains("sslrootcert"), "{said}");
    // The same server by a name that its certificate is not for.
    let (well, said) = migrate(&verified(&ours, "localhost"), &[]).await;
    assert!(!well && said.contains("PostgreSQL's certificate can't be trusted"), "{said}");
    // What the operator's pods are given says the same without a word in the URL.
    let variables = |files: &SecretFiles| {
        let file = files.path("ca.crt").to_str().unwrap().to_owned();
        [("PGSSLMODE", "verify-full".to_owned()), ("PGSSLROOTCERT", file)]
    };
    let (well, said) = migrate(&database.url, &variables(&ours)).await;
    assert!(well, "{said}");
    let (well, said) = migrate(&database.url, &variables(&strangers)).await;
    assert!(!well && said.contains("PostgreSQL's certificate can't be trusted"), "{said}");
}
