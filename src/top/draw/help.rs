//! What keys there are, and what the columns say.

use ratatui::text::Line;

use super::Palette;

const TEXT: [(&str, &str); 18] = [
    ("", ""),
    ("↑ ↓  j k", "one line"),
    ("PgUp PgDn", "one screen"),
    ("Home End  g G", "the first line, the last"),
    ("Enter", "the newest values of the component"),
    ("s  r", "the next column orders the list; the other way round"),
    ("/", "only names, types (of values: labels) with these words"),
    ("Esc", "one step back: the filter, the values, the end"),
    ("q  Ctrl-C", "the end"),
    ("", ""),
    ("HEARD", "time since the newest heartbeat or report"),
    ("CPU%  MEM", "of a node the machine's, of others the process's"),
    ("TASKS  QUEUE", "what a worker runs, what waits for it"),
    ("SERIES", "series in the server's memory"),
    ("SAMP/S", "samples accepted a second, over the last minute"),
    ("p99", "99 of 100 reports were answered within, over the last minute"),
    ("-", "is not known"),
    ("", ""),
];

/// All of it.
pub(super) fn lines(palette: Palette) -> Vec<Line<'static>> {
    TEXT.iter()
        .map(|(key, does)| Line::from(vec![format!("  {key:<16}").into(), (*does).into()]))
        .chain([Line::styled("docs/operate.md has more.", palette.quiet())])
        .collect()
}
