//! What holds for every page: it renders whatever the data, escapes it, needs nothing inline, stays
//! small, and has a JSON twin.

mod hostile;

use std::io::Write as _;
use std::path::PathBuf;

use super::assets::{ASSETS, Asset};
use super::data::*;
use super::query::{ComponentsQuery, ExplorerQuery, SeriesQuery};
use super::*;

/// First load of a page, everything counted.
const WEIGHT: usize = 150 * 1024;

/// Every page with an ordinary day's data.
fn ordinary() -> Vec<(&'static str, View)> {
    let charted = SeriesQuery { series: Some(1), ..SeriesQuery::default() };
    let named = ExplorerQuery { name: Some("custom_items".into()), ..ExplorerQuery::default() };
    vec![
        ("index", View::Overview(fixture::overview())),
        ("components", View::Components(fixture::component_list(24, ComponentsQuery::default()))),
        ("component", View::Component(Box::new(fixture::component_page(80, charted)))),
        ("metrics-explorer", View::Explorer(fixture::explorer(60, ExplorerQuery::default()))),
        ("metric", View::Explorer(fixture::explorer(60, named))),
        ("status", View::Status(fixture::status())),
    ]
}

/// Every page without any data.
fn empty() -> Vec<(&'static str, View)> {
    let charted = SeriesQuery { series: Some(1), ..SeriesQuery::default() };
    vec![
        ("index-empty", View::Overview(Overview::default())),
        ("components-empty", View::Components(ComponentList::default())),
        ("component-empty", View::Component(Box::default())),
        (
            "component-gone",
            View::Component(Box::new(ComponentPage { query: charted, ..ComponentPage::default() })),
        ),
        ("explorer-empty", View::Explorer(Explorer::default())),
        ("status-empty", View::Status(Status::default())),
    ]
}

/// Every page with as much as it can hold.
fn large() -> Vec<(&'static str, View)> {
    vec![
        (
            "components-large",
            View::Components(fixture::component_list(5_000, ComponentsQuery::default().with_page(3))),
        ),
        (
            "component-large",
            View::Component(Box::new(fixture::component_page(
                10_000,
                SeriesQuery { series: Some(20), range: Range::Week, ..SeriesQuery::default() },
            ))),
        ),
        ("explorer-large", View::Explorer(fixture::explorer(3_000, ExplorerQuery::default()))),
    ]
}

fn every() -> Vec<(&'static str, View)> {
    [ordinary(), empty(), large()].concat()
}

fn html(view: &View, format: Format) -> String {
    let rendered = respond(view, &fixture::shell(), format);
    assert_eq!((rendered.status, rendered.content_type), (200, "text/html; charset=utf-8"));
    String::from_utf8(rendered.body.to_vec()).unwrap()
}

fn gzip(bytes: &[u8]) -> usize {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(5));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().len()
}

/// The bodies of the assets a page loads.
fn loaded(html: &str) -> Vec<&'static [u8]> {
    let used = ASSETS.all().into_iter().filter(|asset| html.contains(&asset.url));
    used.map(Asset::body).collect()
}

#[test]
fn every_page_renders_and_is_well_framed() {
    for (name, view) in every() {
        let page = html(&view, Format::Html);
        for part in [
            "<!DOCTYPE html>",
            "<html lang=\"en\">",
            "<main id=\"main\"",
            "class=\"skip\"",
            "<div id=\"live\"",
        ] {
            assert_eq!(page.matches(part).count(), 1, "{name}: {part}");
        }
        assert_eq!(page.matches("<h1>").count(), 1, "{name}");
        assert_eq!(page.matches("aria-current=\"page\"").count(), 1, "{name}");
        assert_eq!(page.matches("<table").count(), page.matches("<caption").count(), "{name}");
        assert!(!page.contains("<tbody></tbody>"), "{name}: a table without rows");
        assert!(!page.contains("<th>"), "{name}: a heading without scope");
    }
}

#[test]
fn a_fragment_is_the_part_of_the_page_that_changes() {
    for (name, view) in every() {
        let fragment = html(&view, Format::Fragment);
        assert!(fragment.starts_with("<div id=\"live\""), "{name}");
        assert!(html(&view, Format::Html).contains(&fragment), "{name}");
    }
}

#[test]
fn nothing_is_inline() {
    for (name, view) in every() {
        let page = html(&view, Format::Html).to_lowercase();
        for forbidden in [" style=", "<style", "javascript:", "hx-on", " js:"] {
            assert!(!page.contains(forbidden), "{name}: {forbidden}");
        }
        for tag in page.split('<').skip(1) {
            let tag = tag.split('>').next().unwrap();
            assert!(!tag.starts_with("script") || tag.contains(" src=\"/assets/"), "{name}: {tag}");
            let handler = tag.split_whitespace().skip(1).find(|word| word.starts_with("on"));
            assert!(handler.is_none() || tag.contains("title=\""), "{name}: {tag}");
        }
    }
}

#[test]
fn no_tag_has_an_attribute_twice() {
    for (name, view) in ordinary() {
        let page = html(&view, Format::Html);
        for tag in page.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
            for attribute in [" class=\"", " id=\"", " title=\""] {
                assert!(tag.matches(attribute).count() < 2, "{name}: {tag}");
            }
        }
    }
}

