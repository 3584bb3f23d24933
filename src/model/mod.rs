//! Values and their rules: components, series, labels, metric names, limits. No I/O, no async.

mod allowance;
mod component;
mod exemplar;
mod labels;
mod limits;
mod names;
mod orders;
mod reading;
mod selector;
mod series;
mod time;

pub use allowance::{Allowance, KEPT_SECONDS};
pub use component::{AGGREGATES, Arrivals, Component, ComponentKind, RuntimeId, is_component_kind};
pub use exemplar::{EXECUTION_ID, EXEMPLAR_CHARS, Exemplar, TRACE_ID, chars_of, check_exemplar};
pub use labels::{
    Label, LabelError, can_be, check_labels, export_line, labels_of_line, write_bound, write_label,
};
pub use limits::Limits;
pub use names::{COMPONENT_UP, Family, REPORT_AGE, family_of, is_label_name, is_metric_name, is_reserved};
pub use orders::Orders;
pub use reading::{MetricType, Reading, STALE, is_stale};
pub(crate) use selector::selector;
pub use series::{Newest, Point, Series, SeriesId, SeriesKey, SeriesText, Written};
pub use time::{Millis, Steady, TimeError, parse_timestamp};
