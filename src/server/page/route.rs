//! From an address to the page it asks for.
//!
//! Contract: pure. A path that is not a page's is `None`; a page's path with a query that makes no
//! sense is an error for a 400.

use super::pairs::{Pairs, QueryError};
use super::query::{ComponentsQuery, ExplorerQuery, SeriesQuery};

/// A page that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// `/`
    Overview,
    /// `/components`
    Components(ComponentsQuery),
    /// `/components/{runtime_id}`
    Component {
        /// Id of the component.
        runtime_id: i64,
        /// What of it.
        query: SeriesQuery,
    },
    /// `/metrics-explorer`
    Explorer(ExplorerQuery),
    /// `/status`
    Status,
    /// `/assets/{file}`: to be answered by [`assets::respond`](super::assets::respond).
    Asset {
        /// File name with its hash.
        file: String,
    },
}

/// The form a page is asked for in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The whole page.
    #[default]
    Html,
    /// The part of it that changes, for htmx.
    Fragment,
    /// The data.
    Json,
}

impl std::str::FromStr for Format {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        match s {
            "html" => Ok(Self::Html),
            "fragment" => Ok(Self::Fragment),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

/// The page that `path` and `query` (without its `?`) ask for.
pub fn route(path: &str, query: &str) -> Option<Result<Page, QueryError>> {
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    Some(match path {
        "/" => Ok(Page::Overview),
        "/components" => ComponentsQuery::parse(query).map(Page::Components),
        "/metrics-explorer" => ExplorerQuery::parse(query).map(Page::Explorer),
        "/status" => Ok(Page::Status),
        _ => {
            if let Some(file) = path.strip_prefix("/assets/") {
                Ok(Page::Asset { file: file.into() })
            } else {
                let runtime_id = path.strip_prefix("/components/")?.parse().ok()?;
                SeriesQuery::parse(query).map(|query| Page::Component { runtime_id, query })
            }
        }
    })
}

/// The form asked for: `?format=` decides, then htmx's header `hx-request-type: partial`, then
/// `Accept`.
pub fn format(query: &str, accept: Option<&str>, partial: bool) -> Result<Format, QueryError> {
    let explicit = Pairs::new(query).optional("format", "html, json or fragment")?;
    Ok(explicit.unwrap_or_else(|| match accept {
        _ if partial => Format::Fragment,
        Some(accept) if prefers_json(accept) => Format::Json,
        _ => Format::Html,
    }))
}

/// Whether an `Accept` header ranks JSON above HTML. Where it ranks them alike, as `*/*` does, HTML
/// is meant.
fn prefers_json(accept: &str) -> bool {
    quality(accept, "application/json") > quality(accept, "text/html")
}

/// Quality from 0 to 1 that an `Accept` header gives a media type, by its most specific range.
fn quality(accept: &str, media_type: &str) -> f32 {
    let family = media_type.split('/').next().unwrap_or_default();
    let mut best = (0, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let specific = match name.split_once('/') {
            _ if name.eq_ignore_ascii_case(media_type) => 3,
            Some((f, "*")) if f.eq_ignore_ascii_case(family) => 2,
            Some(("*", "*")) => 1,
            _ => 0,
        };
        if specific > best.0 {
            let q = parts.find_map(|p| p.strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0);
            best = (specific, q);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::super::query::{Range, Show};
    use super::*;

    #[test]
    fn every_page_has_its_path() {
        assert_eq!(route("/", ""), Some(Ok(Page::Overview)));
        assert_eq!(route("/status/", ""), Some(Ok(Page::Status)));
        assert_eq!(
            route("/components", "q=worker+cpu&show=unhealthy&page=2"),
            Some(Ok(Page::Components(ComponentsQuery {
                q: "worker cpu".into(),
                show: Show::Unhealthy,
                page: 2
            })))
        );
        assert_eq!(
            route("/components/9007199254740993", "series=7&range=6h"),
            Some(Ok(Page::Component {
                runtime_id: 9_007_199_254_740_993,
                query: SeriesQuery { series: Some(7), range: Range::SixHours, ..SeriesQuery::default() }
            }))
        );
        assert_eq!(
            route("/metrics-explorer", "name=up"),
            Some(Ok(Page::Explorer(ExplorerQuery { name: Some("up".into()), ..ExplorerQuery::default() })))
        );
        assert_eq!(route("/assets/page-1.css", ""), Some(Ok(Page::Asset { file: "page-1.css".into() })));
    }

    #[test]
    fn other_paths_are_not_pages() {
        for path in
            ["", "/api/metrics/query", "/component", "/components/x", "/components/1/2", "//", "/metrics"]
        {
            assert_eq!(route(path, ""), None, "{path}");
        }
    }

    #[test]
    fn a_bad_query_is_an_error_not_another_page() {
        assert!(route("/components", "page=zero").unwrap().is_err());
        assert!(format("format=xml", None, false).is_err());
    }

    #[test]
    fn the_form_follows_query_then_htmx_then_accept() {
        let form = |query, accept, partial| format(query, accept, partial).unwrap();
        assert_eq!(form("format=json", Some("text/html"), true), Format::Json);
        assert_eq!(form("", Some("text/html"), true), Format::Fragment);
        assert_eq!(form("", Some("application/json"), false), Format::Json);
        assert_eq!(form("", Some("application/json, text/html;q=0.5"), false), Format::Json);
        assert_eq!(form("", Some("*/*"), false), Format::Html);
        assert_eq!(form("", None, false), Format::Html);
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert_eq!(form("", Some(browser), false), Format::Html);
    }
}
