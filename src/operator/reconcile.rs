//! One pass over one resource: dereference, validate, build, apply, status.
//!
//! Each stage takes what only the one before it makes, so none can be left out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::{Client, Resource, ResourceExt};
use tokio::sync::Notify;

use super::backoff::{Backoff, spread};
use super::cache::Cache;
use super::events::Events;
use super::metrics::{Metrics, Outcome};
use super::probe::Prober;
use super::status::{self, Change, Facts};
use super::warnings::Warnings;
use super::{Guarded, Settings, apply, build, dereference, validate};
use crate::crd::{NoetlMetrics, NoetlMetricsStatus};

/// When a resource that is ready is looked at again, if nothing happens before.
const AT_REST: Duration = Duration::from_mins(1);
/// When one that is not is, at first; later and later while nothing changes.
const IN_MOTION: Duration = Duration::from_secs(10);
/// When a pass is made that came before the watches had listed what there is.
const WARMING_UP: Duration = Duration::from_millis(500);
/// How long a pass may take.
const PASS_TIMEOUT: Duration = Duration::from_mins(2);

/// What all passes of a scope share.
pub(super) struct Context {
    /// For requests.
    pub(super) client: Client,
    /// What the watches know.
    pub(super) cache: Cache,
    /// The installation's settings.
    pub(super) settings: Settings,
    /// Asks servers.
    pub(super) prober: Prober,
    /// Hears what Kubernetes warns of.
    pub(super) warnings: Warnings,
    /// Writes events.
    pub(super) events: Events,
    /// Counts.
    pub(super) metrics: Arc<Metrics>,
    /// Waits.
    pub(super) backoff: Backoff,
    /// Asks for the kinds that there are to be looked up now.
    pub(super) kinds_changed: Notify,
}

/// Why a pass is to be made again.
#[derive(Debug, thiserror::Error)]
pub(super) enum PassError {
    /// Some objects could not be applied.
    #[error("{0} objects could not be applied, the first: {1}")]
    Apply(usize, String),
    /// The status could not be written.
    #[error("the status cannot be written: {0}")]
    Status(kube::Error),
    /// The pass took too long.
    #[error("it took longer than {} s", PASS_TIMEOUT.as_secs())]
    Timeout,
}

impl PassError {
    /// Whether it is the ordinary course of things: somebody else wrote at the same time.
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Status(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found())
    }
}

/// Makes a pass, counts it, and says when the next is due.
pub(super) async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, PassError> {
    if object.meta().deletion_timestamp.is_some() {
        // What was made has the resource as its owner, and goes with it.
        return Ok(Action::await_change());
    }
    if context.cache.is_warming_up() {
        return Ok(Action::requeue(WARMING_UP));
    }
    let began = Instant::now();
    let result = tokio::time::timeout(PASS_TIMEOUT, async {
        match &object.0 {
            Ok(readable) => Box::pin(pass(readable, &context)).await,
            Err(invalid) => unreadable(&object, &invalid.error, &context).await,
        }
    });
    let result = result.await.unwrap_or(Err(PassError::Timeout));
    let outcome = result.as_ref().map_or(Outcome::Failed, |(outcome, _)| *outcome);
    context.metrics.reconciled(outcome, began.elapsed());
    let (_, action) = result?;
    context.backoff.forget(&object.uid().unwrap_or_default());
    Ok(action)
}

/// Says when a pass that failed is made again.
pub(super) fn failed(object: &Guarded, error: &PassError, context: &Context) -> Action {
    let wait = context.backoff.failed(&object.uid().unwrap_or_default());
    let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
    if error.is_conflict() {
        tracing::info!(name, namespace, %error, "trying again");
    } else {
        tracing::warn!(name, namespace, %error, wait_seconds = wait.as_secs(), "the pass failed; trying again");
    }
    Action::requeue(wait)
}

async fn pass(object: &NoetlMetrics, context: &Context) -> Result<(Outcome, Action), PassError> {
    let seen = dereference::dereference(object, context).await;
    let checked = match validate::validate(object, &context.settings, &seen.present) {
        Ok(checked) => checked,
        Err(invalid) => {
            let (status, changes) = status::refused(object, &invalid);
            answer(object, context, &status, &changes).await?;
            return Ok((Outcome::Refused, Action::requeue(AT_REST)));
        }
    };
    let applied = if checked.spec.paused {
        apply::look_only(&checked, &context.cache)
    } else {
        Box::pin(apply::apply(&checked, build::build(&checked), &context.cache, &context.client)).await
    };
    let now = Timestamp::now();
    let facts = Facts::new(&checked, &seen, &applied, now);
    let (status, changes) = status::compute(object, &facts);
    let written = answer(object, context, &status, &changes).await?;
    for failure in &applied.failures {
        context.metrics.apply_failed(failure.kind);
        if failure.kind_is_gone {
            context.kinds_changed.notify_one();
        }
    }
    if let Some(first) = applied.failures.first() {
        let first_failure = format!("{} {}: {}", first.kind.name(), first.name, first.reason);
        return Err(PassError::Apply(applied.failures.len(), first_failure));
    }
    let outcome = match (checked.spec.paused, written || applied.written > 0) {
        (true, _) => Outcome::Paused,
        (false, true) => Outcome::Changed,
        (false, false) => Outcome::Unchanged,
    };
    Ok((outcome, next(object, &status, now)))
}

/// When to look again: sooner while something is on its way. Changes ask for a pass by themselves;
/// this is for what no watch tells, as what servers say of themselves.
fn next(object: &NoetlMetrics, status: &NoetlMetricsStatus, now: Timestamp) -> Action {
    let says =
        |type_: &str, what: &str| status.conditions.iter().any(|c| c.type_ == type_ && c.status == what);
    let at_rest = says("Ready", "True") && says("Progressing", "False");
    let changed = status.conditions.iter().map(|condition| condition.last_transition_time.0).max();
    let quiet = changed.and_then(|at| Duration::try_from(now.duration_since(at)).ok()).unwrap_or_default();
    let wait = if at_rest { AT_REST } else { (quiet / 4).clamp(IN_MOTION, AT_REST) };
    Action::requeue(spread(wait, &object.uid().unwrap_or_default()))
}

async fn answer(
    object: &NoetlMetrics,
    context: &Context,
    status: &NoetlMetricsStatus,
    changes: &[Change],
) -> Result<bool, PassError> {
    let written = status::write(&context.client, object, status).await.map_err(PassError::Status)?;
    if written {
        for Change { condition, .. } in changes.iter().filter(|change| change.transitioned) {
            tracing::info!(
                condition = condition.type_,
                status = condition.status.as_str(),
                reason = condition.reason,
                message = condition.message,
                "condition"
            );
        }
        context.events.changed(object, changes).await;
    }
    Ok(written)
}

async fn unreadable(
    object: &Guarded,
    error: &str,
    context: &Context,
) -> Result<(Outcome, Action), PassError> {
    let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
    tracing::warn!(name, namespace, error, "the resource cannot be read; the others go on");
    let written = status::write_unreadable(&context.client, &namespace, &name, error).await;
    if written.map_err(PassError::Status)? {
        context.events.unreadable(object, error).await;
    }
    Ok((Outcome::Refused, Action::await_change()))
}
