//! Exemplars: single observations behind a series' value, with the trace or the execution they are of.

use super::{Label, Millis, SeriesId, is_label_name};

/// Characters that the names and values of an exemplar's labels may have together, as OpenMetrics has it.
pub const EXEMPLAR_CHARS: usize = 128;
/// The label that has the id of a trace.
pub const TRACE_ID: &str = "trace_id";
/// The label that has the id of an execution.
pub const EXECUTION_ID: &str = "execution_id";

/// An exemplar of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// The series.
    pub series: SeriesId,
    /// When it was observed.
    pub at: Millis,
    /// Its value.
    pub value: f64,
    /// Its own labels, such as `trace_id`, sorted by name.
    pub labels: Vec<Label<'a>>,
}

/// Checks the labels of an exemplar and sorts them by name; an error is a sentence.
pub fn check_exemplar(labels: &mut [Label<'_>]) -> Result<(), String> {
    let chars = chars_of(labels);
    if chars > EXEMPLAR_CHARS {
        return Err(format!(
            "an exemplar's labels have {chars} characters, at most {EXEMPLAR_CHARS} are allowed"
        ));
    }
    if let Some((name, _)) = labels.iter().find(|(name, _)| !is_label_name(name)) {
        return Err(format!("{name:?} is not a label name ([a-zA-Z_][a-zA-Z0-9_]*)"));
    }
    labels.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    match labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(format!("the label {} occurs twice", pair[0].0)),
        None => Ok(()),
    }
}

/// Characters that labels have together.
pub fn chars_of(labels: &[Label<'_>]) -> usize {
    labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_exemplars_are_checked() {
        let check = |pairs: &[(&'static str, &'static str)]| {
            let mut labels: Vec<Label<'_>> =
                pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            check_exemplar(&mut labels).map(|()| labels[0].0.to_string())
        };
        assert_eq!(check(&[("trace_id", "t"), ("a", "é")]).unwrap(), "a");
        let long: &'static str = "é".repeat(121).leak();
        assert!(check(&[("trace_id", long)]).unwrap_err().contains("129 characters"));
        assert!(check(&[("trace_id", &long[2..])]).is_ok());
        for bad in ["", "a-b", "a b", "0a", "é"] {
            assert!(check(&[(bad, "v")]).unwrap_err().contains("is not a label name"), "{bad}");
        }
        assert!(check(&[("a", "1"), ("b", ""), ("a", "2")]).unwrap_err().contains("a occurs twice"));
    }
}
