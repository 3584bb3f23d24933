//! A caller that may do what it asks for, and the components that it may speak for.

use super::super::problem::{Kind, Problem};
use super::rights::{Right, Rights};

/// Names of components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// Every name.
    Any,
    /// These; one that ends in `*` stands for all that begin so.
    Only(Vec<String>),
}

impl Names {
    fn have(&self, name: &str) -> bool {
        let is = |own: &String| own.strip_suffix('*').map_or(own == name, |begin| name.starts_with(begin));
        match self {
            Self::Any => true,
            Self::Only(names) => names.iter().any(is),
        }
    }
}

/// Someone who is known.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// Who it is, for answers and the log. Never a token.
    pub(super) who: String,
    /// What it may do.
    pub(super) rights: Rights,
    /// The components that it may speak for.
    pub(super) names: Names,
}

impl Identity {
    /// The caller, where it may do what is asked; `hint` says how it could be let.
    pub(super) fn with(self, right: Right, hint: &str) -> Result<Caller, Problem> {
        if self.rights.have(right) {
            return Ok(Caller { who: self.who, names: self.names });
        }
        let detail = format!("{} may not {}: {hint}", self.who, right.verb());
        Err(Problem::new(Kind::FORBIDDEN, detail))
    }
}

/// A caller that may do what it asks for.
#[derive(Clone, Debug)]
pub(in crate::server) struct Caller {
    who: String,
    names: Names,
}

impl Caller {
    /// Whoever it is.
    pub(super) fn anyone() -> Self {
        Self { who: "everyone".into(), names: Names::Any }
    }

    /// Whether it may speak for every component.
    pub(in crate::server) fn is_unbound(&self) -> bool {
        self.names == Names::Any
    }

    /// Checks that it may speak for the component of this name.
    pub(in crate::server) fn speaks_for(&self, component: &str) -> Result<(), Problem> {
        if self.names.have(component) {
            return Ok(());
        }
        let Names::Only(own) = &self.names else { return Ok(()) };
        let component: String = component.chars().take(100).collect();
        let detail = format!("{} may not speak for '{component}', only for {}", self.who, own.join(", "));
        Err(Problem::new(Kind::FORBIDDEN, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole_or_beginnings() {
        let caller = |names: &[&str]| Caller {
            who: "it".into(),
            names: Names::Only(names.iter().map(ToString::to_string).collect()),
        };
        let one = caller(&["worker", "job-*"]);
        for (name, may) in
            [("worker", true), ("worker-1", false), ("job-1", true), ("job", false), ("", false)]
        {
            assert_eq!(one.speaks_for(name).is_ok(), may, "{name}");
        }
        assert!(Caller::anyone().speaks_for("x").is_ok());
        let refused = one.speaks_for("other").unwrap_err();
        assert_eq!(
            (refused.status(), refused.detail()),
            (403, "it may not speak for 'other', only for worker, job-*")
        );
    }
}
