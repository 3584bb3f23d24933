//! Lists of ServiceAccounts, as flags have them.

use std::str::FromStr;

/// ServiceAccounts: `namespace/name`, `namespace/*` or `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceAccounts(Vec<(String, String)>);

impl FromStr for ServiceAccounts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name =
            |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        let one = |text: &str| match text.trim() {
            "*" => Ok(("*".to_owned(), "*".to_owned())),
            text => match text.split_once('/') {
                Some((ns, name)) if is_name(ns) && (name == "*" || is_name(name)) => {
                    Ok((ns.to_owned(), name.to_owned()))
                }
                _ => Err(format!("{text:?} is not namespace/name, namespace/* or *")),
            },
        };
        text.split(',').map(one).collect::<Result<_, _>>().map(Self)
    }
}

impl ServiceAccounts {
    /// Whether an account is among them.
    pub(super) fn have(&self, namespace: &str, name: &str) -> bool {
        self.0.iter().any(|(ns, n)| (ns == "*" || ns == namespace) && (n == "*" || n == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_accounts_are_named_with_their_namespace() {
        let some: ServiceAccounts = "a/x, b/*".parse().unwrap();
        let cases = [("a", "x", true), ("a", "y", false), ("b", "y", true), ("c", "x", false)];
        for (namespace, name, may) in cases {
            assert_eq!(some.have(namespace, name), may, "{namespace}/{name}");
        }
        assert!("*".parse::<ServiceAccounts>().unwrap().have("c", "z"));
        assert!(!ServiceAccounts::default().have("a", "x"));
        for bad in ["", "a", "a/", "/x", "a/x/y", "*/x", "a b/x"] {
            assert!(bad.parse::<ServiceAccounts>().is_err(), "{bad}");
        }
    }
}
