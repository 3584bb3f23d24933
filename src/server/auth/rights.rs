//! What an endpoint needs, and what a caller may do.

use std::fmt;
use std::str::FromStr;

/// Something that a caller may do. None of them holds another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Right {
    /// See what is stored, and export it.
    Read,
    /// Report, register, sign off.
    Write,
    /// Decide what is kept.
    Admin,
}

impl Right {
    /// Every right.
    pub(in crate::server) const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    /// Its word.
    pub(in crate::server) const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// What a caller without it may not do, as a verb.
    pub(super) const fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "administer",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Read => 1,
            Self::Write => 2,
            Self::Admin => 4,
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an endpoint needs of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Access {
    /// Nothing, ever.
    Open,
    /// A right, where callers are known.
    Needs(Right),
}

/// A set of rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rights(u8);

impl Rights {
    /// With another one.
    #[must_use]
    pub(super) const fn and(self, right: Right) -> Self {
        Self(self.0 | right.bit())
    }

    /// Whether this right is among them.
    pub(super) const fn have(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }
}

impl FromStr for Rights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').try_fold(Self::default(), |rights, word| {
            let right = Right::ALL.into_iter().find(|right| right.as_str() == word);
            right
                .map(|right| rights.and(right))
                .ok_or_else(|| format!("{word:?} is not read, write or admin"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_right_holds_another() {
        for right in Right::ALL {
            let only: Rights = right.as_str().parse().unwrap();
            for other in Right::ALL {
                assert_eq!(only.have(other), right == other, "{right} {other}");
            }
        }
        let two: Rights = "write,admin".parse().unwrap();
        assert!(two.have(Right::Write) && two.have(Right::Admin) && !two.have(Right::Read));
        for bad in ["", "all", "read,", "Read"] {
            assert!(bad.parse::<Rights>().is_err(), "{bad}");
        }
    }
}
