//! The names and labels of everything that is made from one resource, in one place.
//!
//! A name is the resource's with a suffix, at most as long as its kind allows: a longer one is cut
//! and ends in a hash of the whole, so that two long names stay apart.

use std::collections::BTreeMap;

/// What `app.kubernetes.io/managed-by` says of everything that the operator makes.
pub(crate) const MANAGER: &str = "noetl-metrics-operator";
/// Label of the application.
pub(crate) const NAME_LABEL: &str = "app.kubernetes.io/name";
/// Label of the resource that an object was made from.
pub(crate) const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";
/// Label of the part that an object belongs to.
pub(crate) const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// Label of who made an object.
pub(crate) const MANAGER_LABEL: &str = "app.kubernetes.io/managed-by";

/// Longest name of most objects, and longest value of a label.
const NAME_MAX: usize = 63;
/// Longest name of a CronJob: its Jobs' names are 11 longer.
const CRON_JOB_MAX: usize = 52;

/// A part of an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Component {
    /// Takes reports, exports.
    Server,
    /// Reports a node.
    Agent,
    /// Drops what is past its age.
    Retention,
    /// Brings the schema forward.
    Migrate,
}

impl Component {
    /// Its word in labels and names.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Agent => "agent",
            Self::Retention => "retention",
            Self::Migrate => "migrate",
        }
    }
}

/// Names of what is made from a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// The resource's own.
    pub(crate) instance: String,
    /// Deployment, Service, ServiceAccount, PodDisruptionBudget, NetworkPolicy, scrape object.
    pub(crate) server: String,
    /// DaemonSet, ServiceAccount, RoleBinding.
    pub(crate) agent: String,
    /// CronJob.
    pub(crate) retention: String,
    /// Rules object.
    pub(crate) alerts: String,
    /// ConfigMap with the rules that the servers evaluate.
    pub(crate) rules: String,
    /// Scrape object of NoETL's own pods.
    pub(crate) pods: String,
}

impl Names {
    /// The names of what is made from the resource `instance`.
    pub(crate) fn of(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            server: shortened(&format!("{instance}-server"), NAME_MAX),
            agent: shortened(&format!("{instance}-agent"), NAME_MAX),
            retention: shortened(&format!("{instance}-retention"), CRON_JOB_MAX),
            alerts: shortened(&format!("{instance}-alerts"), NAME_MAX),
            rules: shortened(&format!("{instance}-rules"), NAME_MAX),
            pods: shortened(&format!("{instance}-pods"), NAME_MAX),
        }
    }

    /// Name of the Job that brings the schema forward for `version`, a short hash.
    pub(crate) fn migrate(&self, version: &str) -> String {
        shortened(&format!("{}-migrate-{version}", self.instance), NAME_MAX)
    }

    /// What selects a part's pods; it never changes, since a Deployment's selector must not.
    pub(crate) fn selector(&self, component: Component) -> BTreeMap<String, String> {
        [
            (NAME_LABEL, "noetl-metrics"),
            (INSTANCE_LABEL, &self.instance),
            (COMPONENT_LABEL, component.as_str()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
    }

    /// The labels of a part's objects.
    pub(crate) fn labels(&self, component: Component) -> BTreeMap<String, String> {
        let mut labels = self.selector(component);
        labels.insert("app.kubernetes.io/part-of".to_owned(), "noetl".to_owned());
        labels.insert(MANAGER_LABEL.to_owned(), MANAGER.to_owned());
        labels
    }
}

/// Eight hexadecimal digits of a hash (FNV-1a) that is the same in every version and on every
/// machine.
pub(crate) fn hash(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{:08x}", (hash >> 32) ^ (hash & 0xffff_ffff))
}

fn shortened(name: &str, max: usize) -> String {
    if name.len() <= max {
        return name.to_owned();
    }
    let kept: String = name.chars().take(max - 9).collect();
    format!("{}-{}", kept.trim_end_matches(['-', '.']), hash(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_plain() {
        let names = Names::of("noetl");
        assert_eq!((names.server.as_str(), names.agent.as_str()), ("noetl-server", "noetl-agent"));
        assert_eq!(names.migrate("0123abcd"), "noetl-migrate-0123abcd");
    }

    #[test]
    fn long_names_fit_and_stay_apart() {
        let (a, b) = ("a".repeat(63), format!("{}b", "a".repeat(62)));
        let (one, other) = (Names::of(&a), Names::of(&b));
        for (name, max) in [(&one.server, 63), (&one.agent, 63), (&one.retention, 52), (&one.alerts, 63)] {
            assert!(name.len() <= max, "{name}");
        }
        assert!(one.migrate("0123abcd").len() <= 63);
        assert_ne!(one.server, other.server);
        assert_ne!(one.migrate("1"), one.migrate("2"));
        assert_ne!(one.server, one.agent);
    }

    #[test]
    fn hashes_never_change() {
        assert_eq!(hash(""), "4fd0bfc1");
        assert_eq!(hash("a").len(), 8);
    }
}
