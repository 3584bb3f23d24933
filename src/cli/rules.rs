//! `rules`: a file of alert rules and aggregates is checked, run over history, or written for Prometheus.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::admin::Output;
use super::progress::Testing;
use super::server::DatabaseArgs;
use super::values::duration;
use crate::model::{Label, Millis, export_line, labels_of_line, parse_timestamp};
use crate::rules::{Aggregate, Fired, History, Looks, MADE_BY_SERVERS, Rule, RuleSet, parse};
use crate::store::{Database, Described, Query, Row};

/// Rows of one page of history.
const PAGE: usize = 10_000;
/// Samples of one metric at most.
const MAX_SAMPLES: usize = 5_000_000;

/// What is done with a file of rules.
#[derive(Args, Clone, Debug)]
pub struct RulesArgs {
    /// What is done.
    #[command(subcommand)]
    pub action: RulesAction,
}

/// What is done with a file of rules.
#[derive(Clone, Debug, Subcommand)]
pub enum RulesAction {
    /// Say whether a file of alert rules and aggregates is right, and what is wrong with it.
    ///
    /// Exit code 0: it is right; 1: it is not.
    Check(CheckRulesArgs),
    /// Say which alerts would have fired over samples that are stored.
    ///
    /// Rules are evaluated at each step from --start to --end as a server would have, and the aggregates
    /// that they are over. What a server makes itself (noetl_component_up, noetl_metrics_…) is not
    /// stored: such rules are named and passed over. Exit code 0: no alert would have fired; 3: some would
    /// have; 1: it could not be said.
    Test(TestRulesArgs),
}

/// Flags of `rules check`.
#[derive(Args, Clone, Debug)]
pub struct CheckRulesArgs {
    /// The file.
    pub file: PathBuf,
    /// Write the same rules as Prometheus and vmalert read them.
    #[arg(long)]
    pub prometheus: bool,
}

/// Flags of `rules test`.
#[derive(Args, Clone, Debug)]
pub struct TestRulesArgs {
    /// The file of rules.
    #[arg(long, env = "NOETL_METRICS_RULES_FILE")]
    pub rules_file: PathBuf,
    /// Database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// First time: 2024-01-01T12:00:00Z, or how long ago, as 24h.
    #[arg(long, default_value = "24h", value_parser = time)]
    pub start: Millis,
    /// Last time, likewise; now where it is missing.
    #[arg(long, value_parser = time)]
    pub end: Option<Millis>,
    /// From each evaluation to the next.
    #[arg(long, default_value = "15s", value_parser = duration)]
    pub step: Duration,
    /// A series without a sample for longer is not there.
    #[arg(long, env = "NOETL_METRICS_STALE_AFTER", default_value = "5m", value_parser = duration)]
    pub stale_after: Duration,
    /// Format of the report.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

fn time(text: &str) -> Result<Millis, String> {
    let ago = |ago: Duration| Millis::now().plus(-i64::try_from(ago.as_millis()).unwrap_or(i64::MAX));
    parse_timestamp(text)
        .or_else(|_| duration(text).map(ago))
        .map_err(|_| "write a time (2024-01-01T12:00:00Z) or how long ago (24h, 30m)".into())
}

fn read(file: &Path) -> Result<RuleSet, String> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|e| format!("{shown}: {e}"))?;
    parse(&text).map_err(|e| format!("{shown}: {e}"))
}

