//! Numbers and names for narrow columns.
//!
//! Contract: pure. No number takes more than six places; a name that is cut keeps its beginning and
//! its end, which is where pods differ.

use ratatui::text::Span;

/// What stands for a value that is not known.
pub(super) const UNKNOWN: &str = "-";

/// A length of time in seconds: `12s`, `3m`, `4h`, `5d`.
pub(super) fn age(seconds: i64) -> String {
    match seconds.max(0) {
        s @ ..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m", s / 60),
        s @ 3600..172_800 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

/// A size: `512B`, `1.5Gi`, `120Mi`.
pub(super) fn bytes(value: f64) -> String {
    let (value, unit) = scaled(value, 1024.0, 1023.5, &["B", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]);
    format!("{}{unit}", if unit == "B" { format!("{value:.0}") } else { two_digits(value) })
}

/// A number: exact below ten thousand, then `12k`, `1.5M`.
pub(super) fn count(value: f64) -> String {
    if value.abs() < 9999.5 {
        return if value.fract() == 0.0 { format!("{value:.0}") } else { two_digits(value) };
    }
    let (value, unit) = scaled(value, 1000.0, 999.5, &["", "k", "M", "G", "T", "P", "E"]);
    format!("{}{unit}", two_digits(value))
}

/// A share of a hundred: `45.2`.
pub(super) fn percent(value: f64) -> String {
    format!("{value:.1}")
}

/// A short time: `4.1 ms`, `1.2 s`.
pub(super) fn seconds(value: f64) -> String {
    if value < 1.0 {
        format!("{} ms", two_digits(value * 1000.0))
    } else {
        format!("{} s", two_digits(value))
    }
}

/// One digit behind the point below a hundred, which is then of use.
fn two_digits(value: f64) -> String {
    if value.abs() < 99.95 && value.fract() != 0.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn scaled(mut value: f64, step: f64, most: f64, units: &[&'static str]) -> (f64, &'static str) {
    let mut power = 0;
    while value.abs() >= most && power + 1 < units.len() {
        value /= step;
        power += 1;
    }
    (value, units[power])
}

/// The text without what would move the cursor or turn the direction of writing.
pub(super) fn clean(text: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// Places that a text takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text in at most so many places, cut in its middle.
pub(super) fn cut(text: &str, most: usize) -> String {
    let text = clean(text);
    if width(&text) <= most {
        return text;
    }
    let Some(room) = most.checked_sub(1) else { return String::new() };
    let tail: String = beginning(text.chars().rev(), room / 2).chars().rev().collect();
    let mut head = beginning(text.chars(), room.saturating_sub(width(&tail)));
    loop {
        let both = format!("{head}…{tail}");
        // Signs that stand side by side may take more room than each by itself.
        if width(&both) <= most {
            return both;
        }
        if head.pop().is_none() {
            return "…".into();
        }
    }
}

/// As much of the beginning as fits.
fn beginning(chars: impl Iterator<Item = char>, most: usize) -> String {
    let mut text = String::new();
    for c in chars {
        text.push(c);
        if width(&text) > most {
            text.pop();
            break;
        }
    }
    text
}

/// The text in exactly so many places, at the left.
pub(super) fn left(text: &str, places: usize) -> String {
    let text = cut(text, places);
    let rest = places.saturating_sub(width(&text));
    text + &" ".repeat(rest)
}

/// The text in exactly so many places, at the right.
pub(super) fn right(text: &str, places: usize) -> String {
    let text = cut(text, places);
    " ".repeat(places.saturating_sub(width(&text))) + &text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0, 59, 60, 3599, 7200, 172_800].map(age), ["0s", "59s", "1m", "59m", "2h", "2d"]);
        let sizes = [0.0, 512.0, 1024.0, 1.5 * 1024.0 * 1024.0, 120e6, 1.6e10];
        assert_eq!(sizes.map(bytes), ["0B", "512B", "1Ki", "1.5Mi", "114Mi", "14.9Gi"]);
        assert_eq!([0.0, 0.25, 9999.0, 12_345.0, 1.5e6].map(count), ["0", "0.2", "9999", "12.3k", "1.5M"]);
        assert_eq!([0.0041, 0.25, 1.25].map(seconds), ["4.1 ms", "250 ms", "1.2 s"]);
    }

    #[test]
    fn a_name_that_is_cut_keeps_its_end() {
        assert_eq!(cut("noetl-worker-cpu-7d9f8b-x7k2p", 12), "noetl-…x7k2p");
        assert_eq!(cut("short", 12), "short");
        assert_eq!(cut("工作工作工作", 6), "工…作");
        assert_eq!(right("工作", 6), "  工作");
        assert_eq!(cut("evil\u{1b}[2J\u{202e}", 20), "evil\u{fffd}[2J\u{fffd}");
    }

    proptest! {
        #[test]
        fn any_text_fits_its_places(text in any::<String>(), places in 0..40_usize) {
            prop_assert_eq!(width(&left(&text, places)), places);
            prop_assert_eq!(width(&right(&text, places)), places);
        }

        #[test]
        fn any_number_is_short(value in 0.0..1e18_f64, seconds in 0..800_000_000_i64) {
            prop_assert!(bytes(value).len() <= 6, "{}", bytes(value));
            prop_assert!(count(value).len() <= 5, "{}", count(value));
            prop_assert!(age(seconds).len() <= 5);
        }
    }
}
