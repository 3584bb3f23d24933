//! What was found: a line for each thing that was checked.

use super::catalogue::Check;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// As it should be.
    Passed,
    /// Not as it should be: the check as a whole fails.
    Failed,
    /// Worth a look.
    Warning,
    /// Not looked at; the detail says why.
    LeftOut,
}

impl Status {
    /// The mark before its line.
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Passed => "✓",
            Self::Failed => "✗",
            Self::Warning => "!",
            Self::LeftOut => "-",
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Step {
    /// Which check it is.
    pub id: &'static str,
    /// What should be so.
    pub name: &'static str,
    /// Whether nothing is wrong with it, as far as was looked.
    pub ok: bool,
    /// How it is.
    pub status: Status,
    /// What was seen.
    pub detail: String,
    /// What to do, where it is not as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
    /// Where that is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docs: Option<String>,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.status.mark(), self.name, self.detail.trim())?;
        self.hint.iter().chain(&self.docs.as_deref()).try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome(pub(super) Status, pub(super) String);

pub(super) fn passed(detail: impl Into<String>) -> Outcome {
    Outcome(Status::Passed, detail.into())
}

pub(super) fn failed(detail: impl Into<String>) -> Outcome {
    Outcome(Status::Failed, detail.into())
}

pub(super) fn warning(detail: impl Into<String>) -> Outcome {
    Outcome(Status::Warning, detail.into())
}

pub(super) fn left_out(detail: impl Into<String>) -> Outcome {
    Outcome(Status::LeftOut, detail.into())
}

impl From<Result<String, String>> for Outcome {
    fn from(seen: Result<String, String>) -> Self {
        seen.map_or_else(failed, passed)
    }
}

/// Either way it is what was found: `Err` is for what ends a check early.
impl From<Result<Self, Self>> for Outcome {
    fn from(found: Result<Self, Self>) -> Self {
        found.unwrap_or_else(|early| early)
    }
}

/// The lines so far.
pub(super) struct Report<'a> {
    tell: &'a (dyn Fn(&Step) + Sync),
    pub(super) steps: Vec<Step>,
}

impl<'a> Report<'a> {
    /// None yet; `tell` hears of each.
    pub(super) fn new(tell: &'a (dyn Fn(&Step) + Sync)) -> Self {
        Self { tell, steps: Vec::new() }
    }

    /// Adds a line; whether nothing failed.
    pub(super) fn note(&mut self, check: &'static Check, found: impl Into<Outcome>) -> bool {
        let Outcome(status, detail) = found.into();
        let wrong = matches!(status, Status::Failed | Status::Warning);
        let step = Step {
            id: check.id,
            name: check.name,
            ok: status != Status::Failed,
            status,
            detail,
            hint: wrong.then_some(check.hint),
            docs: wrong.then(|| format!("docs/{}", check.docs)),
        };
        (self.tell)(&step);
        self.steps.push(step);
        status != Status::Failed
    }

    /// Leaves out those of a family that were not looked at.
    pub(super) fn leave_rest(&mut self, family: &[&'static Check], why: &str) {
        for check in family {
            if self.steps.iter().all(|step| step.id != check.id) {
                self.note(check, left_out(why));
            }
        }
    }
}

/// Things in a list for people: the first few, and how many more.
pub(super) fn listed(all: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = all.len().saturating_sub(SHOWN);
    let shown = all[..all.len() - more].join("; ");
    if more > 0 { format!("{shown}; and {more} more") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_end_with_how_many_more() {
        let all: Vec<String> = (0..7).map(|n| n.to_string()).collect();
        assert_eq!(listed(&all), "0; 1; 2; 3; 4; and 2 more");
        assert_eq!(listed(&all[..1]), "0");
        assert_eq!(listed(&[]), "");
    }

    #[test]
    fn what_is_wrong_has_a_next_step_and_a_link_and_what_is_not_has_none() {
        let mut report = Report::new(&|_| ());
        let check = super::super::catalogue::READY;
        for (found, marks) in
            [(passed("a"), "✓"), (failed("b"), "✗"), (warning("c"), "!"), (left_out("d"), "-")]
        {
            let wrong = matches!(found.0, Status::Failed | Status::Warning);
            report.note(check, found);
            let text = report.steps[report.steps.len() - 1].to_string();
            assert!(text.starts_with(marks), "{text}");
            assert_eq!(text.contains(check.hint) && text.contains("docs/runbooks/"), wrong, "{text}");
        }
        assert_eq!(report.steps.iter().filter(|s| !s.ok).count(), 1);
    }
}
