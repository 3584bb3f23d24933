//! A rule over history: when its alerts would have fired.

use super::{Alert, Alerts, EvaluationError, Labels, Rule, State};
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
    /// The alerts that would have fired, by when they did.
    pub fn replay(&self, history: &[History], looks: Looks) -> Result<Vec<Fired>, (Millis, EvaluationError)> {
        let (mut alerts, mut fired) = (Alerts::default(), Vec::new());
        let mut places = vec![0; history.len()];
        let mut now = looks.start;
        while now <= looks.end {
            let samples = history.iter().zip(&mut places).filter_map(|(series, place)| {
                while series.samples.get(*place).is_some_and(|(at, _)| *at <= now) {
                    *place += 1;
                }
                let (at, value) = *series.samples.get(place.checked_sub(1)?)?;
                (now.since(at) <= looks.stale_after_ms).then_some((value, || series.labels.clone()))
            });
            let held = self.evaluate(samples).map_err(|error| (now, error))?;
            alerts.step(self, &held, now);
            fired.extend(alerts.iter().filter(|alert| alert.resolved_at == Some(now)).filter_map(ended));
            now = now.plus(looks.step_ms.max(1));
        }
        fired.extend(alerts.iter().filter(|alert| alert.state == State::Firing).filter_map(ended));
        fired.sort_by(|a, b| (a.fired_at, &a.alert.labels).cmp(&(b.fired_at, &b.alert.labels)));
        Ok(fired)
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
        let rule = |more: &str| parse(&format!("rules: [{{name: A, metric: m, {more}}}]")).unwrap().remove(0);
        let at = |second: i64| Millis(second * 1000);
        let samples = [1.0, 20.0, 20.0, 20.0, 1.0, 20.0, 20.0].into_iter().enumerate();
        let samples = samples.map(|(n, value)| (at(60 * i64::try_from(n).unwrap()), value)).collect();
        let history = [History { labels: [("component".to_owned(), "w".to_owned())].into(), samples }];
        let looks = Looks { start: at(0), end: at(900), step_ms: 30_000, stale_after_ms: 300_000 };
        let fired = |rule: Rule| -> Vec<_> {
            let fired = rule.replay(&history, looks).unwrap();
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
}
