//! What a scraper of all servers sees over time, and what is wrong with it: the data of two servers at
//! once, a gap, a counter that goes back, a label that moves.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// Between a scrape of a server and the next.
pub const INTERVAL: Duration = Duration::from_millis(250);
/// A scrape that takes longer has failed.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// So many scrapes in a row may miss a series: two samples of it are two intervals apart at most.
const MAY_MISS: usize = 1;

/// How a scrape ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Failed,
    /// Without the reporters' series.
    Empty,
    Full,
}

#[derive(Clone, Copy, Debug)]
pub struct Observation {
    pub server: usize,
    pub start: Instant,
    pub end: Instant,
    pub state: State,
}

/// A sample of a reporter's counter.
#[derive(Clone, Debug)]
pub struct Scraped {
    /// Component and label: what it is by all rights.
    pub id: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

struct Seen {
    value: f64,
    last: Observation,
    labels: BTreeMap<String, String>,
}

/// A time without a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub from: Instant,
    pub to: Instant,
    /// Scrapes that should have had it.
    pub missed: usize,
    /// The servers that had it before and after.
    servers: [usize; 2],
    /// How many series it is of.
    pub series: usize,
}

/// A time in which series may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub from: Instant,
    pub to: Instant,
}

#[derive(Default)]
pub struct Sight {
    observations: Vec<Observation>,
    series: HashMap<String, Seen>,
    gaps: Vec<Gap>,
}

impl Sight {
    /// Takes a scrape; what is wrong with it.
    pub fn add(&mut self, now: Observation, samples: Vec<Scraped>) -> Vec<String> {
        let mut wrong = Vec::new();
        for sample in samples {
            let Some(seen) = self.series.get(&sample.id) else {
                let Scraped { id, labels, value } = sample;
                self.series.insert(id, Seen { value, last: now, labels });
                continue;
            };
            if seen.labels != sample.labels {
                wrong.push(format!("{} had {:?} and has {:?}", sample.id, seen.labels, sample.labels));
            }
            let before = seen.last;
            if sample.value < seen.value && before.end <= now.start {
                wrong.push(format!("the counter {} fell from {} to {}", sample.id, seen.value, sample.value));
            }
            self.missed(before, now);
            if let Some(seen) = self.series.get_mut(&sample.id) {
                (seen.value, seen.last) = (sample.value.max(seen.value), now);
            }
        }
        self.observations.push(now);
        wrong
    }

    /// Notes the gap between two scrapes that had a series, where there is one.
    fn missed(&mut self, before: Observation, now: Observation) {
        let (from, to, servers) = (before.end, now.start, [before.server, now.server]);
        let missed = self.without(from, to, servers);
        match self.gaps.last_mut() {
            _ if missed == 0 => {}
            Some(last) if last.from == from && last.to == to => last.series += 1,
            _ => self.gaps.push(Gap { from, to, missed, servers, series: 1 }),
        }
    }

    /// Scrapes in a time that had nothing, of the one of these servers that had more of them.
    fn without(&self, from: Instant, to: Instant, servers: [usize; 2]) -> usize {
        // One that ended in time may be noted behind one that ended later, if not by much.
        let since = self.observations.iter().rev().take_while(|o| o.end + PATIENCE * 2 >= from);
        let without = since.filter(|o| o.start >= from && o.end <= to && o.state != State::Full);
        let mut of = [0; 2];
        for observation in without {
            for (count, server) in of.iter_mut().zip(servers) {
                *count += usize::from(observation.server == server);
            }
        }
        of[0].max(of[1])
    }

    /// Series that were ever seen.
    pub fn series(&self) -> usize {
        self.series.len()
    }

    /// The server that exported last.
    pub fn active(&self) -> Option<usize> {
        self.observations.iter().rev().find(|o| o.state == State::Full).map(|o| o.server)
    }

    /// When it was seen first that one exports, by a scrape that began after `since`. `not` does not
    /// count.
    pub fn exports_since(&self, since: Instant, not: Option<usize>) -> Option<Instant> {
        let is_it = |o: &&Observation| {
            o.state == State::Full && o.start >= since && not.is_none_or(|server| server != o.server)
        };
        self.observations.iter().rev().take_while(|o| o.end >= since).filter(is_it).map(|o| o.end).min()
    }

    /// Scrapes that had data of one server while another one exported: it did before and after, and in
    /// between whenever it was asked.
    pub fn overlaps(&self) -> Vec<(Observation, usize)> {
        let mut of = BTreeMap::<usize, Vec<&Observation>>::new();
        for observation in &self.observations {
            of.entry(observation.server).or_default().push(observation);
        }
        let exports_through = |others: &[&Observation], one: &Observation| {
            let before = others.partition_point(|o| o.end <= one.start);
            let after = others.partition_point(|o| o.start < one.end);
            before > 0
                && after < others.len()
                && others[before - 1..=after].iter().all(|o| o.state == State::Full)
        };
        let full = self.observations.iter().filter(|o| o.state == State::Full);
        full.flat_map(|one| of.iter().map(move |(server, others)| (*one, *server, others)))
            .filter(|(one, server, others)| one.server != *server && exports_through(others, one))
            .map(|(one, server, _)| (one, server))
            .collect()
    }

