//! The table as text, for what is no terminal: nothing is cut, and there is no colour.

use std::fmt::Write as _;

use super::column::Column;
use super::draw::{alerts, totals};
use super::short::{clean, left, right, width};
use super::snapshot::Snapshot;

/// The table.
pub(super) fn table(snapshot: &Snapshot) -> String {
    let cells: Vec<[String; 10]> =
        snapshot.components.iter().map(|row| Column::ALL.map(|column| clean(&column.cell(row)))).collect();
    let mut text = String::new();
    let titles = Column::ALL.map(|column| column.title().to_owned());
    let widths: Vec<usize> = (0..Column::ALL.len())
        .map(|at| cells.iter().chain([&titles]).map(|line| width(&line[at])).max().unwrap_or(0))
        .collect();
    for line in [&titles].into_iter().chain(&cells) {
        let padded = Column::ALL.iter().zip(line).zip(&widths).map(|((column, cell), &places)| {
            if column.is_text() { left(cell, places) } else { right(cell, places) }
        });
        let _ = writeln!(text, "{}", padded.collect::<Vec<_>>().join("  "));
    }
    let _ = writeln!(text, "\n{}", totals(snapshot));
    if let Some(alerts) = alerts(snapshot) {
        let _ = writeln!(text, "{}", clean(&alerts));
    }
    for notice in &snapshot.notices {
        let _ = writeln!(text, "note: {}", clean(notice));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn the_table_is_whole_and_aligned() {
        let mut snapshot = fixture::snapshot();
        snapshot.notices.push("it is only half known".into());
        crate::top::golden("plain.txt", &table(&snapshot));
    }
}
