//! Everything that is checked: its id, what should be so, what to do where it is not, and where that
//! is written. docs/troubleshooting.md has the same, made from here.

/// One thing that is checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name for machines; it never changes.
    pub id: &'static str,
    /// What should be so.
    pub name: &'static str,
    /// What to do where it is not.
    pub hint: &'static str,
    /// Page of docs, and place in it.
    pub docs: &'static str,
}

macro_rules! checks {
    ($($family:ident { $($name:ident: $id:literal $what:literal, $hint:literal, $docs:literal;)* })*) => {
        $($(#[doc = $what] pub(super) const $name: &Check = &Check { id: $id, name: $what, hint: $hint, docs: $docs };)*)*
        $(#[doc = "A family of checks, in the order in which they are made."]
        pub(super) const $family: &[&Check] = &[$($name),*];)*
        /// All of them.
        pub const ALL: &[&[&Check]] = &[$($family),*];
    };
}

checks! {
    OF_DATABASE {
        DATABASE_REACHED: "database-reached" "the database answers", "the detail has PostgreSQL's own words: correct the host, the role or the password of the URL, or let this network reach it", "configuration.md#the-database";
        DATABASE_SCHEMA: "database-schema" "its schema is that of this program", "run noetl-metrics migrate with the same --database-url; where the schema is newer, use a newer program", "database.md#where-samples-are";
        DATABASE_RIGHTS: "database-rights" "its role may do what servers do", "run the statements of the detail as the owner of the tables", "database.md#in-noetls-own-database";
        DATABASE_LEASE: "database-lease" "a server holds the lease", "start a server on this database, and look at the log of those that run", "configuration.md#several-servers";
    }
    OF_SERVER {
        INPUT: "input" "what it needs can be read", "the detail names the flag whose file is wrong", "cli.md#noetl-metrics-check";
        INTERVALS: "intervals" "the intervals of this environment can be used", "write NOETL_WORKER_METRICS_INTERVAL and its like as seconds, or as 30s or 5m, below the server's --stale-after", "configuration.md#the-guides-variables";
        NAME_KNOWN: "name-known" "the server's name is known", "is --server-url right? Its host has to be known to DNS where this runs", "configuration.md#the-agent";
        CONNECTS: "connects" "connections to it are taken", "is --server-url right, does the server run (--listen), and may this network reach it?", "configuration.md#the-server";
        TLS_TRUSTED: "tls-trusted" "its certificate is trusted", "give its authority with --tls-ca-file and its name with --tls-server-name, or give the server a certificate that is valid", "tls.md#tls";
        TLS_EXPIRY: "tls-expiry" "its certificate is valid for long enough", "renew it: the server reads its files again by itself", "tls.md#tls";
        ANSWERS: "answers" "the server answers", "is --server-url right, and may this network reach it? NOETL_SERVER_URL may be NoETL's own server", "configuration.md#the-server";
        READY: "ready" "it can do its work", "the lines that begin with [-] say what it waits for; mostly the database", "runbooks/NoetlMetricsNotReady.md#diagnosis";
        SERVER_VERSION: "version" "it is of this program's version", "use the same version on both sides; upgrade servers first", "install-kubernetes.md#7-upgrading";
        CLOCK: "clock" "its clock agrees with this one", "set both clocks by NTP: samples more than --max-future ahead are refused", "limits.md#server";
        WRITING_CLOSED: "writing-closed" "writing needs a token", "give the server tokens (--auth-token-file, --auth-kubernetes-audience), or let only those reach it that may write", "authentication.md#tokens-of-a-file";
        WRONG_TOKEN: "wrong-token" "a wrong token is refused", "the server takes any token: is it the server itself that answers, or something before it?", "authentication.md#tokens-of-a-file";
        TOKEN: "token" "this token may write", "401 and 403: send a token that may write (--auth-token-file)", "authentication.md#tokens-of-a-file";
        REGISTERS: "registers" "a component registers", "the detail says why not; 401 and 403: send a token that may write (--auth-token-file)", "noetl.md#a-worker-does-not-report";
        STORED: "stored" "a sample is stored", "the detail says why not; the server's log has more", "http-api.md#reporting";
        READ_BACK: "read-back" "it is read back", "401 and 403: send a token that may read; else the server stored it and does not find it: look at its log", "http-api.md#querying";
        EXPORTED: "exported" "scrapers get it", "look at /api/metrics/prometheus; 401 and 403: scrapers need a token that may read", "noetl.md#prometheus-or-victoriametrics-shows-nothing";
        LEAVES: "leaves" "the component leaves", "the detail says why not", "http-api.md#endpoints";
        READING: "reading" "this token may read", "reading is closed here (--auth-read required): send a token that may read (--auth-token-file)", "authentication.md#tokens-of-a-file";
        ACTIVE: "active" "a server is active", "look at the log of the servers: one of them has to take the lease in the database", "runbooks/NoetlMetricsNoActiveServer.md#diagnosis";
        SELF_REPORT: "self-report" "the server reports on itself", "look at NOETL_SERVER_METRICS_INTERVAL of the server and at its log: its sweeper reports", "noetl.md#metrics-of-the-server-are-missing";
        REPORTING: "reporting" "components report", "start an agent or a reporter with --server-url (NOETL_SERVER_URL) of this server, and look at its log", "noetl.md#a-worker-does-not-report";
        SILENT: "silent" "no component fell silent", "look whether it runs, reaches the server, and what its log says; deregister what is gone for good", "runbooks/NoetlComponentDown.md#diagnosis";
        UNKNOWN: "unknown-components" "no report is of an unknown component", "register it (POST /api/worker/pool/register), or start the server with --unknown-components register", "noetl.md#a-worker-does-not-report";
        UNAUTHORISED: "unauthorised-reports" "no report lacks a right", "give its reporter a token that may write, and look at its log", "authentication.md#tokens-of-a-file";
        REFUSED: "refused-samples" "no sample is refused", "the reporter's answers and the component's page say the field and the rule", "runbooks/NoetlMetricsReportsRejected.md#diagnosis";
        LIMITED: "limited-reports" "no report is too much", "send less often, or raise --max-component-samples and --max-component-bytes; look whether PostgreSQL is slow", "limits.md#server";
        SERIES: "series-limit" "there is room for more series", "find what brings series: labels that name a single run. Or raise the limit", "runbooks/NoetlMetricsSeriesLimitNear.md#diagnosis";
        COMMITS: "commits" "samples are written", "look at the server's log and at PostgreSQL: its disk, its locks, its load", "runbooks/NoetlMetricsCommitFailing.md#diagnosis";
        SCHEMA: "schema" "the server's database has its schema", "run noetl-metrics migrate, or start the server without --no-migrate", "database.md#where-samples-are";
        SIZE: "size" "the database takes no more than it may", "look at retention: --retention-raw and --retention-max-size, and at what brings series", "noetl.md#the-database-grows";
        RETENTION: "retention" "retention ran, and succeeded", "run noetl-metrics maintenance --once, or set --retention-raw on the server; the detail says why it failed", "runbooks/NoetlMetricsRetentionFailing.md#diagnosis";
        FORWARDING: "forwarding" "stores that samples are sent on to have them", "the detail says what the store answers, the server's log more: correct its URL, token or authority, or let it take more", "forwarding.md#what-to-watch";
        TARGETS: "targets" "what agents scrape answers", "look whether it runs and whether its agent reaches it; noetl_agent_scrape_errors_total says why it fails", "noetl.md#a-worker-does-not-report";
        ABSENT: "absent-metrics" "no metric of the guide is absent", "the reason beside each says what helps", "noetl.md#the-guides-metrics";
        SPOOLS: "spools" "agents can keep what they can't send", "look at the disk and the rights of the agent's --spool-dir, and at its log", "configuration.md#while-the-server-is-away";
        TEXTFILES: "textfiles" "agents can read their text files", "the agent's log names the file and the line; write it whole, then rename it", "configuration.md#handing-a-workers-own-values-to-an-agent";
    }
    OF_CLUSTER {
        CLUSTER: "cluster" "the cluster's API answers", "look at KUBECONFIG and its current context: kubectl cluster-info has to succeed", "install-kubernetes.md#1-the-operator";
        DEFINITION: "definition" "the definition of NoetlMetrics is that of this program", "noetl-metrics crd | kubectl apply -f -, or upgrade the chart", "install-kubernetes.md#7-upgrading";
        OPERATOR: "operator" "the operator runs", "kubectl describe its Deployment and its pods; helm install brings it", "runbooks/NoetlMetricsOperatorDown.md#diagnosis";
        RESOURCE: "resource" "the resource is there", "kubectl apply a NoetlMetrics in this namespace, or name it with --resource and -n", "install-kubernetes.md#3-the-resource";
        ACCEPTED: "accepted" "the operator took the resource", "correct what the message names; where nothing is said, does the operator run and watch this namespace (--watch-namespaces)?", "operator.md#conditions";
        SECRETS: "secrets" "the Secrets that it names are there", "kubectl create secret with that name and key in this namespace", "install-kubernetes.md#2-the-database";
        MIGRATION: "migration" "the Job of the schema succeeded", "kubectl logs of the Job says why; grant or correct what it names, then delete the Job: the operator makes it anew", "runbooks/NoetlMetricsNotReady.md#mitigation";
        SERVERS: "servers" "servers run", "kubectl describe the pod of the detail: an image, a quota, a node with room, a Secret, or what it says itself", "runbooks/NoetlMetricsNotReady.md#mitigation";
        SERVICE: "service" "the Service has servers behind it", "no ready pod has the labels of its selector: see the servers above, and whether the Service was changed by hand", "operator.md#what-is-made";
        AGENTS: "agents" "every node has an agent", "kubectl describe the DaemonSet: a taint to be tolerated, a quota, or pod security that forbids hostPath", "runbooks/NoetlMetricsAgentMissing.md#mitigation";
        AGENT_RIGHTS: "agent-rights" "agents may watch NoETL's pods", "run the operator with --agent-cluster-role and that role in the cluster, as the chart does; in another namespace than the resource's, kubectl create rolebinding there", "noetl.md#on-kubernetes";
        CRON_JOBS: "cron-jobs" "retention's CronJob succeeds", "kubectl logs of its last Job says why; unsuspend it where it is suspended", "runbooks/NoetlMetricsRetentionFailing.md#diagnosis";
        SCRAPE_OBJECT: "scrape-object" "a scrape object selects the servers", "set spec.scrape.kind to a kind that the cluster has; undo what was changed by hand", "install-kubernetes.md#5-scraping";
        SCRAPER: "scraper" "a scraper selects the scrape object", "give the scrape object the labels that the scraper selects (spec.scrape.labels), or let the scraper select this namespace", "install-kubernetes.md#5-scraping";
        POLICY: "network-policy" "network policies let scrapers in", "name the scraper's pods in spec.networkPolicy.from, or in a policy of your own", "operator.md#what-is-made";
        DATABASE_CONDITION: "condition-database" "servers reach the database", "the message has PostgreSQL's own words: correct the Secret or the database; servers try again by themselves", "runbooks/NoetlMetricsNotReady.md#mitigation";
        SCRAPE_CONDITION: "condition-scrape" "the scrape object was taken", "the message names the object and why; install the kind, or set spec.scrape.kind", "operator.md#conditions";
        RETENTION_CONDITION: "condition-retention" "retention is healthy", "the message ends with the Job's last words", "runbooks/NoetlMetricsRetentionFailing.md#diagnosis";
        DEGRADED_CONDITION: "condition-degraded" "nothing is degraded", "the message names what is missing and why", "operator.md#conditions";
        READY_CONDITION: "condition-ready" "the resource is ready", "the lines above say what keeps it from being so", "runbooks/NoetlMetricsNotReady.md#diagnosis";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn docs(page: &str) -> Option<String> {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page)).ok()
    }

    /// The anchor of a heading, as readers of Markdown make it.
    fn anchor(heading: &str) -> String {
        let kept = heading.trim().to_lowercase();
        kept.chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .collect::<String>()
            .replace(' ', "-")
    }

    #[test]
    fn every_link_leads_to_a_place_that_is_there() {
        for check in ALL.iter().copied().flatten() {
            let (page, place) = check.docs.split_once('#').unwrap_or((check.docs, ""));
            let text = docs(page).unwrap_or_else(|| panic!("{}: there is no docs/{page}", check.id));
            let found =
                text.lines().any(|l| l.starts_with('#') && anchor(l.trim_start_matches('#')) == place);
            assert!(place.is_empty() || found, "{}: docs/{page} has no #{place}", check.id);
        }
    }

    #[test]
    fn ids_are_unique_and_each_has_a_next_step() {
        let all: Vec<_> = ALL.iter().copied().flatten().collect();
        assert_eq!(all.iter().map(|c| c.id).collect::<BTreeSet<_>>().len(), all.len());
        assert!(all.iter().all(|c| !c.hint.is_empty() && !c.name.is_empty()));
    }

    /// `UPDATE_DOCS=1 cargo test --lib catalogue` writes the tables anew.
    #[test]
    fn the_page_lists_every_check() {
        let page = docs("troubleshooting.md").unwrap_or_default();
        let mut expected = page.clone();
        for (family, checks) in [("database", ALL[0]), ("server", ALL[1]), ("cluster", ALL[2])] {
            let (begin, end) = (format!("<!-- checks: {family} -->\n"), "<!-- end -->");
            let (before, rest) = expected.split_once(&begin).expect("a place for the table");
            let (_, after) = rest.split_once(end).expect("its end");
            let row = |c: &&Check| {
                format!("| `{}` | {} | {} | [{3}]({3}) |\n", c.id, c.name, c.hint.replace('|', "\\|"), c.docs)
            };
            let rows: String = checks.iter().map(row).collect();
            expected = format!(
                "{before}{begin}| id | what should be so | the next step where it is not | more |\n|---|---|---|---|\n{rows}{end}{after}"
            );
        }
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting.md"), &expected)
                .expect("written");
        } else {
            assert_eq!(page, expected, "UPDATE_DOCS=1 cargo test --lib catalogue writes it anew");
        }
    }
}
