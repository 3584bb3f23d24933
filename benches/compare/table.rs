//! What was measured, as a table on the terminal and as a section of `docs/benchmarks.md`.

use std::fmt::Write as _;

use crate::picture::Panel;

/// One measured row of the list of comparisons.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// Its number.
    pub(crate) number: u32,
    /// What is measured.
    pub(crate) title: &'static str,
    /// The figures.
    pub(crate) lines: Vec<Line>,
    /// How costs grow, where there are several sizes; drawn beside each other.
    pub(crate) panels: Vec<Panel>,
    /// How it was measured, and what to know when reading the figures.
    pub(crate) notes: Vec<String>,
}

/// One figure.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// Size and case.
    pub(crate) case: String,
    /// Ours.
    pub(crate) here: String,
    /// The other's, with its name.
    pub(crate) other: String,
    /// The two in relation.
    pub(crate) ratio: String,
    /// What is aimed at.
    pub(crate) target: String,
    /// Whether it was reached; `None` where there is nothing to reach.
    pub(crate) met: Option<bool>,
}

const HEADS: [&str; 6] = ["row, case", "here", "against", "ratio", "target", "reached"];

impl Line {
    fn cells(&self) -> [&str; 6] {
        let reached = match self.met {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        };
        [&self.case, &self.here, &self.other, &self.ratio, &self.target, reached]
    }
}

/// All rows for a terminal.
pub(crate) fn text(rows: &[Row]) -> String {
    let mut widths = HEADS.map(|head| head.chars().count());
    for line in rows.iter().flat_map(|row| &row.lines) {
        for (width, cell) in widths.iter_mut().zip(line.cells()) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let join = |cells: [&str; 6]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut out = join(HEADS);
    for row in rows {
        let _ = writeln!(out, "{}. {}", row.number, row.title);
        row.lines.iter().for_each(|line| out += &join(line.cells()));
    }
    out
}

/// The section of one row for the document, with the path of its picture if it has one.
pub(crate) fn markdown(row: &Row, picture: Option<&str>, made: &str) -> String {
    let mut out = format!("## {}. {}\n\n", row.number, row.title);
    out += "| case | here | against | ratio | target | reached |\n|---|---|---|---|---|---|\n";
    for line in &row.lines {
        let _ = writeln!(out, "| {} |", line.cells().join(" | "));
    }
    out.push('\n');
    if let Some(path) = picture {
        let _ =
            writeln!(out, "![{}: how the cost grows with size, on logarithmic scales]({path})\n", row.title);
    }
    row.notes.iter().for_each(|note| {
        let _ = writeln!(out, "- {note}");
    });
    let _ = write!(out, "\nMeasured {made}.\n");
    out
}
