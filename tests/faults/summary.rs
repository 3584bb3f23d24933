//! What a run tells at its end, and the checks of what the scraper saw.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::board::{Board, MEMORY_BOUND};
use crate::ledger::Compared;
use crate::schedule::Kind;
use crate::sight::INTERVAL;

#[derive(Default)]
struct OfKind {
    count: usize,
    recovered: Duration,
    handed_over: Option<Duration>,
    failed: u64,
}

pub struct Summary {
    seed: u64,
    kinds: BTreeMap<Kind, OfKind>,
    left_out: BTreeMap<Kind, String>,
}

impl Summary {
    pub const fn new(seed: u64) -> Self {
        Self { seed, kinds: BTreeMap::new(), left_out: BTreeMap::new() }
    }

    pub fn add(&mut self, kind: Kind, recovered: Duration, handed_over: Option<Duration>, failed: u64) {
        let of = self.kinds.entry(kind).or_default();
        of.count += 1;
        of.failed += failed;
        of.recovered = recovered.max(of.recovered);
        of.handed_over = handed_over.max(of.handed_over);
    }

    /// A kind that this machine can't have.
    pub fn left_out(&mut self, kind: Kind, why: &str) {
        self.left_out.entry(kind).or_insert_with(|| why.to_owned());
    }

    /// Judges what the scraper saw, and prints all.
    pub fn finish(&self, board: &Board, compared: Compared, by_agent: usize) {
        let (sight, windows) = (board.sight.lock(), board.windows.lock());
        let overlaps = sight.overlaps();
        for (one, other) in &overlaps {
            let (server, at) = (one.server, board.at(one.start));
            board.violation(format_args!("at {at:.2} s server {server} exported beside server {other}"));
        }
        let (starved, gaps): (Vec<_>, Vec<_>) =
            sight.gaps_outside(&windows).into_iter().partition(|gap| board.pulse.explains(gap.from, gap.to));
        for gap in gaps {
            board.violation(format_args!(
                "{} series were missing from {:.2} s to {:.2} s, in {} scrapes, without a reason",
                gap.series,
                board.at(gap.from),
                board.at(gap.to),
                gap.missed
            ));
        }
        if sight.series() == 0 || compared.acknowledged == 0 {
            board.violation("nothing was reported or scraped");
        }
        for (kind, _) in self.kinds.iter().filter(|(kind, of)| kind.is_felt() && of.failed == 0) {
            board.violation(format_args!("{} was felt by no report: it did nothing", kind.name()));
        }
        let sets = |kind: &Kind| matches!(kind, Kind::ServerClocks);
        if self.kinds.keys().any(sets) && compared.by_wrong_clock == 0 {
            board.violation("the servers' clocks were set, and no sample has a time of them");
        }
        let mut text = String::new();
        let _ = writeln!(text, "\nseed {}: {} faults", self.seed, self.count());
        for (kind, of) in &self.kinds {
            let handed = of.handed_over.map(|t| format!(", handed over in {:.1} s", t.as_secs_f64()));
            let _ = writeln!(
                text,
                "  {:<20} {:>3}   {:>5} reports failed, well again within {:>4.1} s{}",
                kind.name(),
                of.count,
                of.failed,
                of.recovered.as_secs_f64(),
                handed.unwrap_or_default()
            );
        }
        for (kind, why) in &self.left_out {
            let _ = writeln!(text, "  {:<20} left out: {why}", kind.name());
        }
        let Compared { acknowledged, lost, doubled, foreign, misdated, by_wrong_clock } = compared;
        let _ = writeln!(
            text,
            "samples acknowledged {acknowledged}, lost {lost}, doubled {doubled}, not as sent {foreign}; by an agent {by_agent}\n\
             samples with a wrong clock's time {by_wrong_clock}, with a time of no clock {misdated}\n\
             answers {:?}, the slowest after {:.1} s",
            board.answers.lock(),
            board.slowest.lock().as_secs_f64()
        );
        let _ = writeln!(
            text,
            "scraper: {} series every {INTERVAL:?}, overlaps {}, longest gap {:.1} s in a fault, {:.1} s outside\n\
             processors were taken for {:.1} s; gaps that this explains: {}",
            sight.series(),
            overlaps.len(),
            sight.longest_gap().as_secs_f64(),
            sight.longest_gap_outside(&windows).as_secs_f64(),
            board.lost().as_secs_f64(),
            starved.len()
        );
        for (name, bytes) in board.memory.lock().iter() {
            let _ = writeln!(
                text,
                "memory of {name}: {} MiB at most, bound {} MiB",
                bytes >> 20,
                MEMORY_BOUND >> 20
            );
        }
        let _ = writeln!(text, "wrong: {}", board.violations().len());
        println!("{text}");
    }

    fn count(&self) -> usize {
        self.kinds.values().map(|of| of.count).sum()
    }
}
