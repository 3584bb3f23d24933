//! VictoriaMetrics' `/api/v1/export`: lines of JSON, read as they come.

use std::collections::BTreeMap;

use memchr::memchr;

use super::super::ArchiveError;
use super::super::http::{Failure, join};
use super::{Found, Reader, texts};
use crate::live::Selector;
use crate::model::Millis;

/// Bytes of a line at most; the source is asked for some 10,000 samples in one.
const MOST_LINE: usize = 16 << 20;
/// Samples in a line.
const LINE_SAMPLES: &str = "10000";
/// How the lists of a line begin, in whatever order they come.
const VALUES: &str = "values\":[";
const TIMES: &str = "timestamps\":[";
/// Milliseconds more that are asked for at both ends.
const MORE_MS: i64 = 1000;

/// Reads some time.
pub(super) async fn read(
    reader: &Reader<'_>,
    selectors: &[Selector],
    from: Millis,
    to: Millis,
    mut take: impl AsyncFnMut(Found) -> Result<(), ArchiveError>,
) -> Result<(), Failure> {
    let mut url = join(&reader.source.url, "api/v1/export");
    {
        let mut query = url.query_pairs_mut();
        for selector in texts(selectors) {
            query.append_pair("match[]", &selector);
        }
        query
            .append_pair("start", &from.plus(-MORE_MS).max(Millis(0)).rfc3339())
            .append_pair("end", &to.plus(MORE_MS).rfc3339())
            .append_pair("reduce_mem_usage", "1")
            .append_pair("max_rows_per_line", LINE_SAMPLES);
    }
    let mut answer = reader.succeeds(reader.ask(url).await?).await?;
    let mut waiting: Vec<u8> = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|e| Failure::broken(reader.who(), e))? {
        waiting.extend_from_slice(&part);
        let mut begin = 0;
        while let Some(length) = memchr(b'\n', &waiting[begin..]) {
            let line = &waiting[begin..begin + length];
            begin += length + 1;
            if !line.trim_ascii().is_empty() {
                take(series(line).ok_or_else(|| reader.unreadable("a line of its export", line))?).await?;
            }
        }
        waiting.drain(..begin);
        if waiting.len() > MOST_LINE {
            return Err(reader.unreadable("a line without an end", &waiting[..200]));
        }
    }
    // The last line has an end too, unless it broke off.
    if waiting.trim_ascii().is_empty() { Ok(()) } else { Err(reader.unreadable("its last line", &waiting)) }
}

/// Reads a line. Older versions write values that are not finite as JSON has none.
pub(super) fn series(line: &[u8]) -> Option<Found> {
    let rest = line.strip_prefix(b"{\"metric\":")?;
    let mut json = serde_json::Deserializer::from_slice(rest).into_iter::<BTreeMap<String, String>>();
    let labels = json.next()?.ok()?;
    let rest = str::from_utf8(rest.get(json.byte_offset()..)?).ok()?;
    let (first, second) = rest.trim_end().strip_prefix(",\"")?.strip_suffix("]}")?.split_once("],\"")?;
    let (values, times) = if first.starts_with(TIMES) { (second, first) } else { (first, second) };
    let (values, times) = (values.strip_prefix(VALUES)?, times.strip_prefix(TIMES)?);
    let mut found = Found { labels, ..Found::default() };
    if values.is_empty() && times.is_empty() {
        return Some(found);
    }
    let (mut values, mut times) = (values.split(','), times.split(','));
    loop {
        match (values.next(), times.next()) {
            (None, None) => return Some(found),
            (Some("null"), Some(_)) => found.left_out += 1,
            (Some(value), Some(at)) => {
                let value: f64 = value.trim_matches('"').parse().ok()?;
                found.samples.push((at.parse().ok()?, value));
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_read_as_both_old_and_new_versions_write_them() {
        let line = br#"{"metric":{"__name__":"m","a":"],\"values\":["},"values":[1,2.5e-3,null,"Infinity",-Inf],"timestamps":[1,2,3,4,5]}"#;
        let found = series(line).unwrap();
        assert_eq!(found.labels["a"], "],\"values\":[");
        assert_eq!(found.samples, [(1, 1.0), (2, 0.0025), (4, f64::INFINITY), (5, f64::NEG_INFINITY)]);
        assert_eq!(found.left_out, 1);
        assert!(series(br#"{"metric":{},"values":[],"timestamps":[]}"#).unwrap().samples.is_empty());
    }

    #[test]
    fn what_is_no_line_is_none() {
        for line in [
            "",
            "no space left",
            r#"{"metric":{"a":1},"values":[1],"timestamps":[1]}"#,
            r#"{"metric":{},"values":[1,2],"timestamps":[1]}"#,
            r#"{"metric":{},"values":[1],"timestamps":[1"#,
            r#"{"metric":{},"values":[x],"timestamps":[1]}"#,
            r#"{"metric":{},"values":[1],"timestamps":[1.5]}"#,
        ] {
            assert_eq!(series(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(line in any::<Vec<u8>>()) {
            let _ = series(&line);
            let _ = series(&[b"{\"metric\":{},\"values\":[", &line[..], b"],\"timestamps\":[1]}"].concat());
        }

        #[test]
        fn what_an_export_writes_is_read(
            values in prop::collection::vec((any::<i64>(), any::<f64>()), 0..20),
            label in ".+",
        ) {
            let values: Vec<(i64, f64)> = values.into_iter().filter(|(_, value)| !value.is_nan()).collect();
            let past = crate::store::Past {
                metric: "m".into(),
                labels: BTreeMap::from([("l".to_owned(), label.clone())]),
                times: values.iter().map(|(at, _)| *at).collect(),
                values: values.iter().map(|(_, value)| *value).collect(),
                ..crate::store::Past::default()
            };
            let found = series(&super::super::super::form::json_line(&past)).unwrap();
            prop_assert_eq!(found.samples, values);
            prop_assert_eq!(&found.labels["l"], &label);
        }
    }
}
