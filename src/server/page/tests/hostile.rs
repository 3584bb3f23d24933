//! Data that tries to become markup.

use crate::server::page::data::*;
use crate::server::page::query::{ComponentsQuery, ExplorerQuery, SeriesQuery};
use crate::server::page::{Format, View, fixture, problem, respond};

/// Text that breaks out of elements, attributes and scripts where it is not escaped.
const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)> {{x}} \u{202e}";

fn hostile() -> Vec<(&'static str, View)> {
    let text = || HOSTILE.to_owned();
    let mut row = fixture::component_rows(6).remove(5);
    (row.name, row.kind) = (text(), text());
    row.last_rejection = Some(Rejection { reason: text(), at_ms: fixture::NOW });
    let series = |id| SeriesRow {
        series_id: id,
        name: text(),
        labels: vec![Label { name: text(), value: text() }],
        help: Some(text()),
        unit: Some(text()),
        ..fixture::series_rows(1).remove(0)
    };
    let exemplar = |trace_url| Exemplar {
        value: 1.0,
        trace_id: Some(text()),
        trace_url,
        labels: vec![Label { name: text(), value: text() }],
        ..Exemplar::default()
    };
    let metric = MetricRow {
        name: text(),
        help: Some(text()),
        unit: Some(text()),
        ..fixture::metric_rows(1).remove(0)
    };
    let mut overview = fixture::overview();
    overview.rejected_reason = Some(text());
    overview.endpoints = vec![Endpoint { method: "GET".into(), path: text(), help: text() }];
    if let Some(host) = &mut overview.host {
        (host.name, host.facts) = (text(), vec![text()]);
        host.cards[0].title = text();
        host.cards[0].detail = Some(text());
        host.cards[0].readings[0].label = text();
        host.cards[0].readings[0].metric_name = text();
        host.cards[0].readings[0].unit = Some(text());
    }
    let mut status = fixture::status();
    status.flags.push(Flag::new(HOSTILE, HOSTILE, HOSTILE, FlagSource::Flag));
    status.postgres_version = Some(text());
    status.tables[0].name = text();
    status.migrations[0].description = text();
    status.retention.runs[0].error = Some(text());
    status.partitions.recent[0].name = text();
    status.limits[0].name = text();
    let target = &mut status.targets[0];
    (target.agent, target.target) = (text(), text());
    (target.errors, target.absent) = (vec![(text(), 1)], vec![(text(), text())]);
    let store = &mut status.forward[0];
    (store.name, store.host, store.problem) = (text(), text(), Some(text()));
    let query = SeriesQuery { q: text(), series: Some(1), ..SeriesQuery::default() };
    vec![
        ("overview", View::Overview(overview)),
        (
            "components",
            View::Components(ComponentList {
                query: ComponentsQuery { q: text(), ..ComponentsQuery::default() },
                rows: vec![row.clone()],
                ..ComponentList::default()
            }),
        ),
        (
            "component",
            View::Component(Box::new(ComponentPage {
                component: row,
                facts: vec![Fact { name: text(), value: text() }],
                rejections: vec![RejectionCount { reason: text(), count: 1, last_ms: 0 }],
                query,
                rows: vec![series(1)],
                chart: Some(Chart {
                    series: series(2),
                    points: vec![(0, 1.0)],
                    exemplars: vec![exemplar(None), exemplar(Some(text()))],
                }),
                ..ComponentPage::default()
            })),
        ),
        (
            "explorer",
            View::Explorer(Explorer {
                query: ExplorerQuery { q: text(), name: Some(text()), page: 1 },
                rows: vec![metric.clone()],
                labels: vec![LabelRow { name: text(), values: 1, series: 1 }],
                detail: Some(MetricDetail {
                    metric,
                    reporters: vec![MetricReporter { name: text(), ..MetricReporter::default() }],
                }),
                ..Explorer::default()
            }),
        ),
        ("status", View::Status(status)),
    ]
}

#[test]
fn hostile_text_is_shown_and_not_run() {
    let shell = Shell { notices: vec![HOSTILE.into()], instance: HOSTILE.into(), ..fixture::shell() };
    for (name, view) in hostile() {
        let page = String::from_utf8(respond(&view, &shell, Format::Html).body.to_vec()).unwrap();
        assert!(!page.contains("<script>") && !page.contains("<img"), "{name}");
        assert!(page.contains("&lt;script&gt;"), "{name}");
        // An attribute that its value left would leave a bare quote inside a tag.
        for tag in page.split('<').skip(1) {
            let tag = tag.split('>').next().unwrap();
            assert!(tag.matches('"').count().is_multiple_of(2), "{name}: {tag}");
        }
    }
    let error = problem(400, HOSTILE, HOSTILE, &shell, Format::Html);
    assert!(!String::from_utf8(error.body.to_vec()).unwrap().contains("<script>"));
}
