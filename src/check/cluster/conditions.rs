//! What the operator says in the resource's status.

use super::super::report::{Outcome, failed, left_out, passed, warning};
use super::resource::Installation;

/// Whether the operator took the resource as it is now.
pub(super) fn accepted(it: &Installation) -> Outcome {
    let status = it.resource.status.clone().unwrap_or_default();
    let invalid = status.conditions.iter().find(|condition| condition.reason == "Invalid");
    let generation = it.resource.metadata.generation;
    match (invalid, status.observed_generation) {
        (_, None) => failed("the operator has not looked at it"),
        (Some(condition), _) => failed(condition.message.clone()),
        (_, seen) if seen < generation => warning("the operator has not looked at its last change yet"),
        _ if it.resource.spec.paused => warning("spec.paused is true: nothing is changed in the cluster"),
        _ => passed("as it is now"),
    }
}

/// A condition, which should be True; Degraded should not.
pub(super) fn of(it: &Installation, type_: &str) -> Outcome {
    let conditions = it.resource.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let Some(condition) = conditions.iter().find(|condition| condition.type_ == type_) else {
        return left_out("the operator has not said");
    };
    let words = format!("{}: {}", condition.reason, condition.message);
    let wanted = if type_ == "Degraded" { "False" } else { "True" };
    match condition.status.as_str() {
        status if status == wanted => passed(words),
        "Unknown" => warning(words),
        _ => failed(words),
    }
}
