//! The data of the list of components, and its filter.

use serde::Serialize;

use super::{Paging, matches_words, paginate};
use crate::server::page::query::{ComponentsQuery, Show};

/// Components that match a filter.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ComponentList {
    /// Time against which ages are reckoned.
    pub now_ms: i64,
    /// The filter that was asked for.
    pub query: ComponentsQuery,
    /// Which part of the rows this is.
    #[serde(flatten)]
    pub paging: Paging,
    /// The rows: what needs attention first, then by name.
    pub rows: Vec<ComponentRow>,
}

impl ComponentList {
    /// Filters, sorts and pages `all` components.
    pub fn select(mut all: Vec<ComponentRow>, query: ComponentsQuery, now_ms: i64) -> Self {
        all.sort_by(|a, b| {
            let rank = |row: &ComponentRow| (row.status.rank(), row.name.to_lowercase(), row.runtime_id);
            rank(a).cmp(&rank(b))
        });
        let (rows, paging) = paginate(all, query.page, |row| row.matches(&query));
        Self { now_ms, query, paging, rows }
    }
}

/// One component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ComponentRow {
    /// Its id in `noetl.runtime`.
    pub runtime_id: i64,
    /// Its name.
    pub name: String,
    /// Its kind: `worker_pool`, `server_api`, `node_agent`.
    pub kind: String,
    /// How it is.
    pub status: ComponentStatus,
    /// Newest heartbeat; `None` where it never sent one.
    pub last_heartbeat_ms: Option<i64>,
    /// Newest report; `None` where it never sent one.
    pub last_report_ms: Option<i64>,
    /// Live series.
    pub series: u64,
    /// Samples of it that were refused since the server started.
    pub rejected_samples: u64,
    /// The newest refusal.
    pub last_rejection: Option<Rejection>,
}

impl ComponentRow {
    fn matches(&self, query: &ComponentsQuery) -> bool {
        let shown = match query.show {
            Show::All => true,
            Show::Unhealthy => self.status != ComponentStatus::Up,
            Show::Up => self.status == ComponentStatus::Up,
            Show::Silent => self.status == ComponentStatus::Silent,
            Show::Offline => self.status == ComponentStatus::Offline,
        };
        let id = self.runtime_id.to_string();
        shown && matches_words(&query.q, &[&self.name, &self.kind, &id])
    }
}

/// How a component is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ComponentStatus {
    /// Heartbeat and reports are recent.
    #[default]
    Up,
    /// Registered, but silent for longer than `--stale-after`; its series are no longer exported.
    Silent,
    /// Deregistered.
    Offline,
}

impl ComponentStatus {
    /// The word shown, also the word in a query.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Silent => "silent",
            Self::Offline => "offline",
        }
    }

    /// What needs attention comes first; what left on purpose comes last.
    const fn rank(self) -> u8 {
        match self {
            Self::Silent => 0,
            Self::Up => 1,
            Self::Offline => 2,
        }
    }
}

/// A sample that was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// Why, in the words of the reply the sender got.
    pub reason: String,
    /// When.
    pub at_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, status: ComponentStatus) -> ComponentRow {
        ComponentRow { name: name.into(), kind: "worker_pool".into(), status, ..ComponentRow::default() }
    }

    fn names(query: ComponentsQuery) -> Vec<String> {
        let all = vec![
            row("zeta", ComponentStatus::Up),
            row("gone", ComponentStatus::Offline),
            row("Alpha", ComponentStatus::Up),
            row("quiet", ComponentStatus::Silent),
        ];
        ComponentList::select(all, query, 0).rows.into_iter().map(|row| row.name).collect()
    }

    #[test]
    fn silent_components_come_first_and_offline_ones_last() {
        assert_eq!(names(ComponentsQuery::default()), ["quiet", "Alpha", "zeta", "gone"]);
    }

    #[test]
    fn unhealthy_is_everything_that_is_not_up() {
        let query = ComponentsQuery { show: Show::Unhealthy, ..ComponentsQuery::default() };
        assert_eq!(names(query), ["quiet", "gone"]);
    }

    #[test]
    fn text_and_status_are_combined() {
        let query = ComponentsQuery { q: "ALPH worker".into(), show: Show::Up, page: 1 };
        assert_eq!(names(query), ["Alpha"]);
    }
}
