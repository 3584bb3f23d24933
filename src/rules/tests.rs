//! The states of alerts, against what a history says by itself.

use proptest::prelude::*;

use super::*;
use crate::model::Millis;

fn rule(hold_s: i64, keep_s: i64) -> Rule {
    let mut rules = parse(
        "rules: [{name: Long, metric: m, labels: {pool: blue}, comparison: '>', threshold: 10, \
         summary: '{{ $labels.component }} {{ $value }}'}]",
    )
    .unwrap();
    let mut rule = rules.rules.remove(0);
    (rule.hold_ms, rule.keep_ms) = (hold_s * 1000, keep_s * 1000);
    rule
}

fn series(component: &str) -> Labels {
    [("component".to_owned(), component.to_owned()), ("pool".to_owned(), "blue".to_owned())].into()
}

/// One look: the values that there are.
fn look(alerts: &mut Alerts, rule: &Rule, values: &[f64], second: i64) {
    let samples = values.iter().enumerate().map(|(n, v)| (*v, move || series(&format!("w{n}"))));
    let held = rule.evaluate(samples).unwrap();
    alerts.step(rule, &held, Millis(second * 1000));
}

fn states(alerts: &Alerts) -> Vec<State> {
    alerts.iter().map(|alert| alert.state).collect()
}

#[test]
fn an_alert_is_pending_then_fires_then_is_resolved_then_forgotten() {
    let (rule, mut alerts) = (rule(60, 0), Alerts::default());
    for (second, value, expected) in [
        (0, 11.0, vec![State::Pending]),
        (45, 11.0, vec![State::Pending]),
        (60, 12.0, vec![State::Firing]),
        (75, 10.0, vec![State::Resolved]),
        (75 + 900, 10.0, vec![State::Resolved]),
        (76 + 900, 10.0, vec![]),
    ] {
        look(&mut alerts, &rule, &[value], second);
        assert_eq!(states(&alerts), expected, "at {second}");
        if let Some(alert) = alerts.iter().next() {
            assert_eq!(
                alert.annotations["summary"],
                format!("w0 {}", value.max(if second < 75 { 0.0 } else { 12.0 }))
            );
            assert_eq!(alert.labels["alertname"], "Long");
        }
    }
    assert_eq!(alerts.gone().len(), 1);
}

#[test]
fn a_short_peak_is_nothing_and_without_a_hold_it_fires_at_once() {
    let (held, mut alerts) = (rule(60, 0), Alerts::default());
    look(&mut alerts, &held, &[11.0], 0);
    look(&mut alerts, &held, &[1.0], 15);
    look(&mut alerts, &held, &[11.0], 60);
    assert_eq!(states(&alerts), [State::Pending]);
    let (at_once, mut alerts) = (rule(0, 0), Alerts::default());
    look(&mut alerts, &at_once, &[11.0], 0);
    assert_eq!(states(&alerts), [State::Firing]);
}

#[test]
fn one_that_was_resolved_begins_anew() {
    let (rule, mut alerts) = (rule(30, 0), Alerts::default());
    for (second, value) in [(0, 11.0), (30, 11.0), (45, 1.0), (60, 11.0)] {
        look(&mut alerts, &rule, &[value], second);
    }
    let alert = alerts.iter().next().unwrap();
    assert_eq!((alert.state, alert.active_at, alert.fired_at), (State::Pending, Millis(60_000), None));
}

#[test]
fn what_is_kept_firing_is_resolved_later() {
    let (rule, mut alerts) = (rule(0, 60), Alerts::default());
    for (second, value, expected) in [
        (0, 11.0, State::Firing),
        (15, 1.0, State::Firing),
        (60, 11.0, State::Firing),
        (75, 1.0, State::Firing),
        (134, 1.0, State::Firing),
        (135, 1.0, State::Resolved),
    ] {
        look(&mut alerts, &rule, &[value], second);
        assert_eq!(states(&alerts), [expected], "at {second}");
    }
}

#[test]
fn a_rule_that_is_gone_resolves_its_alerts() {
    let (rule, mut alerts) = (rule(0, 600), Alerts::default());
    look(&mut alerts, &rule, &[11.0], 0);
    alerts.end_others(std::slice::from_ref(&rule), Millis(15_000));
    assert_eq!(states(&alerts), [State::Firing]);
    alerts.end_others(&[], Millis(30_000));
    assert_eq!(states(&alerts), [State::Resolved]);
}

