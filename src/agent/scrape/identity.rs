//! Which component a target is: its kind from the families it has, its name and pool from what was
//! said of it, else from its process, else from NoETL's own list of workers.
//!
//! NoETL's registry does not say where a worker's `/metrics` is, and `/metrics` does not say which
//! worker it is. So a target of which nothing is known goes by its address.

use super::config::{SERVER, TargetSpec, WORKER};
use crate::wire::exposition::Sample;

/// Kind of the command bus.
const BROKER: &str = "broker";
/// Kind of NoETL's gateway.
const GATEWAY: &str = "gateway";
/// Kind of what is not NoETL's.
const APPLICATION: &str = "application";

/// Which component a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identified {
    /// Name of the component.
    pub(super) name: String,
    /// Kind of the component.
    pub(super) kind: String,
    /// Pool of the worker.
    pub(super) pool: Option<String>,
}

/// What a worker's process says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// `WORKER_ID`.
    pub(super) worker_id: Option<String>,
    /// `WORKER_POOL_NAME`.
    pub(super) pool_name: Option<String>,
}

/// The kind that these families are of; `None` where there are none, as with a server that was just
/// started.
pub(super) fn kind_of(samples: &[Sample<'_>]) -> Option<&'static str> {
    let any = |prefix: &str| samples.iter().any(|sample| sample.name.starts_with(prefix));
    if samples.is_empty() {
        None
    } else if any("noetl_worker_") {
        Some(WORKER)
    } else if any("noetl_gateway_") {
        Some(GATEWAY)
    } else if any("noetl_") {
        Some(SERVER)
    } else if any("ehdb_feed_") {
        Some(BROKER)
    } else {
        Some(APPLICATION)
    }
}

/// The component that a target of this kind is. `pool_of` knows the pools of NoETL's workers.
pub(super) fn identify(
    spec: &TargetSpec,
    kind: &str,
    told: &Told,
    pool_of: impl FnOnce(&str) -> Option<String>,
) -> Identified {
    let told = if kind == WORKER { told.clone() } else { Told::default() };
    let name = spec.name.clone().or(told.worker_id).unwrap_or_else(|| spec.address());
    let pool = spec.pool.clone().or(told.pool_name).or_else(|| pool_of(&name));
    Identified { name, kind: kind.to_owned(), pool }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::exposition::samples;

    fn kind(text: &str) -> Option<&'static str> {
        kind_of(&samples(text, 10, "").unwrap())
    }

    #[test]
    fn families_tell_the_kind() {
        assert_eq!(kind(""), None);
        assert_eq!(kind("noetl_worker_ready 1\nnoetl_up 1\n"), Some("worker_pool"));
        assert_eq!(kind("noetl_events_ingested_total 1\n"), Some("server_api"));
        assert_eq!(kind("noetl_gateway_build_info 1\n"), Some("gateway"));
        assert_eq!(kind("ehdb_feed_total_lag 1\n"), Some("broker"));
        assert_eq!(kind("my_jobs 1\n"), Some("application"));
    }

    #[test]
    fn what_was_said_wins_over_the_process_and_that_over_the_address() {
        let spec = |text| TargetSpec::parse(text).unwrap();
        let told = Told { worker_id: Some("w-7".into()), pool_name: None };
        let pool_of = |name: &str| (name == "w-7").then(|| "cpu".to_owned());
        let worker = identify(&spec("h:9090"), WORKER, &told, pool_of);
        assert_eq!((worker.name.as_str(), worker.pool.as_deref()), ("w-7", Some("cpu")));
        let given = identify(&spec("h:9090;name=x;pool=y"), WORKER, &told, pool_of);
        assert_eq!((given.name.as_str(), given.pool.as_deref()), ("x", Some("y")));
        let unknown = identify(&spec("h:9090"), WORKER, &Told::default(), pool_of);
        assert_eq!((unknown.name.as_str(), unknown.pool), ("h:9090", None));
        assert_eq!(identify(&spec("h:8082"), SERVER, &told, pool_of).name, "h:8082");
    }
}
