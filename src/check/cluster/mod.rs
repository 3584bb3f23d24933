//! An installation in a cluster, from the definition to the scraper, as the cluster's API tells it.
//!
//! Contract: reads only. What this caller has no right to read is left out with the right that is
//! missing, never a failure. Secrets: that they are there, never what they hold.

mod agents;
mod conditions;
mod definition;
mod jobs;
mod policy;
mod reading;
mod resource;
mod scrape;
mod scraper;
mod secrets;
mod servers;

use std::time::Duration;

use kube::{Client, Config};

use self::reading::Space;
use self::resource::Installation;
use super::ClusterConfig;
use super::catalogue::{
    ACCEPTED, AGENT_RIGHTS, AGENTS, CLUSTER, CRON_JOBS, DATABASE_CONDITION, DEFINITION, DEGRADED_CONDITION,
    MIGRATION, OF_CLUSTER, OPERATOR, POLICY, READY_CONDITION, RESOURCE, RETENTION_CONDITION,
    SCRAPE_CONDITION, SCRAPE_OBJECT, SCRAPER, SECRETS, SERVERS, SERVICE,
};
use super::report::{Report, failed, passed};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// All of it; what builds on something that failed is left out.
pub(super) async fn run(config: &ClusterConfig, report: &mut Report<'_>) {
    if let Err(why) = Box::pin(look(config, report)).await {
        report.leave_rest(OF_CLUSTER, why);
    }
}

async fn look(config: &ClusterConfig, report: &mut Report<'_>) -> Result<(), &'static str> {
    let space = match connect(config).await {
        Ok((space, version)) => {
            report.note(CLUSTER, passed(format!("Kubernetes {version}, namespace {}", space.namespace)));
            space
        }
        Err(why) => {
            report.note(CLUSTER, failed(why));
            return Err("the cluster does not answer");
        }
    };
    let defined = report.note(DEFINITION, definition::definition(&space).await);
    report.note(OPERATOR, definition::operator(&space).await);
    if !defined {
        return Err("there is no such resource without its definition");
    }
    let found = Installation::find(space, config.resource.as_deref()).await;
    let seen = found.as_ref().map(|it| passed(it.resource_name())).map_err(Clone::clone);
    report.note(RESOURCE, seen);
    let Ok(it) = found else { return Err("there is no resource to look at") };
    report.note(ACCEPTED, conditions::accepted(&it));
    report.note(SECRETS, secrets::there(&it).await);
    report.note(MIGRATION, jobs::migration(&it).await);
    report.note(SERVERS, servers::run(&it).await);
    report.note(SERVICE, servers::service(&it).await);
    report.note(AGENTS, agents::scheduled(&it).await);
    report.note(AGENT_RIGHTS, agents::rights(&it).await);
    report.note(CRON_JOBS, jobs::retention(&it).await);
    let object = scrape::object(&it).await;
    report.note(SCRAPE_OBJECT, scrape::selects(&it, &object).await);
    let scrapers = scraper::all(&it, &object).await;
    report.note(SCRAPER, scraper::selected(&object, &scrapers));
    report.note(POLICY, policy::lets_in(&it, &scrapers).await);
    for (check, condition) in [
        (DATABASE_CONDITION, "DatabaseReady"),
        (SCRAPE_CONDITION, "ScrapeReady"),
        (RETENTION_CONDITION, "RetentionHealthy"),
        (DEGRADED_CONDITION, "Degraded"),
        (READY_CONDITION, "Ready"),
    ] {
        report.note(check, conditions::of(&it, condition));
    }
    Ok(())
}

/// The cluster of the kubeconfig, or the one that this runs in, and its version.
async fn connect(config: &ClusterConfig) -> Result<(Space, String), String> {
    let mut access = Config::infer().await.map_err(|e| e.to_string())?;
    access.connect_timeout = Some(CONNECT_TIMEOUT);
    access.read_timeout = Some(READ_TIMEOUT);
    let namespace = config.namespace.clone().unwrap_or_else(|| access.default_namespace.clone());
    let url = access.cluster_url.to_string();
    let client = Client::try_from(access).map_err(|e| e.to_string())?;
    let version =
        client.apiserver_version().await.map_err(|e| format!("{url}: {}", reading::sentence(&e)))?;
    Ok((Space { client, namespace }, version.git_version))
}
