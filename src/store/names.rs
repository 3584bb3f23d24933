//! Which metric name has which type: the database's claims, held in memory; and what senders declare of
//! metrics beside their samples.

use std::collections::HashMap;

use parking_lot::RwLock;
use sqlx::Row as _;

use super::db::{StoreError, Transaction, sql};
use super::series::{NewSample, Refused};
use crate::model::{MetricType, can_be, family_of};

/// Families of which something is remembered that was declared; what is declared of more is forgotten.
const MOST_DECLARED: usize = 20_000;

/// Metric names that are claimed, and by which type.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: RwLock<HashMap<Box<str>, Claim>>,
    declared: RwLock<HashMap<Box<str>, Declared>>,
}

/// What a name is here.
#[derive(Clone, Copy, Debug)]
struct Claim {
    kind: MetricType,
    /// Nobody declared the type: it gives way to one that is.
    inferred: bool,
}

/// A name that a report uses for the first time.
#[derive(Clone, Debug)]
pub(super) struct NewName<'a> {
    pub(super) name: &'a str,
    pub(super) kind: MetricType,
    pub(super) inferred: bool,
    pub(super) help: Option<&'a str>,
    pub(super) unit: Option<&'a str>,
}

/// What was declared of a metric. The texts are short: all of it is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Its type.
    pub kind: Option<MetricType>,
    /// Help text.
    pub help: Option<Box<str>>,
    /// Unit.
    pub unit: Option<Box<str>>,
}

impl Names {
    pub(super) async fn load(&self, tx: &mut Transaction) -> Result<(), StoreError> {
        let rows = sql("select metric_name, metric_type, inferred from noetl_metrics.metric_name")
            .fetch_all(&mut **tx)
            .await?;
        let mut known = self.known.write();
        for row in rows {
            if let Ok(kind) = row.try_get::<&str, _>(1)?.parse() {
                known.insert(row.try_get::<&str, _>(0)?.into(), Claim { kind, inferred: row.try_get(2)? });
            }
        }
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<MetricType> {
        self.known.read().get(name).map(|claim| claim.kind)
    }

    /// The type of a sample: where its own is only inferred, that which its name has already.
    pub(super) fn settle(&self, sample: &NewSample<'_>) -> MetricType {
        let known = || self.get(sample.name).filter(|kind| can_be(*kind, sample.name, sample.labels));
        if sample.inferred { known().unwrap_or(sample.kind) } else { sample.kind }
    }

    /// Whether the name's type was only inferred, and this one counts for more.
    pub(super) fn gives_way(&self, name: &str, kind: MetricType, inferred: bool) -> bool {
        let claim = self.known.read().get(name).copied();
        claim.is_some_and(|claim| {
            let shown = claim.kind != kind && kind.is_grouped();
            claim.inferred && (!inferred || shown)
        })
    }

    /// Claims names in the database; returns those that were refused, with the reason.
    pub(super) async fn claim(
        &self,
        tx: &mut Transaction,
        names: &[NewName<'_>],
    ) -> Result<HashMap<String, Refused>, StoreError> {
        // In one order everywhere, so that two servers can't wait for each other.
        let mut sorted = names.to_vec();
        sorted.sort_by_key(|n| (n.name, n.inferred));
        sorted.dedup_by_key(|n| n.name);
        let rows = sql("select name, noetl_metrics.claim_as_error(name, type, help, unit, inferred) \
                        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[]) u(name, type, help, unit, inferred)")
            .bind(sorted.iter().map(|n| n.name).collect::<Vec<_>>())
            .bind(sorted.iter().map(|n| n.kind.as_str()).collect::<Vec<_>>())
            .bind(sorted.iter().map(|n| n.help).collect::<Vec<_>>())
            .bind(sorted.iter().map(|n| n.unit).collect::<Vec<_>>())
            .bind(sorted.iter().map(|n| n.inferred).collect::<Vec<_>>())
            .fetch_all(&mut **tx)
            .await?;
        let mut refused = HashMap::new();
        for row in rows {
            if let Some(reason) = row.try_get::<Option<&str>, _>(1)? {
                refused.insert(row.try_get(0)?, refusal(reason));
            }
        }
        Ok(refused)
    }

    /// Remembers a name whose claim is committed, with all names of its family; adds those to `changed`
    /// that had another type.
    pub(super) fn hold(&self, new: &NewName<'_>, changed: &mut HashMap<Box<str>, MetricType>) {
        let NewName { kind, inferred, .. } = *new;
        let family = family_of(new.name, kind);
        let mut known = self.known.write();
        for suffix in family.suffixes() {
            let name: Box<str> = format!("{}{suffix}", family.name).into();
            let before = known.insert(name.clone(), Claim { kind, inferred });
            if before.is_some_and(|claim| claim.kind != kind) {
                changed.insert(name, kind);
            }
        }
    }

    /// Remembers what was declared of a family; what it said before of it is forgotten.
    pub(super) fn declare(&self, family: &str, declared: Declared) {
        if self.declared.read().get(family) == Some(&declared) {
            return;
        }
        let mut all = self.declared.write();
        if all.len() < MOST_DECLARED || all.contains_key(family) {
            all.insert(family.into(), declared);
        }
    }

    /// What was declared of a metric, by its own name or by that of the family that it may belong to.
    pub(super) fn declared(&self, metric: &str) -> Option<Declared> {
        let all = self.declared.read();
        let of_family = || {
            let suffixes = ["_bucket", "_sum", "_count", "_total"];
            suffixes.iter().find_map(|suffix| all.get(metric.strip_suffix(suffix)?))
        };
        all.get(metric).or_else(of_family).cloned()
    }

    /// The names by which a family of this type is known here.
    pub(super) fn names_of(&self, family: &str, kind: Option<MetricType>) -> Vec<String> {
        let known = self.known.read();
        let suffixes: &[&str] = match kind {
            Some(MetricType::Histogram) => &["", "_bucket", "_sum", "_count"],
            Some(MetricType::Summary) => &["", "_sum", "_count"],
            Some(MetricType::Counter) => &["", "_total"],
            Some(MetricType::Gauge) | None => &[""],
        };
        let names = suffixes.iter().map(|suffix| format!("{family}{suffix}"));
        names.filter(|name| known.contains_key(name.as_str())).collect()
    }
}

/// The database's reason begins with the field.
fn refusal(reason: &str) -> Refused {
    match reason.split_once(": ") {
        Some(("metric_name", why)) => Refused { field: "metric_name", reason: why.into() },
        Some(("metric_type", why)) => Refused { field: "metric_type", reason: why.into() },
        _ => Refused { field: "metric_type", reason: reason.into() },
    }
}
