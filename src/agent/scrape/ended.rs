//! Series that a target had and has no longer: they are reported once more, as ended, so that a
//! gauge does not keep its last value for ever.

use std::collections::HashSet;

use crate::model::{MetricType, Reading, STALE};

/// Ends a series, and stands between its texts: bytes that no text has.
const END: u8 = 0xfe;
const NEXT: u8 = 0xff;

/// The series of a target's last scrape, in one piece: they are held between scrapes, and seldom
/// needed. Each is its type, its name, and its labels' names and values.
#[derive(Debug, Default)]
pub(super) struct Had(Box<[u8]>);

impl Had {
    /// Takes what the target has now. Gives what it had and has no longer.
    pub(super) fn replace(&mut self, now: &[Reading]) -> Vec<Reading> {
        let mut packed = Vec::with_capacity(self.0.len());
        for reading in now {
            pack(reading, &mut packed);
        }
        // Nearly always the same in the same order.
        if *packed == *self.0 {
            return Vec::new();
        }
        let before = std::mem::replace(&mut self.0, packed.into());
        let has: HashSet<&[u8]> = series(&self.0).map(|(_, texts)| texts).collect();
        let ended = series(&before).filter(|(_, texts)| !has.contains(texts));
        ended.filter_map(|(kind, texts)| as_ended(kind, texts)).collect()
    }
}

fn pack(reading: &Reading, out: &mut Vec<u8>) {
    out.push(reading.kind as u8);
    out.extend_from_slice(reading.name.as_bytes());
    for text in reading.labels.iter().flat_map(|(name, value)| [name.as_ref(), value.as_str()]) {
        out.push(NEXT);
        out.extend_from_slice(text.as_bytes());
    }
    out.push(END);
}

/// The series that were packed: the number of the type, and the texts.
fn series(packed: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    packed.split(|byte| *byte == END).filter_map(|one| one.split_first()).map(|(kind, texts)| (*kind, texts))
}

fn as_ended(kind: u8, texts: &[u8]) -> Option<Reading> {
    let kind = *MetricType::ALL.get(usize::from(kind))?;
    let mut texts = texts.split(|byte| *byte == NEXT).map(|text| String::from_utf8_lossy(text).into_owned());
    let name = texts.next()?.into();
    let mut labels = Vec::new();
    while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
        labels.push((name.into(), value));
    }
    Some(Reading { name, kind, value: STALE, labels, help: "".into(), unit: None, timestamp_ms: None })
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
        assert_eq!(had.replace(&read("a{x=\"1\"} 1\na{x=\"2\"} 1\n# TYPE b counter\nb 1\n")), []);
        let ended = had.replace(&read("a{x=\"2\"} 5\nc 1\n"));
        let names: Vec<_> = ended.iter().map(|r| (r.name.as_ref(), r.labels.len())).collect();
        assert_eq!(names, [("a", 1), ("b", 0)]);
        assert_eq!(ended[0].labels, [("x".into(), "1".to_owned())]);
        assert_eq!(ended[1].kind, MetricType::Counter);
        assert!(ended.iter().all(|reading| is_stale(reading.value) && reading.help.is_empty()));
        assert_eq!(had.replace(&[]).len(), 2);
        assert_eq!(had.replace(&[]), []);
    }
}
