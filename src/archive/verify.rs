//! Whether VictoriaMetrics has what PostgreSQL has, sample by sample.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Url;

use super::http::{Failure, client, join, persist, send, success};
use super::{ArchiveError, Progress, Span, form, hours, next};
use crate::model::{Millis, labels_of_line};
use crate::store::{Database, Past, past};

/// How long VictoriaMetrics may be away.
const PATIENCE: Duration = Duration::from_secs(30);
/// How messages call it.
const THERE: &str = "VictoriaMetrics";
/// Differences that are shown.
const SHOWN: usize = 20;
/// By how much of itself a value may be another one: VictoriaMetrics keeps decimals, of fractions some 12
/// digits.
const PRECISION: f64 = 1e-12;

/// What a comparison found.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Comparison {
    /// Samples that both have.
    pub same: u64,
    /// Samples that only PostgreSQL has.
    pub missing: u64,
    /// Samples that have another value there.
    pub different: u64,
    /// Samples of the same series that only VictoriaMetrics has.
    pub more: u64,
    /// Samples that VictoriaMetrics has no form for: NaN.
    pub left_out: u64,
    /// The first differences, in words.
    pub examples: Vec<String>,
}

impl Comparison {
    /// Whether both have the same.
    pub const fn agrees(&self) -> bool {
        self.missing == 0 && self.different == 0 && self.more == 0
    }

    fn example(&mut self, series: &Past, at: i64, what: &str) {
        if self.examples.len() < SHOWN {
            let line = String::from_utf8_lossy(&form::line(series)).trim().to_owned();
            self.examples.push(format!("{line} at {}: {what}", Millis(at).rfc3339()));
        }
    }
}

type Samples = BTreeMap<i64, f64>;

/// Compares hour by hour, from the first on of which there is something here; `tell` hears of each.
pub async fn verify(
    database: &Database,
    span: &Span,
    url: &Url,
    mut tell: impl FnMut(Progress),
) -> Result<Comparison, ArchiveError> {
    let client = client()?;
    let mut found = Comparison::default();
    let begin = next(database, span.start, span.end).await?;
    let mut progress = Progress { all_hours: hours(begin, span.end).count() as u64, ..Progress::default() };
    let matched: Vec<String> = span.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let matched = format!("{{component!=\"\",{}}}", matched.join(","));
    let mut next_at = begin;
    for (from, to) in hours(begin, span.end) {
        if to <= next_at {
            progress.hours += 1;
            continue;
        }
        let mut there = theirs(&client, url, &matched, from, to).await?;
        past(database, from, to, async |mut series: Past| -> Result<(), ArchiveError> {
            if !span.selects(&series) {
                return Ok(());
            }
            series.labels.extend(span.labels.iter().cloned());
            found.left_out += form::leave_out(&mut series);
            let key = serde_json::to_string(&series.all_labels()).unwrap_or_default();
            progress.samples += series.times.len() as u64;
            compare(&mut found, &series, there.remove(&key).unwrap_or_default());
            Ok(())
        })
        .await?;
        next_at = next(database, to, span.end).await?;
        progress.hours += 1;
        tell(progress);
    }
    Ok(found)
}

fn compare(found: &mut Comparison, series: &Past, mut theirs: Samples) {
    for (at, value) in series.times.iter().zip(&series.values) {
        match theirs.remove(at) {
            Some(other) if is_same(*value, other) => found.same += 1,
            Some(other) => {
                found.different += 1;
                found.example(series, *at, &format!("{value} here, {other} there"));
            }
            None => {
                found.missing += 1;
                found.example(series, *at, "is missing there");
            }
        }
    }
    found.more += theirs.len() as u64;
    for (at, value) in theirs {
        found.example(series, at, &format!("only there, {value}"));
    }
}

#[allow(clippy::float_cmp, reason = "equal is equal, infinities too")]
fn is_same(a: f64, b: f64) -> bool {
    a == b || (a.is_finite() && b.is_finite() && (a - b).abs() <= PRECISION * a.abs().max(b.abs()))
}

/// What VictoriaMetrics has of a time, by all labels.
async fn theirs(
    client: &reqwest::Client,
    url: &Url,
    matched: &str,
    from: Millis,
    to: Millis,
) -> Result<BTreeMap<String, Samples>, ArchiveError> {
    let mut ask = join(url, "api/v1/export");
    ask.query_pairs_mut()
        // Its JSON is none where a value is infinite.
        .append_pair("format", "prometheus")
        .append_pair("match[]", matched)
        .append_pair("start", &seconds(from.0))
        .append_pair("end", &seconds(to.0 - 1));
    let text = persist(PATIENCE, async || {
        let answer = success(THERE, send(THERE, client.get(ask.clone())).await?).await?;
        answer.text().await.map_err(|e| Failure::broken(THERE, e))
    })
    .await?;
    let mut all: BTreeMap<String, Samples> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (key, at, value) = read(line).ok_or_else(|| {
            let line: String = line.chars().take(200).collect();
            ArchiveError::Target(format!("its export has a line that can't be read: {line}"))
        })?;
        all.entry(key).or_default().insert(at, value);
    }
    Ok(all)
}

/// Reads a line of its export: all labels, time and value.
fn read(line: &str) -> Option<(String, i64, f64)> {
    let (series, rest) = line.split_at(line.rfind('}')? + 1);
    let (value, at) = rest.trim().split_once(' ')?;
    let labels = labels_of_line(series.as_bytes());
    let mut all: BTreeMap<&str, &str> = labels.iter().map(|(name, value)| (&**name, &**value)).collect();
    all.insert("__name__", series.split('{').next()?);
    // Both sort labels by their names.
    Some((serde_json::to_string(&all).ok()?, at.parse().ok()?, value.parse().ok()?))
}

/// Milliseconds as seconds, exactly.
fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_difference_is_counted_and_told() {
        let series = Past {
            metric: "m".into(),
            component: "w".into(),
            times: vec![1, 2, 3],
            values: vec![1.0, 2.0, 3.0],
            ..Past::default()
        };
        let mut found = Comparison::default();
        compare(&mut found, &series, BTreeMap::from([(1, 1.0), (2, 2.5), (4, 4.0)]));
        assert_eq!((found.same, found.missing, found.different, found.more), (1, 1, 1, 1));
        assert!(!found.agrees());
        assert!(found.examples[0].ends_with("1970-01-01T00:00:00.002Z: 2 here, 2.5 there"), "{found:?}");
    }

    #[test]
    fn lines_of_an_export_are_read() {
        let (key, at, value) = read("m{b=\"a}\\\"\",a=\"1\"} +Inf 17").unwrap();
        assert_eq!(key, r#"{"__name__":"m","a":"1","b":"a}\""}"#);
        assert_eq!((at, value), (17, f64::INFINITY));
        assert_eq!(read("m 5"), None);
    }

    #[test]
    fn values_may_differ_in_the_last_digit_only() {
        assert!(is_same(0.1 + 0.2, 0.3) && is_same(f64::INFINITY, f64::INFINITY) && is_same(0.0, -0.0));
        assert!(!is_same(1.0, 1.000_000_1) && !is_same(1.0, f64::INFINITY));
    }
}
