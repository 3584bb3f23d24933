//! The series that somebody looks for.

use std::fmt::Write as _;

/// Ids of series, each once, in order.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Ids(Vec<i32>);

/// Runs of ids that a statement names; where there are more, it names the least and the greatest id.
const RUNS: usize = 500;
/// Ids that lie so near to each other are one run.
const NEAR: i32 = 8;

impl Ids {
    pub(in crate::store) fn of(mut ids: Vec<i32>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        Self(ids)
    }

    pub(in crate::store) fn has(&self, id: i32) -> bool {
        self.0.binary_search(&id).is_ok()
    }

    pub(in crate::store) fn all(&self) -> &[i32] {
        &self.0
    }

    /// SQL: a chunk, `c`, may have some of these series, or of all where there are none.
    pub(super) fn overlap(ids: Option<&Self>) -> String {
        let Some(Self(ids)) = ids else { return String::new() };
        let (Some(least), Some(greatest)) = (ids.first(), ids.last()) else { return "and false".into() };
        let chunk = "int4range(c.least_id, c.greatest_id, '[]')";
        let runs: Vec<&[i32]> = ids.chunk_by(|a, b| b.saturating_sub(*a) <= NEAR).collect();
        if runs.len() == 1 || runs.len() > RUNS {
            return format!("and {chunk} && int4range({least}, {greatest}, '[]')");
        }
        let mut text = format!("and {chunk} && '{{");
        for (i, run) in runs.iter().enumerate() {
            let (Some(least), Some(greatest)) = (run.first(), run.last()) else { continue };
            let _ = write!(text, "{}[{least},{greatest}]", if i > 0 { "," } else { "" });
        }
        text.push_str("}'::int4multirange");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_lie_together_are_one_range() {
        let overlap = |ids: &[i32]| Ids::overlap(Some(&Ids::of(ids.to_vec())));
        assert_eq!(overlap(&[]), "and false");
        assert_eq!(
            overlap(&[7, 5, 6]),
            "and int4range(c.least_id, c.greatest_id, '[]') && int4range(5, 7, '[]')"
        );
        let apart = overlap(&[5, 6, 100, 200, 201]);
        assert!(apart.ends_with("'{[5,6],[100,100],[200,201]}'::int4multirange"), "{apart}");
        let many: Vec<i32> = (0..2000).map(|i| i * 100).collect();
        assert!(overlap(&many).ends_with("int4range(0, 199900, '[]')"));
        assert_eq!(Ids::overlap(None), "");
    }
}
