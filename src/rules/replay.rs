//! A rule over history: when its alerts would have fired. An aggregate over history: what it would have
//! come to.

use std::collections::BTreeMap;

use super::{Aggregate, Alert, Alerts, EvaluationError, Labels, Rule, State};
use crate::model::Millis;

/// Samples of one series in order of time.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Its labels.
    pub labels: Labels,
    /// Times and values.
    pub samples: Vec<(Millis, f64)>,
}

/// At which times the rule is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Looks {
    /// The first.
    pub start: Millis,
    /// None is later.
    pub end: Millis,
    /// From each to the next, in milliseconds.
    pub step_ms: i64,
    /// A series whose newest sample is older is not there, in milliseconds.
    pub stale_after_ms: i64,
}

impl Looks {
    /// Looks at what was made at the same looks: what is not there at one of them is gone.
    #[must_use]
    pub const fn at_each(self) -> Self {
        Self { stale_after_ms: 0, ..self }
    }

    /// What there is at each look, of which `tell` hears before.
    fn each<T>(
        self,
        history: &[History],
        mut tell: impl FnMut(Millis),
        mut look: impl FnMut(Millis, &mut dyn Iterator<Item = (f64, &History)>) -> Result<(), T>,
    ) -> Result<(), T> {
        let mut places = vec![0; history.len()];
        let mut now = self.start;
        while now <= self.end {
            tell(now);
            let mut there = history.iter().zip(&mut places).filter_map(|(series, place)| {
                while series.samples.get(*place).is_some_and(|(at, _)| *at <= now) {
                    *place += 1;
                }
                let (at, value) = *series.samples.get(place.checked_sub(1)?)?;
                (now.since(at) <= self.stale_after_ms).then_some((value, series))
            });
            look(now, &mut there)?;
            now = now.plus(self.step_ms.max(1));
        }
        Ok(())
    }
}

/// An alert that would have fired.
#[derive(Clone, Debug, PartialEq)]
pub struct Fired {
    /// The alert as it was when it ended, or at the last look.
    pub alert: Alert,
    /// When it began to fire.
    pub fired_at: Millis,
    /// When it was resolved; not yet where it is `None`.
    pub resolved_at: Option<Millis>,
}

impl Rule {
    /// The alerts that would have fired, by when they did; `tell` hears of each look.
    pub fn replay(
        &self,
        history: &[History],
        looks: Looks,
        tell: impl FnMut(Millis),
    ) -> Result<Vec<Fired>, (Millis, EvaluationError)> {
        let (mut alerts, mut fired) = (Alerts::default(), Vec::new());
        looks.each(history, tell, |now, there| {
            let samples = there.map(|(value, series)| (value, || series.labels.clone()));
            let held = self.evaluate(samples).map_err(|error| (now, error))?;
            alerts.step(self, &held, now);
            fired.extend(alerts.iter().filter(|alert| alert.resolved_at == Some(now)).filter_map(ended));
            Ok(())
        })?;
        fired.extend(alerts.iter().filter(|alert| alert.state == State::Firing).filter_map(ended));
        fired.sort_by(|a, b| (a.fired_at, &a.alert.labels).cmp(&(b.fired_at, &b.alert.labels)));
        Ok(fired)
    }
}

impl Aggregate {
    /// What it would have come to at each look, of which `tell` hears; nothing where that is more than `most`
    /// values.
    pub fn replay(
        &self,
        history: &[History],
        looks: Looks,
        most: usize,
        tell: impl FnMut(Millis),
    ) -> Option<Vec<History>> {
        let (mut groups, mut values) = (BTreeMap::<Labels, Vec<(Millis, f64)>>::new(), 0);
        let look = |now, there: &mut dyn Iterator<Item = (f64, &History)>| {
            let found = self.evaluate(there.map(|(value, series)| (value, || series.labels.clone())));
            values += found.values.len();
            for (labels, value) in found.values {
                groups.entry(labels).or_default().push((now, value));
            }
            if values > most { Err(()) } else { Ok(()) }
        };
        looks.each(history, tell, look).ok()?;
        Some(groups.into_iter().map(|(labels, samples)| History { labels, samples }).collect())
    }
}

fn ended(alert: &Alert) -> Option<Fired> {
    Some(Fired { fired_at: alert.fired_at?, resolved_at: alert.resolved_at, alert: alert.clone() })
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn history_says_when_alerts_would_have_fired() {
        let rule =
            |more: &str| parse(&format!("rules: [{{name: A, metric: m, {more}}}]")).unwrap().rules.remove(0);
        let at = |second: i64| Millis(second * 1000);
        let samples = [1.0, 20.0, 20.0, 20.0, 1.0, 20.0, 20.0].into_iter().enumerate();
        let samples = samples.map(|(n, value)| (at(60 * i64::try_from(n).unwrap()), value)).collect();
        let history = [History { labels: [("component".to_owned(), "w".to_owned())].into(), samples }];
        let looks = Looks { start: at(0), end: at(900), step_ms: 30_000, stale_after_ms: 300_000 };
        let fired = |rule: Rule| -> Vec<_> {
            let fired = rule.replay(&history, looks, |_| ()).unwrap();
            fired.iter().map(|one| (one.fired_at.0 / 1000, one.resolved_at.map(|at| at.0 / 1000))).collect()
        };
        // The last sample, of second 360, is there up to second 660.
        assert_eq!(
            fired(rule("comparison: '>', threshold: 10, for: 1m")),
            [(120, Some(240)), (360, Some(690))]
        );
        assert_eq!(fired(rule("comparison: '>', threshold: 10, for: 1h")), []);
        assert_eq!(fired(rule("comparison: absent, for: 90s")), [(780, None)]);
    }

    #[test]
    fn an_aggregate_over_history_ends_with_its_series() {
        let set = parse(
            "aggregates: [{name: a, metric: m, by: [pool], function: sum}]\n\
             rules: [{name: A, metric: a, comparison: '>', threshold: 2, summary: '{{ $labels.pool }}'}]",
        )
        .unwrap();
        let series = |component: &str, pool: &str, minutes: std::ops::Range<i64>| History {
            labels: [("component".to_owned(), component.to_owned()), ("pool".to_owned(), pool.to_owned())]
                .into(),
            samples: minutes.map(|minute| (Millis(minute * 60_000), 2.0)).collect(),
        };
        let history = [series("w1", "blue", 0..10), series("w2", "blue", 3..5), series("w3", "red", 0..10)];
        let minute = |n: i64| Millis(n * 60_000);
        let looks = Looks { start: minute(0), end: minute(20), step_ms: 60_000, stale_after_ms: 60_000 };
        let mut told = Vec::new();
        let made = set.aggregates[0].replay(&history, looks, 1000, |at| told.push(at)).unwrap();
        assert_eq!(told, (0..=20).map(minute).collect::<Vec<_>>());
        let blue: Vec<f64> = made[0].samples.iter().map(|(_, value)| *value).collect();
        // Each is there for a minute longer than its last sample.
        assert_eq!(blue, [2.0, 2.0, 2.0, 4.0, 4.0, 4.0, 2.0, 2.0, 2.0, 2.0, 2.0]);
        let fired = set.rules[0].replay(&made, looks.at_each(), |_| ()).unwrap();
        let [one] = &fired[..] else { panic!("{fired:?}") };
        assert_eq!((one.fired_at, one.resolved_at), (minute(3), Some(minute(6))));
        assert_eq!(one.alert.annotations["summary"], "blue");
        assert!(set.aggregates[0].replay(&history, looks, 10, |_| ()).is_none());
    }
}
