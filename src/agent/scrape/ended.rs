//! Series that a target had and has no longer: they are reported once more, as ended, so that a
//! gauge does not keep its last value for ever.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::model::{Reading, STALE};

/// The series of a target's last scrape, each as it will be ended.
#[derive(Debug, Default)]
pub(super) struct Had(Vec<Reading>);

type Key<'a> = (&'a str, &'a [(Cow<'static, str>, String)]);

fn key(reading: &Reading) -> Key<'_> {
    (&reading.name, &reading.labels)
}

impl Had {
    /// Takes what the target has now. Gives what it had and has no longer.
    pub(super) fn replace(&mut self, now: &[Reading]) -> Vec<Reading> {
        let has: HashSet<Key<'_>> = now.iter().map(key).collect();
        let before = std::mem::take(&mut self.0);
        let ended = before.into_iter().filter(|reading| !has.contains(&key(reading))).collect();
        self.0 = now.iter().map(as_ended).collect();
        ended
    }
}

/// Without what is not needed to tell series apart: this is held between scrapes.
fn as_ended(reading: &Reading) -> Reading {
    let (name, labels) = (reading.name.clone(), reading.labels.clone());
    Reading {
        name,
        labels,
        kind: reading.kind,
        value: STALE,
        help: "".into(),
        unit: None,
        timestamp_ms: None,
    }
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
        assert!(ended.iter().all(|reading| is_stale(reading.value) && reading.help.is_empty()));
        assert_eq!(had.replace(&[]).len(), 2);
        assert_eq!(had.replace(&[]), []);
    }
}