impl CheckRulesArgs {
    /// What is printed of a file that is right.
    pub fn run(&self) -> Result<String, String> {
        let text =
            std::fs::read_to_string(&self.file).map_err(|e| format!("{}: {e}", self.file.display()))?;
        let set = read(&self.file)?;
        if !self.prometheus {
            let aggregates = match set.aggregates.len() {
                0 => String::new(),
                n => format!(" and {n} aggregates"),
            };
            return Ok(format!("{} rules{aggregates}, all of them right\n", set.rules.len()));
        }
        // The texts are what they are in both.
        let written: Value = serde_yaml::from_str(&text).map_err(|e| e.to_string())?;
        let texts = written["rules"].as_array().into_iter().flatten();
        let recorded = set.aggregates.iter().map(|one| json!({"record": one.name, "expr": one.promql("")}));
        let alerts = set.rules.iter().zip(texts).map(|(rule, text)| prometheus(rule, text));
        let rules: Vec<Value> = recorded.chain(alerts).collect();
        let groups = json!({"groups": [{"name": "noetl-metrics", "rules": rules}]});
        serde_yaml::to_string(&groups).map_err(|e| e.to_string())
    }
}

/// A rule as Prometheus reads it.
fn prometheus(rule: &Rule, text: &Value) -> Value {
    let annotations: BTreeMap<&str, &Value> =
        rule.annotations.keys().map(|name| (*name, &text[*name])).collect();
    let mut made = json!({"alert": rule.name, "expr": rule.promql(""),
        "labels": {"severity": rule.severity}, "annotations": annotations});
    for (field, ms) in [("for", rule.hold_ms), ("keep_firing_for", rule.keep_ms)] {
        if ms > 0 {
            made[field] = if ms % 1000 == 0 { format!("{}s", ms / 1000) } else { format!("{ms}ms") }.into();
        }
    }
    made
}

/// What became of one rule.
struct Tested<'a> {
    rule: &'a Rule,
    /// Nothing where there is no history of its metric.
    fired: Option<Vec<Fired>>,
}

impl TestRulesArgs {
    /// What is printed, and whether an alert would have fired.
    pub async fn run(&self) -> Result<(String, bool), String> {
        let RuleSet { aggregates, rules } =
            read(&self.rules_file).map_err(|e| format!("--rules-file {e}"))?;
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let looks = Looks {
            start: self.start,
            end: self.end.unwrap_or_else(Millis::now),
            step_ms: ms(self.step),
            stale_after_ms: ms(self.stale_after),
        };
        if looks.start > looks.end {
            return Err("--start is after --end".into());
        }
        let database = self.database.connect().await?;
        let mut tested = Vec::new();
        let mut testing = Testing::new(rules.len(), looks);
        for rule in &rules {
            let fired = test(&database, rule, &aggregates, looks, &mut testing).await?;
            tested.push(Tested { rule, fired });
        }
        testing.end();
        database.close().await;
        let any = tested.iter().any(|one| one.fired.as_ref().is_some_and(|fired| !fired.is_empty()));
        Ok((if self.output == Output::Json { as_json(&tested)? } else { as_text(&tested) }, any))
    }
}

async fn test(
    database: &Database,
    rule: &Rule,
    aggregates: &[Aggregate],
    mut looks: Looks,
    testing: &mut Testing,
) -> Result<Option<Vec<Fired>>, String> {
    // What the rule is over, and what that is made of.
    let (mut metric, mut made) = (&rule.metric, Vec::new());
    while let Some(aggregate) = aggregates.iter().find(|one| one.name == *metric) {
        made.push(aggregate);
        metric = &aggregate.metric;
    }
    testing.rule(&rule.name, made.len() + 2);
    if MADE_BY_SERVERS.iter().any(|prefix| metric.starts_with(prefix)) {
        return Ok(None);
    }
    let mut history = history(database, metric, looks, testing).await?;
    for aggregate in made.into_iter().rev() {
        let too_many = || format!("{} has more than {MAX_SAMPLES} values; ask for less time", aggregate.name);
        testing.part();
        let looked = |at| testing.looked(at);
        history = aggregate.replay(&history, looks, MAX_SAMPLES, looked).ok_or_else(too_many)?;
        looks = looks.at_each();
    }
    testing.part();
    let fired = rule.replay(&history, looks, |at| testing.looked(at));
    fired.map(Some).map_err(|(at, error)| format!("{} at {}: {error}", rule.name, at.rfc3339()))
}

