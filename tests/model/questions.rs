//! Questions that are asked of the store and of the reference.

use std::collections::{BTreeMap, HashMap};

use noetl_metrics::model::Millis;
use noetl_metrics::store::{Aggregate, Page, Query, Row};

use crate::agree::same;
use crate::history::{Edge, Filter, Question, Range};
use crate::reference::{HOUR, Key, Reference, Rows, component_name, metric_name, time};
use crate::system::{COLUMNS, Checked, System, fault};

/// Time zones of sessions: what is asked for does not depend on it.
const ZONES: [&str; 6] =
    ["UTC", "Asia/Kolkata", "America/St_Johns", "Asia/Kathmandu", "Europe/Berlin", "Pacific/Chatham"];

const AGGREGATES: [Aggregate; 7] = [
    Aggregate::Avg,
    Aggregate::Min,
    Aggregate::Max,
    Aggregate::Sum,
    Aggregate::Count,
    Aggregate::Last,
    Aggregate::Rate,
];

/// Pages that are looked at; who has more is asked no further.
const PAGES: usize = 12;

pub async fn ask(system: &System, reference: &Reference, question: &Question) -> Checked {
    match question {
        Question::Between { from, length, zone } => {
            let from = edge(*from, system, reference);
            between(system, reference, from, from + length, ZONES[*zone]).await
        }
        Question::Pages { filter, range, limit } => pages(system, reference, filter, *range, *limit).await,
        Question::Steps { filter, range, step, aggregate, limit } => {
            let aggregate = AGGREGATES[*aggregate];
            steps(system, reference, filter, *range, (*step, aggregate), *limit).await
        }
    }
}

/// The reference's rows of some series and times.
fn rows_of(reference: &Reference, filter: impl Fn(&Key) -> bool, from: i64, to: i64) -> Rows {
    let within = |samples: &BTreeMap<i64, u64>| -> BTreeMap<i64, u64> {
        if from > to {
            BTreeMap::new()
        } else {
            samples.range(from..=to).map(|(at, bits)| (*at, *bits)).collect()
        }
    };
    let some = reference.rows.iter().filter(|(key, _)| filter(key));
    some.map(|(key, samples)| (*key, within(samples))).collect()
}

fn edge(edge: Edge, system: &System, reference: &Reference) -> i64 {
    match edge {
        Edge::Ago(ms) => system.now() - ms,
        Edge::Before(place, ms) => {
            let times = || reference.rows.values().flat_map(BTreeMap::keys);
            let at = times().nth(place * times().count() / 1000);
            at.map_or(system.now(), |at| *at) - ms
        }
    }
}

async fn between(system: &System, reference: &Reference, from: i64, to: i64, zone: &str) -> Checked {
    let mut tx = system.db.pool.begin().await.map_err(fault)?;
    let set = format!("set local timezone = '{zone}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut *tx).await.map_err(fault)?;
    let sql = format!("select {COLUMNS} from noetl.metrics_between('{}', '{}')", time(from), time(to));
    let found = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut *tx).await.map_err(fault)?;
    tx.commit().await.map_err(fault)?;
    let found = system.read(&found, &system.series_ids().await?)?;
    let what = format!("noetl.metrics_between {} and {} in {zone}", time(from), time(to));
    same(&found, &rows_of(reference, |_| true, from, to), &what)
}

impl Filter {
    fn query(&self, range: Range, system: &System, reference: &Reference, limit: usize) -> Query {
        let start = range.from.map(|from| Millis(edge(from, system, reference)));
        let end = range.length.map(|length| start.unwrap_or(Millis(system.now() - HOUR)).plus(length));
        Query {
            component_name: self.component.map(component_name),
            metric_name: self.metric.map(metric_name),
            labels: self.label.map(|label| ("i".to_owned(), label.to_string())).into_iter().collect(),
            start,
            end,
            limit,
            ..Query::default()
        }
    }

    fn takes(&self, key: Key) -> bool {
        self.component.is_none_or(|c| c == key.component)
            && self.metric.is_none_or(|m| m == key.metric)
            && self.label.is_none_or(|l| l == key.label)
    }
}

/// The value of the label that series of one metric differ by.
pub fn label_of(row: &Row) -> Checked<String> {
    let Some(labels) = &row.series.labels else { return Ok(String::new()) };
    let labels: serde_json::Value = serde_json::from_str(labels.get()).map_err(fault)?;
    Ok(labels["i"].as_str().unwrap_or_default().to_owned())
}

/// A row as both have it: its time, its series' id, and its value.
type Plain = (i64, i32, f64);

fn plain(rows: &[Row], ids: &HashMap<Key, i32>) -> Checked<Vec<Plain>> {
    let plain = |row: &Row| {
        let label = label_of(row)?;
        let key = Key::of(&row.series.component_name, &row.series.metric_name, &label)
            .ok_or("a row of no series")?;
        let id = ids.get(&key).copied().unwrap_or_default();
        if row.place.series != id || row.at != row.place.at {
            return Err(format!("{key:?} is series {id}, not that of {row:?}"));
        }
        Ok((row.place.at.0, id, row.value))
    };
    rows.iter().map(plain).collect()
}

/// Asks page by page; no more than some pages.
async fn read(system: &System, mut query: Query) -> Checked<Vec<Row>> {
    let mut all: Vec<Row> = Vec::new();
    for _ in 0..PAGES {
        let page = query.run(&system.server.database).await.map_err(fault)?;
        let full = page.len() >= query.limit;
        query.after = page.last().map(|row| Page { ..row.place });
        all.extend(page);
        if !full {
            break;
        }
    }
    Ok(all)
}

