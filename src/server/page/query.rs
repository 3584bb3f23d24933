//! What a page's address asks for: filters and paging, parsed from a query string and written back
//! into one.
//!
//! Contract: unknown keys are ignored, a known key with a value that makes no sense is a
//! [`QueryError`] that says what would; what is left out has its default, and a query at its
//! defaults is written as the empty string. Texts are cut at 256 characters.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::Serialize;

use super::pairs::{Pairs, QueryError, Writer};

/// Which components are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Show {
    /// All of them.
    #[default]
    All,
    /// Those that are not up.
    Unhealthy,
    /// Those that are up.
    Up,
    /// Those that are silent.
    Silent,
    /// Those that are offline.
    Offline,
}

impl Show {
    /// All choices with their words, in the order offered.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::All, "all"),
        (Self::Unhealthy, "unhealthy"),
        (Self::Up, "up"),
        (Self::Silent, "silent"),
        (Self::Offline, "offline"),
    ];
}

impl Display for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL[*self as usize].1)
    }
}

impl FromStr for Show {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|(_, word)| *word == s).map(|(show, _)| show).ok_or(())
    }
}

/// How far back a chart goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Range {
    /// One hour.
    #[default]
    #[serde(rename = "1h")]
    Hour,
    /// Six hours.
    #[serde(rename = "6h")]
    SixHours,
    /// A day.
    #[serde(rename = "24h")]
    Day,
    /// A week.
    #[serde(rename = "7d")]
    Week,
}

impl Range {
    /// All choices: range, word in a query, seconds.
    pub const ALL: [(Self, &'static str, u64); 4] = [
        (Self::Hour, "1h", 3600),
        (Self::SixHours, "6h", 6 * 3600),
        (Self::Day, "24h", 24 * 3600),
        (Self::Week, "7d", 7 * 24 * 3600),
    ];

    /// Length in seconds.
    pub const fn seconds(self) -> u64 {
        Self::ALL[self as usize].2
    }
}

impl Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL[*self as usize].1)
    }
}

impl FromStr for Range {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|(_, word, _)| *word == s).map(|(range, ..)| range).ok_or(())
    }
}

/// Filter of the list of components.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComponentsQuery {
    /// Words that name, kind or id must hold.
    pub q: String,
    /// Which components are shown.
    pub show: Show,
    /// Page, from 1.
    pub page: u32,
}

/// Filter of a component's series, and the series that is charted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeriesQuery {
    /// Words that metric name or labels must hold.
    pub q: String,
    /// Page, from 1.
    pub page: u32,
    /// Series that is charted.
    pub series: Option<u64>,
    /// How far back the chart goes.
    pub range: Range,
}

/// Search of the metrics explorer, and the metric that is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplorerQuery {
    /// Words that name or help text must hold.
    pub q: String,
    /// Page, from 1.
    pub page: u32,
    /// Metric that is looked at.
    pub name: Option<String>,
}

impl Default for ComponentsQuery {
    fn default() -> Self {
        Self { q: String::new(), show: Show::All, page: 1 }
    }
}

impl Default for SeriesQuery {
    fn default() -> Self {
        Self { q: String::new(), page: 1, series: None, range: Range::Hour }
    }
}

impl Default for ExplorerQuery {
    fn default() -> Self {
        Self { q: String::new(), page: 1, name: None }
    }
}

impl ComponentsQuery {
    /// Reads a query string.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        let pairs = Pairs::new(query);
        Ok(Self { q: pairs.text("q"), show: pairs.word("show", SHOW_WORDS)?, page: pairs.page()? })
    }

    /// Writes the query string, with its `?`; empty at the defaults.
    pub fn to_query(&self) -> String {
        Writer::new()
            .add("q", &self.q, &"")
            .add("show", &self.show, &Show::default())
            .add("page", &self.page, &1)
            .finish()
    }

    /// The same filter on another page.
    #[must_use]
    pub fn with_page(&self, page: u32) -> Self {
        Self { page, ..self.clone() }
    }
}

impl SeriesQuery {
    /// Reads a query string.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        let pairs = Pairs::new(query);
        Ok(Self {
            q: pairs.text("q"),
            page: pairs.page()?,
            series: pairs.optional("series", "the number of a series")?,
            range: pairs.word("range", "1h, 6h, 24h or 7d")?,
        })
    }

    /// Writes the query string, with its `?`; empty at the defaults.
    pub fn to_query(&self) -> String {
        let series = self.series.map(|id| id.to_string()).unwrap_or_default();
        Writer::new()
            .add("q", &self.q, &"")
            .add("page", &self.page, &1)
            .add("series", &series, &"")
            .add("range", &self.range, &Range::default())
            .finish()
    }

    /// The same filter on another page.
    #[must_use]
    pub fn with_page(&self, page: u32) -> Self {
        Self { page, ..self.clone() }
    }
}

impl ExplorerQuery {
    /// Reads a query string.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        let pairs = Pairs::new(query);
        let name = Some(pairs.text("name")).filter(|name| !name.is_empty());
        Ok(Self { q: pairs.text("q"), page: pairs.page()?, name })
    }

    /// Writes the query string, with its `?`; empty at the defaults.
    pub fn to_query(&self) -> String {
        Writer::new()
            .add("q", &self.q, &"")
            .add("page", &self.page, &1)
            .add("name", &self.name.as_deref().unwrap_or_default(), &"")
            .finish()
    }

    /// The same search on another page.
    #[must_use]
    pub fn with_page(&self, page: u32) -> Self {
        Self { page, ..self.clone() }
    }
}

const SHOW_WORDS: &str = "all, unhealthy, up, silent or offline";

#[cfg(test)]
mod tests {
    use super::super::pairs::MAX_TEXT;
    use super::*;

    #[test]
    fn what_is_written_reads_back_the_same() {
        let query = SeriesQuery { q: "a&b=ü %".into(), page: 3, series: Some(u64::MAX), range: Range::Week };
        let written = query.to_query();
        assert_eq!(SeriesQuery::parse(written.trim_start_matches('?')), Ok(query));
        for (show, _) in Show::ALL {
            let query = ComponentsQuery { show, ..ComponentsQuery::default() };
            assert_eq!(ComponentsQuery::parse(query.to_query().trim_start_matches('?')), Ok(query));
        }
    }

    #[test]
    fn defaults_are_the_empty_query_and_unknown_keys_are_ignored() {
        assert_eq!(ComponentsQuery::default().to_query(), "");
        assert_eq!(ExplorerQuery::parse("utm=x&q=&page=").unwrap(), ExplorerQuery::default());
    }

    #[test]
    fn a_bad_value_says_what_would_be_good() {
        let error = ComponentsQuery::parse("show=broken").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`show` cannot be `broken`: it takes all, unhealthy, up, silent or offline"
        );
        for query in ["page=0", "page=-1", "page=x", "page=99999999999", "series=-1", "range=2h"] {
            assert!(SeriesQuery::parse(query).is_err(), "{query}");
        }
    }

    #[test]
    fn texts_are_cut_at_a_character() {
        let query = format!("q={}", "ü".repeat(300));
        assert_eq!(ExplorerQuery::parse(&query).unwrap().q.chars().count(), MAX_TEXT);
        let blank_at_the_cut = format!("q={}++x", "a".repeat(MAX_TEXT - 1));
        assert_eq!(ExplorerQuery::parse(&blank_at_the_cut).unwrap().q, "a".repeat(MAX_TEXT - 1));
    }
}