#[test]
fn what_is_absent_fires_by_the_labels_that_it_was_asked_for_with() {
    let rules = parse("rules: [{name: Gone, metric: m, labels: {pool: blue, x: '=~y'}, comparison: absent}]");
    let rule = rules.unwrap().rules.remove(0);
    let held = rule.evaluate(Vec::<(f64, fn() -> Labels)>::new()).unwrap();
    let labels: Vec<_> = held.keys().next().unwrap().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(labels, [("alertname", "Gone"), ("pool", "blue"), ("severity", "warning")]);
    let there = || [("pool".to_owned(), "blue".to_owned()), ("x".to_owned(), "y".to_owned())].into();
    assert!(rule.evaluate([(f64::NAN, there)]).unwrap().is_empty());
    assert_eq!(rule.promql(""), r#"absent(m{pool="blue",x=~"y"})"#);
}

#[test]
fn too_many_alerts_and_those_that_are_alike_are_refused() {
    let rule = rule(0, 0);
    let many = (0..=MAX_ALERTS).map(|n| (11.0, move || series(&n.to_string())));
    assert_eq!(rule.evaluate(many), Err(EvaluationError::TooMany));
    let alike = ["low", "high"].map(|severity| {
        (11.0, move || {
            let mut labels = series("w");
            labels.insert("severity".into(), severity.into());
            labels
        })
    });
    assert_eq!(rule.evaluate(alike), Err(EvaluationError::Alike));
}

#[test]
fn alertmanagers_are_told_at_once_and_again() {
    let (rule, mut alerts) = (rule(30, 0), Alerts::default());
    let due = |alerts: &Alerts, second: i64| {
        alerts.iter().next().is_some_and(|alert| alert.is_due(60_000, Millis(second * 1000)))
    };
    let sent = |alerts: &mut Alerts, second: i64| {
        alerts.iter_mut().for_each(|alert| alert.sent_at = Some(Millis(second * 1000)));
    };
    look(&mut alerts, &rule, &[11.0], 0);
    assert!(!due(&alerts, 0), "pending ones are nobody's business");
    look(&mut alerts, &rule, &[11.0], 30);
    assert!(due(&alerts, 30));
    sent(&mut alerts, 30);
    assert!(!due(&alerts, 89) && due(&alerts, 90));
    look(&mut alerts, &rule, &[1.0], 45);
    assert!(due(&alerts, 45));
    sent(&mut alerts, 45);
    assert!(!due(&alerts, 60) && due(&alerts, 105));
}

#[test]
fn a_webhook_is_told_once_of_each_change() {
    let (rule, mut alerts) = (rule(0, 0), Alerts::default());
    look(&mut alerts, &rule, &[11.0], 0);
    assert_eq!(alerts.iter().next().unwrap().untold(), Some(State::Firing));
    alerts.iter_mut().for_each(|alert| alert.queued = Some(State::Firing));
    assert_eq!(alerts.iter().next().unwrap().untold(), None);
    look(&mut alerts, &rule, &[1.0], 15);
    assert_eq!(alerts.iter().next().unwrap().untold(), Some(State::Resolved));
    alerts.iter_mut().for_each(|alert| alert.told = Some(State::Resolved));
    assert_eq!(alerts.iter().next().unwrap().untold(), None);
}

#[test]
fn time_in_which_nobody_looked_does_not_count() {
    let (rule, mut alerts) = (rule(60, 0), Alerts::default());
    look(&mut alerts, &rule, &[11.0], 0);
    look(&mut alerts, &rule, &[11.0], 45);
    let kept: Vec<Alert> = alerts.iter().cloned().collect();
    let mut later = Alerts::restore(kept.clone(), 3600 * 1000);
    look(&mut later, &rule, &[11.0], 3600 + 59);
    assert_eq!(states(&later), [State::Pending]);
    look(&mut later, &rule, &[11.0], 3600 + 60);
    assert_eq!(states(&later), [State::Firing]);
    let mut at_once = Alerts::restore(kept, 0);
    look(&mut at_once, &rule, &[11.0], 60);
    assert_eq!(states(&at_once), [State::Firing]);
}

/// What a history says by itself of the last of its looks, without states.
fn by_the_history(history: &[(i64, bool)], hold_s: i64) -> Option<State> {
    // A run of looks at which it held: when it began, and whether it lasted.
    let mut run: Option<(i64, bool)> = None;
    let mut resolved: Option<i64> = None;
    for (at, held) in history {
        match (held, run) {
            (true, None) => (run, resolved) = (Some((*at, hold_s == 0)), None),
            (true, Some((since, _))) => run = Some((since, at - since >= hold_s)),
            (false, Some((_, fired))) => (run, resolved) = (None, fired.then_some(*at)),
            (false, None) => {}
        }
    }
    let now = history.last()?.0;
    match (run, resolved) {
        (Some((_, fired)), _) => Some(if fired { State::Firing } else { State::Pending }),
        (None, Some(at)) if (now - at) * 1000 <= RESOLVED_KEPT_MS => Some(State::Resolved),
        _ => None,
    }
}

proptest! {
    #[test]
    fn states_follow_from_the_history(
        looks in proptest::collection::vec((1_i64..400, any::<bool>()), 1..40),
        hold_s in prop_oneof![Just(0), 1_i64..900],
        restart in 0_usize..40,
    ) {
        let rule = rule(hold_s, 0);
        let (mut alerts, mut now, mut history) = (Alerts::default(), 0, Vec::new());
        for (n, (pause, held)) in looks.into_iter().enumerate() {
            now += pause;
            history.push((now, held));
            look(&mut alerts, &rule, &[if held { 11.0 } else { 1.0 }], now);
            let expected: Vec<State> = by_the_history(&history, hold_s).into_iter().collect();
            prop_assert_eq!(states(&alerts), expected, "{:?}", history);
            if n == restart {
                alerts = Alerts::restore(alerts.iter().cloned().collect(), 0);
            }
        }
    }

    #[test]
    fn every_alert_that_leaves_is_named_once(
        looks in proptest::collection::vec(proptest::collection::vec(0.0_f64..20.0, 0..4), 1..40),
    ) {
        let (rule, mut alerts) = (rule(30, 0), Alerts::default());
        let mut known = std::collections::BTreeSet::new();
        for (n, values) in looks.iter().enumerate() {
            look(&mut alerts, &rule, values, i64::try_from(n).unwrap() * 301);
            known.extend(alerts.iter().map(Alert::key));
            let now: std::collections::BTreeSet<_> = alerts.iter().map(Alert::key).collect();
            let gone: std::collections::BTreeSet<_> = alerts.gone().iter().cloned().collect();
            prop_assert_eq!(gone.len(), alerts.gone().len());
            prop_assert_eq!(&now | &gone, known.clone());
            prop_assert!(now.is_disjoint(&gone));
            known.retain(|key| now.contains(key));
            alerts.saved();
        }
    }
}
