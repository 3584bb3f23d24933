//! Prometheus' HTTP API: the names of metrics, and of each the samples of a time, by queries with a range.
//!
//! `metric[1h]` gives all samples as they are, but for stale markers, which are none. Names are asked one by
//! one, so that neither side has much in memory; what still is too much for an answer is asked in halves.

use std::collections::BTreeMap;

use promql_parser::label::{MatchOp, Matcher};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::ArchiveError;
use super::super::form::line_of;
use super::super::http::{Failure, join};
use super::{Found, Reader, texts};
use crate::live::Selector;
use crate::model::Millis;

/// Bytes of an answer at most; what has more is asked in halves.
const MOST_BYTES: usize = 32 << 20;
/// The least time that is asked for by itself, in milliseconds.
const LEAST_MS: i64 = 1000;

/// Reads some time.
pub(super) async fn read(
    reader: &Reader<'_>,
    selectors: &[Selector],
    from: Millis,
    to: Millis,
    mut take: impl AsyncFnMut(Found) -> Result<(), ArchiveError>,
) -> Result<(), Failure> {
    for (place, selector) in texts(selectors).iter().enumerate() {
        for name in names(reader, selector, from, to).await? {
            // What an earlier selector has was there already.
            let before = selectors.get(..place).unwrap_or_default();
            let mut spans = vec![(from, to)];
            while let Some((from, to)) = spans.pop() {
                if let Some(series) = samples(reader, selector, &name, from, to).await? {
                    for found in series {
                        let line = line_of(found.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
                        if !before.iter().any(|selector| selector.selects(&line)) {
                            take(found).await?;
                        }
                    }
                } else if to.since(from) > LEAST_MS {
                    let half = from.plus(to.since(from) / 2);
                    spans.extend([(half, to), (from, half)]);
                } else {
                    let why = format!(
                        "{}: {name} has too much in {} ms from {} on for one answer: select less of it by --match",
                        reader.who(),
                        to.since(from),
                        from.rfc3339()
                    );
                    return Err(ArchiveError::Target(why).into());
                }
            }
        }
    }
    Ok(())
}

/// The names of metrics that a selector selects.
async fn names(
    reader: &Reader<'_>,
    selector: &str,
    from: Millis,
    to: Millis,
) -> Result<Vec<String>, Failure> {
    let mut url = join(&reader.source.url, "api/v1/label/__name__/values");
    url.query_pairs_mut()
        .append_pair("match[]", selector)
        .append_pair("start", &from.rfc3339())
        .append_pair("end", &to.rfc3339());
    let answer = reader.succeeds(reader.ask(url).await?).await?;
    let too_many = || {
        let why = format!("{}: it has too many names of metrics: select some by --match", reader.who());
        Failure::from(ArchiveError::Target(why))
    };
    let body = whole(reader, answer).await?.ok_or_else(too_many)?;
    serde_json::from_slice::<Answer<Vec<String>>>(&body)
        .map(|answer| answer.data)
        .map_err(|_| reader.unreadable("its list of names", &body))
}

/// The samples of a metric; nothing where they are too many for an answer.
async fn samples(
    reader: &Reader<'_>,
    selector: &str,
    name: &str,
    from: Millis,
    to: Millis,
) -> Result<Option<Vec<Found>>, Failure> {
    let mut url = join(&reader.source.url, "api/v1/query");
    // A range has its end in it, and up to version 2 its begin too, which another one has then as well.
    let range = to.since(from);
    let named = Matcher::new(MatchOp::Equal, "__name__", name);
    let query = selector.replacen('{', &format!("{{{named},"), 1);
    url.query_pairs_mut()
        .append_pair("query", &format!("{query}[{range}ms]"))
        .append_pair("time", &to.plus(-1).rfc3339());
    let answer = reader.ask(url).await?;
    let is_refused = answer.status() == reqwest::StatusCode::UNPROCESSABLE_ENTITY;
    let answer = match reader.succeeds(answer).await {
        // --query.max-samples
        Err(Failure::Lasting(ArchiveError::Target(why)))
            if is_refused && why.contains("too many samples") =>
        {
            return Ok(None);
        }
        answer => answer?,
    };
    let Some(body) = whole(reader, answer).await? else { return Ok(None) };
    series(&body).map(Some).ok_or_else(|| reader.unreadable("its answer", &body[..body.len().min(200)]))
}

/// All of an answer; nothing where it is too long.
async fn whole(reader: &Reader<'_>, mut answer: reqwest::Response) -> Result<Option<Vec<u8>>, Failure> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|e| Failure::broken(reader.who(), e))? {
        if body.len() + part.len() > MOST_BYTES {
            return Ok(None);
        }
        body.extend_from_slice(&part);
    }
    Ok(Some(body))
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Matrix {
    #[serde(rename = "resultType")]
    kind: String,
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    #[serde(default)]
    histograms: Vec<IgnoredAny>,
}

/// Reads the series of an answer.
pub(super) fn series(body: &[u8]) -> Option<Vec<Found>> {
    let Answer { data } = serde_json::from_slice::<Answer<Matrix>>(body).ok()?;
    if data.kind != "matrix" {
        return None;
    }
    let read = |series: Series| {
        // Seconds with milliseconds behind the point: there are doubles enough for these.
        #[expect(clippy::cast_possible_truncation, reason = "what is too large is refused by the server")]
        let sample = |(at, value): (f64, String)| Some(((at * 1000.0).round() as i64, value.parse().ok()?));
        Some(Found {
            labels: series.metric,
            samples: series.values.into_iter().map(sample).collect::<Option<_>>()?,
            left_out: series.histograms.len() as u64,
        })
    };
    data.result.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers_are_read_to_the_millisecond_and_the_last_digit() {
        let body = br#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"m","a":"x"},"values":[[1767225600.001,"0.30000000000000004"],[1767225600,"+Inf"],
             [-1.5,"-Inf"],[1767225599.999,"NaN"]]},
            {"metric":{"__name__":"n"},"histograms":[[1767225600,{"count":"1"}]]}]}}"#;
        let [m, n] = &series(body).unwrap()[..] else { panic!("two series") };
        assert_eq!(m.labels["a"], "x");
        assert_eq!(m.samples[0], (1_767_225_600_001, 0.1 + 0.2));
        assert_eq!(m.samples[1..3], [(1_767_225_600_000, f64::INFINITY), (-1500, f64::NEG_INFINITY)]);
        assert_eq!(m.samples[3].0, 1_767_225_599_999);
        assert!(m.samples[3].1.is_nan());
        assert_eq!((n.samples.len(), n.left_out), (0, 1));
    }

    #[test]
    fn what_is_no_matrix_is_none() {
        for body in [
            "",
            "<html>",
            r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
            r#"{"data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"x"]]}]}}"#,
        ] {
            assert_eq!(series(body.as_bytes()), None, "{body}");
        }
    }

    proptest! {
        #[test]
        fn every_time_is_read_exactly(at in 0_i64..253_402_300_800_000, value in any::<f64>()) {
            let body = format!(
                r#"{{"data":{{"resultType":"matrix","result":[{{"metric":{{}},"values":[[{}.{:03},"{value}"]]}}]}}}}"#,
                at / 1000,
                at % 1000
            );
            let read = series(body.as_bytes()).unwrap();
            prop_assert_eq!(read[0].samples[0].0, at);
            prop_assert!(read[0].samples[0].1 == value || value.is_nan());
        }
    }
}
