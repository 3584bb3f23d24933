//! Series that a target had and has no longer: they are reported once more, as ended, so that a
//! gauge does not keep its last value for ever.

use std::collections::HashSet;

use crate::model::{MetricType, Reading, STALE};

/// The series of a target's last scrape, packed: they are held between scrapes, and seldom needed.
#[derive(Debug, Default)]
pub(super) struct Had(Box<[Series]>);

/// A series: its type, and its name and labels, each text behind its length.
type Series = (MetricType, Box<[u8]>);

impl Had {
    /// Takes what the target has now. Gives what it had and has no longer.
    pub(super) fn replace(&mut self, now: &[Reading]) -> Vec<Reading> {
        let now: Box<[Series]> = now.iter().map(|reading| (reading.kind, packed(reading))).collect();
        let before = std::mem::replace(&mut self.0, now);
        // Nearly always the same in the same order.
        if before.iter().eq(&self.0) {
            return Vec::new();
        }
        let has: HashSet<&[u8]> = self.0.iter().map(|(_, series)| &**series).collect();
        let ended = before.iter().filter(|(_, series)| !has.contains(&**series));
        ended.map(|(kind, series)| as_ended(*kind, series)).collect()
    }
}

fn packed(reading: &Reading) -> Box<[u8]> {
    let mut bytes = Vec::new();
    let labels = reading.labels.iter().flat_map(|(name, value)| [name.as_ref(), value.as_str()]);
    for text in std::iter::once(reading.name.as_ref()).chain(labels) {
        bytes.extend_from_slice(&text.len().to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.into()
}

fn as_ended(kind: MetricType, packed: &[u8]) -> Reading {
    let mut rest = packed;
    let mut next = || {
        let (length, after) = rest.split_first_chunk()?;
        let (text, after) = after.split_at_checked(usize::from_le_bytes(*length))?;
        rest = after;
        Some(String::from_utf8_lossy(text).into_owned())
    };
    let name = next().unwrap_or_default().into();
    let mut labels = Vec::new();
    while let (Some(name), Some(value)) = (next(), next()) {
        labels.push((name.into(), value));
    }
    Reading { name, kind, value: STALE, labels, help: "".into(), unit: None, timestamp_ms: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::is_stale;
    use crate::wire::exposition::parse;

    #[test]
    fn what_is_no_longer_there_ends_once() {
        let read = |text: &str| parse(text, 10, "Help.").unwrap();
        let mut had = Had::default();
        assert_eq!(had.replace(&read("a{x=\"1\"} 1\na{x=\"2\"} 1\nb 1\n")), []);
        let ended = had.replace(&read("a{x=\"2\"} 5\nc 1\n"));
        let names: Vec<_> = ended.iter().map(|r| (r.name.as_ref(), r.labels.len())).collect();
        assert_eq!(names, [("a", 1), ("b", 0)]);
        assert_eq!(ended[0].labels, [("x".into(), "1".to_owned())]);
        assert!(ended.iter().all(|reading| is_stale(reading.value) && reading.help.is_empty()));
        assert_eq!(had.replace(&[]).len(), 2);
        assert_eq!(had.replace(&[]), []);
    }
}
