//! The columns of the list: their titles, what stands in them, and how rows are ordered by them.

use std::cmp::Ordering;

use clap::ValueEnum;

use super::short::{self, UNKNOWN};
use super::snapshot::Component;

/// A column of the list of components.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Column {
    /// Name.
    Name,
    /// Kind of component.
    Type,
    /// What needs attention first: silent, up, offline.
    #[default]
    Status,
    /// Time since it was last heard.
    Heard,
    /// CPU, percent.
    Cpu,
    /// Memory, bytes.
    Memory,
    /// Tasks that run.
    Tasks,
    /// What waits.
    Queue,
    /// Series.
    Series,
    /// Samples a second.
    Samples,
}

impl Column {
    /// All of them, in the order shown.
    pub(super) const ALL: [Self; 10] = [
        Self::Name,
        Self::Type,
        Self::Status,
        Self::Heard,
        Self::Cpu,
        Self::Memory,
        Self::Tasks,
        Self::Queue,
        Self::Series,
        Self::Samples,
    ];

    /// What stands above it.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Name => "NAME",
            Self::Type => "TYPE",
            Self::Status => "STATUS",
            Self::Heard => "HEARD",
            Self::Cpu => "CPU%",
            Self::Memory => "MEM",
            Self::Tasks => "TASKS",
            Self::Queue => "QUEUE",
            Self::Series => "SERIES",
            Self::Samples => "SAMP/S",
        }
    }

    /// Whether words stand in it, and not numbers.
    pub(super) const fn is_text(self) -> bool {
        matches!(self, Self::Name | Self::Type | Self::Status)
    }

    /// The next one, the first after the last.
    pub(super) fn next(self) -> Self {
        let at = Self::ALL.iter().position(|column| *column == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }

    /// What stands in it.
    pub(super) fn cell(self, component: &Component) -> String {
        let shown = |value: Option<f64>, how: fn(f64) -> String| value.map_or(UNKNOWN.into(), how);
        match self {
            Self::Name => component.name.clone(),
            Self::Type => component.kind.clone(),
            Self::Status => component.status.clone(),
            Self::Heard => component.heard().map_or(UNKNOWN.into(), short::age),
            Self::Cpu => shown(component.cpu_percent, short::percent),
            Self::Memory => shown(component.memory_bytes, short::bytes),
            Self::Tasks => shown(component.active_tasks, short::count),
            Self::Queue => shown(component.queue_size, short::count),
            Self::Series => short::count(component.series as f64),
            Self::Samples => shown(component.samples_per_second, short::count),
        }
    }

    /// The order of two components: words from A to Z, numbers from the greatest, what is not known
    /// last, also where the order is reversed.
    pub(super) fn order(self, a: &Component, b: &Component, reversed: bool) -> Ordering {
        let turned = |order: Ordering| if reversed { order.reverse() } else { order };
        let by_name = || (a.name.to_lowercase(), a.runtime_id).cmp(&(b.name.to_lowercase(), b.runtime_id));
        let first = match self {
            Self::Name => return turned(by_name()),
            Self::Type => turned(a.kind.cmp(&b.kind)),
            Self::Status => turned(rank(a).cmp(&rank(b))),
            _ => match (self.number(a), self.number(b)) {
                (Some(a), Some(b)) => turned(b.total_cmp(&a)),
                (a, b) => b.is_some().cmp(&a.is_some()),
            },
        };
        first.then_with(by_name)
    }

    fn number(self, component: &Component) -> Option<f64> {
        match self {
            Self::Heard => component.heard().map(|seconds| seconds as f64),
            Self::Cpu => component.cpu_percent,
            Self::Memory => component.memory_bytes,
            Self::Tasks => component.active_tasks,
            Self::Queue => component.queue_size,
            Self::Series => Some(component.series as f64),
            Self::Samples => component.samples_per_second,
            Self::Name | Self::Type | Self::Status => None,
        }
    }
}

/// What needs attention comes first, what left on purpose last.
fn rank(component: &Component) -> u8 {
    match component.status.as_str() {
        "silent" => 0,
        "up" => 1,
        "offline" => 3,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(name: &str, status: &str, cpu: Option<f64>) -> Component {
        Component { name: name.into(), status: status.into(), cpu_percent: cpu, ..Component::default() }
    }

    fn sorted(by: Column, reversed: bool) -> Vec<String> {
        let mut all = [
            component("b", "up", Some(1.0)),
            component("A", "up", None),
            component("c", "silent", Some(7.5)),
            component("d", "offline", Some(3.0)),
        ];
        all.sort_by(|a, b| by.order(a, b, reversed));
        all.map(|c| c.name).to_vec()
    }

    #[test]
    fn rows_are_ordered_and_what_is_not_known_comes_last() {
        assert_eq!(sorted(Column::Name, false), ["A", "b", "c", "d"]);
        assert_eq!(sorted(Column::Name, true), ["d", "c", "b", "A"]);
        assert_eq!(sorted(Column::Status, false), ["c", "A", "b", "d"]);
        assert_eq!(sorted(Column::Cpu, false), ["c", "d", "b", "A"]);
        assert_eq!(sorted(Column::Cpu, true), ["b", "d", "c", "A"]);
    }

    #[test]
    fn all_columns_follow_each_other() {
        let mut column = Column::default();
        for _ in Column::ALL {
            column = column.next();
        }
        assert_eq!(column, Column::default());
    }

    #[test]
    fn what_is_not_known_is_no_zero() {
        let quiet = component("w", "up", None);
        let cells = Column::ALL.map(|column| column.cell(&quiet));
        assert_eq!(cells, ["w", "", "up", "-", "-", "-", "-", "-", "0", "-"]);
    }
}
