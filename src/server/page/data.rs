//! What the pages show: plain owned data, filled by the server, rendered by the page modules and
//! serialised as it is for the JSON twin of each page.
//!
//! Contract: no I/O and no formatting here. Times are milliseconds since the Unix epoch, and each
//! page carries the `now_ms` against which its ages are reckoned. `None` means "not known" and is
//! shown as such, never as a zero. Values that JSON has no number for are the strings `NaN`,
//! `+Inf` and `-Inf`; a point of a series that is not finite is `null`, a gap.

mod component;
mod components;
mod explorer;
mod overview;
mod secret;
mod status;

use serde::{Serialize, Serializer};

pub use component::{Chart, ComponentPage, Exemplar, Fact, Label, RejectionCount, SeriesRow};
pub use components::{ComponentList, ComponentRow, ComponentStatus, Rejection};
pub use explorer::{Explorer, LabelRow, MetricDetail, MetricReporter, MetricRow};
pub use overview::{ComponentCounts, Endpoint, Host, HostCard, HostReading, Overview, RetentionRun};
pub use secret::mask;
pub use status::{
    Build, Flag, FlagSource, ForwardedTo, Limit, Migration, Partition, Partitions, Retention, ScrapeTarget,
    Status, TableSize,
};

/// One point of a series: milliseconds since the epoch, value. Points are in order of time; a value
/// that is not finite is a gap.
pub type Point = (i64, f64);

/// What the frame around every page shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Shell {
    /// Version of the program, `0.1.0`.
    pub version: String,
    /// The server's own component name.
    pub instance: String,
    /// Seconds since the server started.
    pub uptime_seconds: u64,
    /// Time of rendering.
    pub now_ms: i64,
    /// What is wrong with the server itself at the moment, a sentence each: shown on every page.
    pub notices: Vec<String>,
}

/// Rows of one page out of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Paging {
    /// The page shown, from 1.
    pub page: u32,
    /// Number of pages, at least 1.
    pub pages: u32,
    /// Rows that match the filter, on all pages.
    pub matched: u64,
    /// Rows before any filter.
    pub total: u64,
}

/// Rows on one page of a table.
pub const PAGE_ROWS: usize = 200;

/// Keeps the rows that match, then those of one page. A page past the end becomes the last one.
pub fn paginate<T>(rows: Vec<T>, page: u32, keep: impl Fn(&T) -> bool) -> (Vec<T>, Paging) {
    let total = rows.len() as u64;
    let mut kept: Vec<T> = rows.into_iter().filter(|row| keep(row)).collect();
    let matched = kept.len();
    let pages = matched.div_ceil(PAGE_ROWS).max(1);
    let page = usize::try_from(page).unwrap_or(pages).clamp(1, pages);
    kept.drain(..(page - 1) * PAGE_ROWS);
    kept.truncate(PAGE_ROWS);
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (kept, Paging { page: narrow(page), pages: narrow(pages), matched: matched as u64, total })
}

/// Case-insensitive search: every word of `query` must occur in one of the `texts`.
pub fn matches_words(query: &str, texts: &[&str]) -> bool {
    query.split_whitespace().all(|word| {
        let word = word.to_lowercase();
        texts.iter().any(|text| text.to_lowercase().contains(&word))
    })
}

/// Serialises a value for JSON: a number, or the contract's string where JSON has no number for it.
#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands over a reference
fn json_value<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match *value {
        v if v.is_finite() => serializer.serialize_f64(v),
        v if v.is_nan() => serializer.serialize_str("NaN"),
        v if v > 0.0 => serializer.serialize_str("+Inf"),
        _ => serializer.serialize_str("-Inf"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_two_hundred_rows_and_the_last_page_what_is_left() {
        let (rows, paging) = paginate((0..450).collect(), 3, |_| true);
        assert_eq!(rows, (400..450).collect::<Vec<_>>());
        assert_eq!(paging, Paging { page: 3, pages: 3, matched: 450, total: 450 });
    }

    #[test]
    fn a_page_past_the_end_is_the_last_page() {
        let (rows, paging) = paginate((0..250).collect(), 99, |n| n % 2 == 0);
        assert_eq!((rows.len(), paging.page, paging.pages, paging.matched), (125, 1, 1, 125));
    }

    #[test]
    fn no_rows_are_one_empty_page() {
        let (rows, paging) = paginate(Vec::<u8>::new(), 1, |_| true);
        assert!(rows.is_empty());
        assert_eq!(paging, Paging { page: 1, pages: 1, matched: 0, total: 0 });
    }

    #[test]
    fn every_word_must_occur_somewhere() {
        let texts = ["noetl_cpu_seconds_total", "idle"];
        assert!(matches_words("CPU idle", &texts));
        assert!(matches_words("", &texts));
        assert!(!matches_words("cpu user", &texts));
    }

    #[test]
    fn values_without_a_json_number_are_strings() {
        #[derive(Serialize)]
        struct One(#[serde(serialize_with = "json_value")] f64);
        let json = |v| serde_json::to_string(&One(v)).unwrap();
        assert_eq!(
            [json(1.5), json(f64::NAN), json(f64::INFINITY), json(f64::NEG_INFINITY)],
            ["1.5", "\"NaN\"", "\"+Inf\"", "\"-Inf\""]
        );
    }
}
