//! Which families of a target are reported: names, and patterns with `*`.

/// What is kept unless told otherwise: what answers how a NoETL is doing. Left out are families
/// of its own materializers and state builders, hundreds of series of each worker.
const DEFAULT: &[&str] = &[
    // The guide's own names, should a NoETL have them.
    "noetl_system_*",
    "noetl_process_*",
    "noetl_uptime_seconds",
    "noetl_up",
    "noetl_info",
    "noetl_request_total",
    // Workers.
    "noetl_worker_active_tasks",
    "noetl_worker_queue_size",
    "noetl_worker_max_workers",
    "noetl_worker_up",
    "noetl_worker_build_info",
    "noetl_worker_ready",
    "noetl_worker_concurrent_dispatches",
    "noetl_worker_pull*",
    "noetl_worker_dispatch_*",
    "noetl_worker_event_emit_*",
    "noetl_worker_claim_*",
    "noetl_worker_command_pickup_phase_seconds",
    "noetl_worker_nats_consumer_*",
    "noetl_worker_plugin_warm_total",
    "noetl_worker_state_builder_healthy",
    "noetl_worker_*_errors_total",
    // Servers.
    "noetl_server_*",
    "noetl_events_ingested_total",
    "noetl_event_ingest_*",
    "noetl_event_hotpath_reads_total",
    "noetl_write_request*",
    "noetl_execute_*",
    "noetl_command_publish_total",
    "noetl_ehdb_command_publish_failed_total",
    "noetl_orchestrate_drive_total",
    "noetl_orphan_sweep_total",
    "noetl_nonconvergence_sweep_total",
    "noetl_cleanup_rows_purged_total",
    "noetl_batch_*",
    "noetl_gateway_*",
    // The command bus.
    "ehdb_feed_*",
];
/// The word that stands for all of the above.
const DEFAULT_WORD: &str = "default";

/// Families that are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep(Vec<String>);

impl Default for Keep {
    fn default() -> Self {
        Self(DEFAULT.iter().map(ToString::to_string).collect())
    }
}

impl Keep {
    /// Reads patterns: names of families, `*` for any part of one, `default` for what is kept
    /// unless told otherwise. No pattern at all is `default`.
    ///
    /// # Errors
    /// A sentence that names the pattern that is none.
    pub fn parse<T: AsRef<str>>(patterns: &[T]) -> Result<Self, String> {
        let mut kept = Vec::new();
        for pattern in patterns.iter().map(|pattern| pattern.as_ref().trim()).filter(|p| !p.is_empty()) {
            if pattern == DEFAULT_WORD {
                kept.extend(Self::default().0);
            } else if pattern.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'*')) {
                kept.push(pattern.to_owned());
            } else {
                return Err(format!("{pattern:?} is neither a family's name nor a pattern such as noetl_*"));
            }
        }
        Ok(if kept.is_empty() { Self::default() } else { Self(kept) })
    }

    /// Whether a family is kept.
    pub(super) fn keeps(&self, family: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, family))
    }
}

/// Whether `*` can stand for parts of `name` so that `pattern` is it.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    let mut parts: Vec<_> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    // The first place for each part leaves the most room for those that follow.
    for part in parts {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_part() {
        for (pattern, name) in [
            ("a", "a"),
            ("*", ""),
            ("*", "abc"),
            ("a*", "a"),
            ("*c", "abc"),
            ("a*c", "abbc"),
            ("a*b*c", "a_b_c"),
            ("a*b*c", "abbc"),
            ("a**c", "ac"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("a*", "b"), ("ab*ba", "aba"), ("a*b*c", "acb"), ("*c", "ca")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn the_default_keeps_what_matters_and_leaves_out_the_insides() {
        let keep = Keep::default();
        assert!(keep.keeps("noetl_worker_dispatch_duration_seconds"));
        assert!(keep.keeps("noetl_worker_concurrent_dispatches"));
        assert!(keep.keeps("noetl_worker_state_materializer_errors_total"));
        assert!(!keep.keeps("noetl_worker_state_materializer_cycle_duration_seconds"));
        assert!(!keep.keeps("go_goroutines"));
    }

    #[test]
    fn patterns_replace_the_default_or_add_to_it() {
        let keep = |patterns: &[&str]| Keep::parse(patterns);
        assert_eq!(keep(&[]).unwrap(), Keep::default());
        assert_eq!(keep(&["", " "]).unwrap(), Keep::default());
        let only = keep(&["process_*"]).unwrap();
        assert!(only.keeps("process_cpu") && !only.keeps("noetl_up"));
        let more = keep(&["default", "process_*"]).unwrap();
        assert!(more.keeps("process_cpu") && more.keeps("noetl_up"));
        assert!(keep(&["a-b"]).unwrap_err().contains("a-b"));
    }
}