async fn pages(
    system: &System,
    reference: &Reference,
    filter: &Filter,
    range: Range,
    limit: usize,
) -> Checked {
    let ids = system.series_ids().await?;
    let query = filter.query(range, system, reference, limit);
    let (from, to) = (query.start.map_or(0, |t| t.0), query.end.map_or(i64::MAX, |t| t.0));
    let found = plain(&read(system, query).await?, &ids)?;
    let mut expected: Vec<Plain> = rows_of(reference, |key| filter.takes(*key), from, to)
        .iter()
        .flat_map(|(key, samples)| {
            let id = ids.get(key).copied().unwrap_or_default();
            samples.iter().map(move |(at, bits)| (*at, id, f64::from_bits(*bits)))
        })
        .collect();
    expected.sort_by_key(|(at, id, _)| std::cmp::Reverse((*at, *id)));
    expected.truncate(limit * PAGES);
    compare(&found, &expected, |a, b| a.to_bits() == b.to_bits())
}

fn compare(found: &[Plain], expected: &[Plain], same: impl Fn(f64, f64) -> bool) -> Checked {
    for (place, (is, should)) in found.iter().zip(expected).enumerate() {
        if (is.0, is.1) != (should.0, should.1) || !same(is.2, should.2) {
            return Err(format!("row {place} is {is:?}, not {should:?}"));
        }
    }
    if found.len() != expected.len() {
        let more = found.get(expected.len()).or(expected.get(found.len()));
        return Err(format!("{} rows, not {}: {more:?}", found.len(), expected.len()));
    }
    Ok(())
}

async fn steps(
    system: &System,
    reference: &Reference,
    filter: &Filter,
    range: Range,
    (step, aggregate): (i64, Aggregate),
    limit: usize,
) -> Checked {
    let ids = system.series_ids().await?;
    let mut query = filter.query(range, system, reference, limit);
    query.step = Some((step, aggregate));
    if reference.gone_until > 0 {
        // Roll-ups are kept longer than what the reference knows of.
        query.start = query.start.max(Some(Millis(reference.gone_until)));
    }
    let (from, to) = (query.start.map_or(0, |t| t.0), query.end.map_or(system.now(), |t| t.0));
    let mut expected = Vec::new();
    // How large what was added up is, and so how exact the sum.
    let mut large: f64 = 0.0;
    for (key, samples) in rows_of(reference, |key| filter.takes(*key), from, to) {
        let id = ids.get(&key).copied().unwrap_or_default();
        for (at, value, size) in aggregated(&samples, step, aggregate) {
            expected.push((at, id, value));
            large = large.max(size);
        }
    }
    let found = plain(&read(system, query).await?, &ids)?;
    expected.sort_by_key(|(at, id, _)| std::cmp::Reverse((*at, *id)));
    expected.truncate(limit * PAGES);
    let exact = matches!(aggregate, Aggregate::Min | Aggregate::Max | Aggregate::Count | Aggregate::Last);
    compare(&found, &expected, |is, should| {
        let alike = is == should || (is.is_nan() && should.is_nan());
        // In another order of adding up, such a sum may pass what a double holds on its way.
        let may_pass = large > f64::MAX / 4.0;
        alike || (!exact && (may_pass || (is - should).abs() <= large * 1e-12))
    })
}

/// What each step of a series comes to, and how large what was added up for it is.
fn aggregated(samples: &BTreeMap<i64, u64>, step: i64, aggregate: Aggregate) -> Vec<(i64, f64, f64)> {
    let mut before = None;
    let mut steps: BTreeMap<i64, Vec<(f64, f64)>> = BTreeMap::new();
    for (at, bits) in samples {
        let value = f64::from_bits(*bits);
        let increase = before.map_or(0.0, |b| if at_least(value, b) { value - b } else { value });
        steps.entry(at / step * step).or_default().push((value, increase));
        before = Some(value);
    }
    let one = |(at, values): (i64, Vec<(f64, f64)>)| {
        let all = || values.iter().map(|(value, _)| *value);
        let sum: f64 = all().sum();
        let increases = || values.iter().map(|(_, increase)| *increase);
        let size = |of: f64| if of.is_finite() { of.abs() } else { 0.0 };
        let value = match aggregate {
            Aggregate::Avg => sum / values.len() as f64,
            Aggregate::Min => all().reduce(|a, b| if at_least(a, b) { b } else { a }).unwrap_or(f64::NAN),
            Aggregate::Max => all().reduce(|a, b| if at_least(a, b) { a } else { b }).unwrap_or(f64::NAN),
            Aggregate::Sum => sum,
            Aggregate::Count => values.len() as f64,
            Aggregate::Last => values.last().map_or(f64::NAN, |(value, _)| *value),
            Aggregate::Rate => increases().sum::<f64>() / (step as f64 / 1000.0),
        };
        (at, value, all().map(size).sum::<f64>() + values.iter().map(|(_, i)| size(*i)).sum::<f64>())
    };
    steps.into_iter().map(one).collect()
}

/// As PostgreSQL orders doubles: NaN is the largest, and like itself.
fn at_least(a: f64, b: f64) -> bool {
    a.is_nan() || a >= b
}
