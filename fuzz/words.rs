//! Texts of a request or a command line: what is read of one is written so that it is read again.
#![allow(clippy::panic, reason = "a check fails by a panic")]

use http::{HeaderMap, Method};

use super::super::request::Request;
use super::{LIMIT, exemplars, page, read, token};
use crate::cli::values::{base_url, bytes, duration};
use crate::live::{Format, Selector};
use crate::model::{Label, Millis, export_line, is_label_name, labels_of_line, parse_timestamp};
use crate::server::page::{ComponentsQuery, ExplorerQuery, SeriesQuery};
use crate::server::{ServiceAccounts, TraceUrl};
use crate::store::{ExemplarQuery, Query};
use crate::wire::encoding::Encoding;
use crate::wire::remote_write::Message;

/// Each text is given to all that read one.
pub(crate) fn words(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    durations_and_sizes(text);
    headers(text);
    selectors(text);
    if let Ok(place) = page(text) {
        assert_eq!(page(&token(place)).ok(), Some(place), "{text}");
    }
    pages(text);
    query(text);
}

fn durations_and_sizes(text: &str) {
    if let Ok(span) = duration(text) {
        assert!(!span.is_zero());
        assert_eq!(duration(&humantime::format_duration(span).to_string()), Ok(span), "{text}");
    }
    if let Ok(size) = bytes(text) {
        assert!(size > 0);
        assert_eq!(bytes(&size.to_string()), Ok(size), "{text}");
    }
    if let Ok(at) = parse_timestamp(text) {
        assert!((0..=Millis::MAX.0).contains(&at.0));
        assert_eq!(parse_timestamp(&at.rfc3339()), Ok(at), "{text}");
    }
    if let Ok(url) = base_url(text) {
        assert!(url.len() <= text.len() && !url.ends_with('/'));
        assert_eq!(base_url(&url).as_ref(), Ok(&url), "{text}");
    }
    if let Ok(url) = text.parse::<TraceUrl>() {
        // Whatever id a trace says it has, it stays in its place.
        let [plain, odd] = ["0", "/?#&@\" <é"].map(|id| url.of(id).parse::<http::Uri>());
        let (plain, odd) = (plain.expect("a link"), odd.expect("a link"));
        assert!(plain.scheme_str().is_some_and(|scheme| scheme.starts_with("http")), "{text}");
        assert_eq!((odd.scheme(), odd.authority()), (plain.scheme(), plain.authority()), "{text}");
        assert_eq!(odd.path().split('/').count(), plain.path().split('/').count(), "{text}");
    }
    let _ = text.parse::<ServiceAccounts>();
}

fn headers(text: &str) {
    if let Ok(encoding) = Encoding::parse(text) {
        assert_eq!(Encoding::parse(encoding.name().unwrap_or_default()), Ok(encoding));
    }
    let accepted = Encoding::accepted(text);
    assert!(accepted == Encoding::Identity || text.contains(['g', 'z', '*']), "{text}");
    let open_metrics = Format::negotiate(text) == Format::OpenMetrics;
    assert!(!open_metrics || text.contains("application/openmetrics-text"), "{text}");
    let second = Message::of_content_type(text) == Some(Message::V2);
    assert!(!second || text.contains("io.prometheus.write.v2.Request"), "{text}");
}

/// The text is a selector, and then the value of a label that one selects by.
fn selectors(text: &str) {
    let labels: [Label<'_>; 1] = [("a".into(), text.into())];
    let mut line = Vec::new();
    export_line(&mut line, "up", "w", "k", &labels);
    if !text.is_empty() {
        let found = labels_of_line(&line);
        assert_eq!(found.last().map(|(name, value)| (name.as_str(), value.as_str())), Some(("a", text)));
    }
    if let Ok(selector) = Selector::parse(text) {
        selector.selects(&line);
        selector.selects(b"up ");
    }
    let value = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    if value.len() > 4000 {
        return;
    }
    let of_label = format!("up{{a=\"{value}\"}}");
    let selector = Selector::parse(&of_label).unwrap_or_else(|error| panic!("{of_label}: {error}"));
    assert!(selector.selects(&line), "{of_label}");
    let mut other = Vec::new();
    export_line(&mut other, "up", "w", "k", &[("a".into(), format!("{text}x").into())]);
    assert!(!selector.selects(&other), "{of_label}");
}

/// The addresses of the pages.
fn pages(text: &str) {
    macro_rules! comes_back {
        ($query:ty) => {
            if let Ok(query) = <$query>::parse(text) {
                let written = query.to_query();
                assert_eq!(<$query>::parse(written.trim_start_matches('?')), Ok(query), "{text}");
            }
        };
    }
    comes_back!(ComponentsQuery);
    comes_back!(SeriesQuery);
    comes_back!(ExplorerQuery);
}

/// The parameters of a query.
fn query(text: &str) {
    let none = futures_util::stream::empty::<Result<bytes::Bytes, warp::Error>>();
    let request = Request::new(Method::GET, "/api/metrics/query".into(), text, HeaderMap::new(), none);
    if let Ok(ExemplarQuery { of, trace_id, execution_id, after }) = exemplars::read(&request) {
        assert!((1..=LIMIT.1).contains(&of.limit) && of.step.is_none() && of.after.is_none());
        assert!(after.is_none_or(|(at, id)| at.0 >= 0 && id >= 0));
        assert!([trace_id, execution_id].into_iter().flatten().all(|id| !id.contains('\0')));
    }
    let Ok(Query { labels, start, end, limit, after, step, component_name, metric_name, .. }) =
        read(&request)
    else {
        return;
    };
    assert!((1..=LIMIT.1).contains(&limit));
    for at in [start, end].into_iter().flatten() {
        assert!((0..=Millis::MAX.0).contains(&at.0));
    }
    assert!(end.is_none() || start <= end, "{text}");
    assert!(after.is_none_or(|page| page.series >= 0 && page.at.0 >= 0));
    assert!(step.is_none_or(|(ms, _)| (1000..=366 * 86_400_000).contains(&ms)));
    assert!([component_name, metric_name].into_iter().flatten().all(|name| !name.contains('\0')));
    for (place, (name, value)) in labels.iter().enumerate() {
        assert!(is_label_name(name) && !value.contains('\0'));
        assert!(labels[..place].iter().all(|(other, _)| other != name), "{text}");
    }
}