/// The samples of a metric's series, with those before the start that are not stale at it.
async fn history(
    database: &Database,
    metric: &str,
    looks: Looks,
    testing: &mut Testing,
) -> Result<Vec<History>, String> {
    let mut query = Query {
        metric_name: Some(metric.to_owned()),
        start: Some(looks.start.plus(-looks.stale_after_ms)),
        end: Some(looks.end),
        limit: PAGE,
        ..Query::default()
    };
    let mut series: HashMap<i32, History> = HashMap::new();
    let mut samples = 0;
    loop {
        let rows = query.run(database).await.map_err(|e| e.to_string())?;
        samples += rows.len();
        if samples > MAX_SAMPLES {
            return Err(format!("{metric} has more than {MAX_SAMPLES} samples; ask for less time"));
        }
        for row in &rows {
            let of = series.entry(row.place.series);
            of.or_insert_with(|| History { labels: labels(row), ..History::default() })
                .samples
                .push((row.at, row.value));
        }
        let last = rows.last().filter(|_| rows.len() >= PAGE);
        testing.read(last.map_or(looks.start, |row| row.at));
        query.after = last.map(|row| row.place);
        if query.after.is_none() {
            break;
        }
    }
    // Pages are newest first.
    let in_order = |mut series: History| {
        series.samples.reverse();
        series
    };
    Ok(series.into_values().map(in_order).collect())
}

/// The labels that the exposition has of a series.
fn labels(row: &Row) -> BTreeMap<String, String> {
    let Described { component_name, component_type, metric_name, labels, .. } = &*row.series;
    let reported: BTreeMap<String, String> =
        labels.as_ref().and_then(|labels| serde_json::from_str(labels.get()).ok()).unwrap_or_default();
    let reported: Vec<Label<'_>> =
        reported.iter().map(|(k, v)| (Cow::Borrowed(k.as_str()), Cow::Borrowed(v.as_str()))).collect();
    let mut line = Vec::new();
    export_line(&mut line, metric_name, component_name, component_type, &reported);
    labels_of_line(&line).into_iter().collect()
}

fn as_json(tested: &[Tested<'_>]) -> Result<String, String> {
    let alerts = tested.iter().flat_map(|one| one.fired.iter().flatten()).map(|fired| {
        json!({
            "alert": fired.alert.rule,
            "labels": fired.alert.labels,
            "annotations": fired.alert.annotations,
            "value": fired.alert.value,
            "active_at": fired.alert.active_at.rfc3339(),
            "fired_at": fired.fired_at.rfc3339(),
            "resolved_at": fired.resolved_at.map(Millis::rfc3339),
        })
    });
    let passed_over: Vec<&str> =
        tested.iter().filter(|one| one.fired.is_none()).map(|one| one.rule.name.as_str()).collect();
    let all = json!({"alerts": alerts.collect::<Vec<_>>(), "without_history": passed_over});
    serde_json::to_string(&all).map(|text| text + "\n").map_err(|e| e.to_string())
}

fn as_text(tested: &[Tested<'_>]) -> String {
    let mut text = String::new();
    for Tested { rule, fired } in tested {
        let said = match fired.as_deref() {
            None => format!("{}: {} has no history; passed over", rule.name, rule.metric),
            Some([]) => format!("{}: would not have fired", rule.name),
            Some(fired) => format!("{}: would have fired {} times", rule.name, fired.len()),
        };
        let _ = writeln!(text, "{said}");
        for one in fired.iter().flatten() {
            let until = one.resolved_at.map_or_else(|| "the end".to_owned(), Millis::rfc3339);
            let labels = one.alert.labels.iter().filter(|(name, _)| *name != "alertname");
            let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value:?}")).collect();
            let (from, labels) = (one.fired_at.rfc3339(), labels.join(" "));
            let _ = writeln!(text, "  {from} to {until} value={} {labels}", one.alert.value);
        }
    }
    text
}
