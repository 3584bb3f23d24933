//! Which metric name has which type: the database's claims, held in memory.

use std::collections::HashMap;

use parking_lot::RwLock;
use sqlx::Row as _;

use super::db::{StoreError, Transaction, sql};
use super::series::Refused;
use crate::model::{MetricType, family_of};

/// Metric names that are claimed, and by which type.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: RwLock<HashMap<Box<str>, MetricType>>,
}

/// A name that a report uses for the first time.
#[derive(Clone, Debug)]
pub(super) struct NewName<'a> {
    pub(super) name: &'a str,
    pub(super) kind: MetricType,
    pub(super) help: Option<&'a str>,
    pub(super) unit: Option<&'a str>,
}

impl Names {
    pub(super) async fn load(&self, tx: &mut Transaction) -> Result<(), StoreError> {
        let rows = sql("select metric_name, metric_type from noetl_metrics.metric_name")
            .fetch_all(&mut **tx)
            .await?;
        let mut known = self.known.write();
        for row in rows {
            if let Ok(kind) = row.try_get::<&str, _>(1)?.parse() {
                known.insert(row.try_get::<&str, _>(0)?.into(), kind);
            }
        }
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<MetricType> {
        self.known.read().get(name).copied()
    }

    /// Claims names in the database; returns those that were refused, with the reason.
    pub(super) async fn claim(
        &self,
        tx: &mut Transaction,
        names: &[NewName<'_>],
    ) -> Result<HashMap<String, Refused>, StoreError> {
        // In one order everywhere, so that two servers can't wait for each other.
        let mut sorted = names.to_vec();
        sorted.sort_by_key(|n| n.name);
        sorted.dedup_by_key(|n| n.name);
        let rows = sql("select name, noetl_metrics.claim_error(name, type, help, unit) \
                        from unnest($1::text[], $2::text[], $3::text[], $4::text[]) u(name, type, help, unit)")
            .bind(sorted.iter().map(|n| n.name).collect::<Vec<_>>())
            .bind(sorted.iter().map(|n| n.kind.as_str()).collect::<Vec<_>>())
            .bind(sorted.iter().map(|n| n.help).collect::<Vec<_>>())
            .bind(sorted.iter().map(|n| n.unit).collect::<Vec<_>>())
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

    /// Remembers names whose claim is committed, with all names of their families.
    pub(super) fn hold(&self, name: &str, kind: MetricType) {
        let family = family_of(name, kind);
        let mut known = self.known.write();
        for suffix in family.suffixes() {
            known.insert(format!("{}{suffix}", family.name).into(), kind);
        }
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