    /// The longest gap of all.
    pub fn longest_gap(&self) -> Duration {
        self.gaps.iter().map(|gap| gap.to - gap.from).max().unwrap_or_default()
    }

    /// Gaps over what may be missed, outside of these times.
    pub fn gaps_outside(&self, windows: &[Window]) -> Vec<Gap> {
        let has_reason = |gap: &Gap, window: &Window| {
            gap.from <= window.to
                && gap.to >= window.from
                && self.without(gap.from, window.from, gap.servers) <= MAY_MISS
                && self.without(window.to, gap.to, gap.servers) <= MAY_MISS
        };
        let gaps = self.gaps.iter().filter(|gap| gap.missed > MAY_MISS);
        gaps.filter(|gap| !windows.iter().any(|window| has_reason(gap, window))).copied().collect()
    }

    /// The longest of the gaps that no fault excuses.
    pub fn longest_gap_outside(&self, windows: &[Window]) -> Duration {
        let touches = |gap: &Gap| windows.iter().any(|w| gap.to >= w.from && gap.from <= w.to);
        self.gaps.iter().filter(|gap| !touches(gap)).map(|gap| gap.to - gap.from).max().unwrap_or_default()
    }

    /// Series that no scrape has had since then.
    pub fn missing_since(&self, since: Instant) -> Vec<&str> {
        let missing = self.series.iter().filter(|(_, seen)| seen.last.end < since);
        missing.map(|(id, _)| id.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times in milliseconds.
    struct Story(Instant, Sight);

    impl Story {
        fn new() -> Self {
            Self(Instant::now(), Sight::default())
        }

        fn at(&self, ms: u64) -> Instant {
            self.0 + Duration::from_millis(ms)
        }

        /// A scrape of a server that takes 10 ms, and has the series with this value.
        fn scrape(&mut self, server: usize, at: u64, value: Option<f64>) -> Vec<String> {
            self.scrape_of(server, at, value, "worker_pool")
        }

        fn scrape_of(&mut self, server: usize, at: u64, value: Option<f64>, kind: &str) -> Vec<String> {
            let state = if value.is_some() { State::Full } else { State::Empty };
            let now = Observation { server, start: self.at(at), end: self.at(at + 10), state };
            let labels = BTreeMap::from([("component_type".to_owned(), kind.to_owned())]);
            self.1
                .add(now, value.map(|value| Scraped { id: "s".into(), labels, value }).into_iter().collect())
        }
    }

    #[test]
    fn a_hand_over_is_no_overlap_and_two_that_export_are() {
        let mut story = Story::new();
        for at in 0..4 {
            story.scrape(0, at * 250, Some(1.0));
            story.scrape(1, at * 250 + 5, None);
        }
        for at in 4..8 {
            story.scrape(0, at * 250, None);
            story.scrape(1, at * 250 + 5, Some(1.0));
        }
        assert!(story.1.overlaps().is_empty());
        // The first one once more, between two scrapes of the second.
        story.scrape(0, 8 * 250, Some(1.0));
        assert!(story.1.overlaps().is_empty(), "the other one may have given up meanwhile");
        story.scrape(1, 9 * 250, Some(1.0));
        let found: Vec<_> = story.1.overlaps().iter().map(|(one, other)| (one.server, *other)).collect();
        assert_eq!(found, [(0, 1)]);
    }

    #[test]
    fn a_gap_is_found_unless_a_fault_excuses_it() {
        let mut story = Story::new();
        for at in 0..4 {
            story.scrape(0, at * 250, Some(1.0));
        }
        story.scrape(0, 1000, None);
        story.scrape(0, 1250, Some(1.0));
        assert_eq!(story.1.gaps_outside(&[]), [], "one may be missed");
        story.scrape(0, 1500, Some(1.0));
        for at in 7..10 {
            story.scrape(0, at * 250, None);
        }
        story.scrape(0, 2500, Some(1.0));
        let missed: Vec<_> = story.1.gaps_outside(&[]).iter().map(|gap| (gap.missed, gap.series)).collect();
        assert_eq!(missed, [(3, 1)]);
        let window = |from, to| Window { from: story.at(from), to: story.at(to) };
        assert_eq!(story.1.gaps_outside(&[window(1600, 3000)]), []);
        assert_eq!(story.1.gaps_outside(&[window(1600, 2000)]).len(), 1, "it lasted longer than it may");
        assert_eq!(story.1.gaps_outside(&[window(3000, 4000)]).len(), 1);
    }

    #[test]
    fn a_counter_that_falls_and_a_label_that_moves_are_found() {
        let mut story = Story::new();
        assert_eq!(story.scrape(0, 0, Some(5.0)).len(), 0);
        assert_eq!(story.scrape(1, 100, Some(4.0)).len(), 1);
        assert_eq!(story.scrape(0, 200, Some(5.0)).len(), 0);
        assert_eq!(story.scrape_of(0, 300, Some(6.0), "broker").len(), 1);
        assert_eq!(story.1.missing_since(story.at(300)), Vec::<&str>::new());
        assert_eq!(story.1.missing_since(story.at(400)), ["s"]);
    }
}