#[test]
fn ids_are_unique() {
    for (name, view) in every() {
        let page = html(&view, Format::Html);
        let mut ids: Vec<&str> =
            page.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "{name}: {ids:?}");
    }
}

#[test]
fn the_first_load_is_light() {
    for (name, view) in every() {
        let page = html(&view, Format::Html);
        let assets = loaded(&page);
        assert!(assets.len() >= 4, "{name}");
        let sent = gzip(page.as_bytes()) + assets.iter().map(|body| gzip(body)).sum::<usize>();
        assert!(sent < WEIGHT, "{name}: {sent} bytes compressed");
    }
    // All but the one with a table of a hundred small drawings stay below the mark even where nothing
    // is compressed.
    for (name, view) in ordinary().into_iter().filter(|(name, _)| *name != "component") {
        let page = html(&view, Format::Html);
        let sent = page.len() + loaded(&page).iter().map(|body| body.len()).sum::<usize>();
        assert!(sent < WEIGHT, "{name}: {sent} bytes");
    }
}

#[test]
fn every_page_has_its_data_as_json() {
    for (name, view) in every() {
        let rendered = respond(&view, &fixture::shell(), Format::Json);
        assert_eq!((rendered.status, rendered.content_type), (200, "application/json"), "{name}");
        let json: serde_json::Value = serde_json::from_slice(&rendered.body).unwrap();
        assert!(json.get("now_ms").is_some(), "{name}");
    }
}

#[test]
fn json_says_what_is_not_a_number() {
    let view = View::Component(Box::new(fixture::component_page(100, SeriesQuery::default())));
    let json: serde_json::Value =
        serde_json::from_slice(&respond(&view, &fixture::shell(), Format::Json).body).unwrap();
    let rows = json["rows"].as_array().unwrap();
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    assert_eq!(row("broken_value")["value"], "NaN");
    assert_eq!(row("broken_value")["points"][0][1], serde_json::Value::Null);
    assert_eq!(row("endless_value")["value"], "+Inf");
    assert_eq!(json["matched"], json["total"]);
}

#[test]
fn secrets_are_on_no_page_and_in_no_json() {
    for (_, view) in ordinary() {
        for format in [Format::Html, Format::Json] {
            let body = respond(&view, &fixture::shell(), format).body;
            assert!(!String::from_utf8(body.to_vec()).unwrap().contains("hunter2"));
        }
    }
}

#[test]
fn every_reply_carries_its_headers() {
    let (_, view) = ordinary().remove(0);
    for format in [Format::Html, Format::Fragment, Format::Json] {
        let rendered = respond(&view, &fixture::shell(), format);
        let header = |name| rendered.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str());
        assert_eq!(header("cache-control"), Some("no-store"));
        assert_eq!(header("x-content-type-options"), Some("nosniff"));
        let policy = header("content-security-policy").unwrap();
        assert!(
            policy.starts_with(
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
            )
        );
        assert!(!policy.contains("unsafe"));
    }
}

#[test]
fn an_error_is_a_page_for_people_and_a_problem_for_programs() {
    let shell = fixture::shell();
    let rendered = problem(404, "No such component", "It may have another id now.", &shell, Format::Html);
    let page = String::from_utf8(rendered.body.to_vec()).unwrap();
    assert_eq!(rendered.status, 404);
    assert!(page.contains("<h1>No such component</h1>") && page.contains("It may have another id now."));
    let rendered = problem(404, "No such component", "It may have another id now.", &shell, Format::Json);
    assert_eq!(rendered.content_type, "application/problem+json");
    let json: serde_json::Value = serde_json::from_slice(&rendered.body).unwrap();
    assert_eq!((&json["status"], &json["detail"]), (&404.into(), &"It may have another id now.".into()));
}

#[test]
fn links_of_a_filter_lead_back_to_it() {
    let query = ComponentsQuery { q: "a&b \"ü\"".into(), ..ComponentsQuery::default() };
    let data = ComponentList {
        paging: Paging { page: 2, pages: 3, matched: 600, total: 600 },
        query: query.with_page(2),
        ..ComponentList::default()
    };
    let page = html(&View::Components(data), Format::Html);
    let next = page.split("rel=\"next\"").next().unwrap().rsplit("href=\"").next().unwrap();
    let address = next.split('"').next().unwrap().replace("&amp;", "&");
    let (path, asked) = address.split_once('?').unwrap();
    assert_eq!(route(path, asked), Some(Ok(Page::Components(query.with_page(3)))));
}

/// Writes every page, its fragment and its data to a directory, for a browser: set
/// `NOETL_METRICS_PAGE_DIR` to keep it.
#[test]
fn every_page_can_be_written_to_a_directory() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = std::env::var_os("NOETL_METRICS_PAGE_DIR").map_or(temporary.path().into(), PathBuf::from);
    std::fs::create_dir_all(directory.join("assets")).unwrap();
    for (name, view) in every() {
        for (format, extension) in
            [(Format::Html, "html"), (Format::Fragment, "fragment.html"), (Format::Json, "json")]
        {
            let file = directory.join(format!("{name}.{extension}"));
            std::fs::write(&file, respond(&view, &fixture::shell(), format).body).unwrap();
            assert!(file.metadata().unwrap().len() > 100);
        }
    }
    for asset in ASSETS.all() {
        std::fs::write(directory.join(asset.url.trim_start_matches('/')), asset.body()).unwrap();
    }
}
