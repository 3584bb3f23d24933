//! Numbers for people: three digits that matter, and a unit that fits.
//!
//! Contract: pure functions from a number in a base unit (bytes, seconds, milliseconds of time) to
//! text. Sizes are in powers of 1024 (KiB), everything else in powers of 1000. What cannot
//! be said of a value (NaN, the infinities) is said in the words of the exposition format.

use std::fmt::{self, Display};

/// A number and its unit, apart, so that a page can set them differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Human {
    /// Digits, with a prefix of the unit where it stands alone: `12.3 k`.
    pub(super) number: String,
    /// Unit, empty where there is none.
    pub(super) unit: String,
}

impl Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit.as_str() {
            "" => f.write_str(&self.number),
            unit @ ("%" | "°C") => write!(f, "{}{unit}", self.number),
            unit => write!(f, "{} {unit}", self.number),
        }
    }
}

/// A size: `1.50 GiB`.
pub(super) fn bytes(value: f64) -> Human {
    let (number, prefix) = scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]);
    human(number, prefix)
}

/// A number without a unit: exact below 10,000, then `12.3 k`.
pub(super) fn count(value: f64) -> String {
    if value.abs() < 10_000.0 {
        return if value.fract() == 0.0 { grouped(value) } else { digits(value) };
    }
    let (number, prefix) = scaled(value, 1000.0, &["", "k", "M", "G", "T", "P", "E"]);
    if prefix.is_empty() { number } else { format!("{number} {prefix}") }
}

/// A whole number with commas: `1,234,567`.
pub(super) fn grouped(value: f64) -> String {
    let plain = format!("{:.0}", value.abs());
    let mut out = String::new();
    for (i, digit) in plain.chars().enumerate() {
        if i > 0 && (plain.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if value < 0.0 { format!("-{out}") } else { out }
}

/// The value as stored, the shortest text that reads back the same.
pub(super) fn exact(value: f64) -> String {
    if !value.is_finite() {
        special(value)
    } else if value != 0.0 && !(1.0e-5..1.0e17).contains(&value.abs()) {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}

/// A length of time: `850 ms`, `12.3 s`, `3 m 12 s`, `4 h 5 m`, `3 d 4 h`.
pub(super) fn seconds(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0 s".into();
    }
    if size < 60.0 {
        let (factor, unit) = match size {
            s if s < 1e-6 => (1e9, "ns"),
            s if s < 1e-3 => (1e6, "µs"),
            s if s < 1.0 => (1e3, "ms"),
            _ => (1.0, "s"),
        };
        let shown = value * factor;
        return format!("{} {unit}", if shown.fract() == 0.0 { grouped(shown) } else { digits(shown) });
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let steps = [(86_400.0, "d"), (3600.0, "h"), (60.0, "m"), (1.0, "s")];
    let first = steps.iter().position(|(length, _)| size >= *length).unwrap_or(3).min(2);
    let ((big, big_unit), (small, small_unit)) = (steps[first], steps[first + 1]);
    let (whole, rest) = ((size / big).floor(), ((size % big) / small).floor());
    if rest == 0.0 {
        format!("{sign}{} {big_unit}", grouped(whole))
    } else {
        format!("{sign}{} {big_unit} {rest} {small_unit}", grouped(whole))
    }
}

/// How long ago, in whole seconds: `12 s`. What lies ahead, by a clock's error, is `now`.
pub(super) fn age(now_ms: i64, then_ms: i64) -> String {
    let whole = now_ms.saturating_sub(then_ms).div_euclid(1000);
    if whole < 1 { "now".into() } else { seconds(whole as f64) }
}

/// A point in time: `2024-01-01 12:00:00 UTC`.
pub(super) fn utc(ms: i64) -> String {
    strftime(ms, "%Y-%m-%d %H:%M:%S UTC")
}

/// A point in time as a hand reads it off a clock: `12:00:00`.
pub(super) fn clock(ms: i64) -> String {
    strftime(ms, "%H:%M:%S")
}

/// A point in time to the minute: `2024-01-01 12:00`.
pub(super) fn minute(ms: i64) -> String {
    strftime(ms, "%Y-%m-%d %H:%M")
}

/// A point in time for machines, RFC 3339.
pub(super) fn rfc3339(ms: i64) -> String {
    strftime(ms, "%Y-%m-%dT%H:%M:%SZ")
}

/// Milliseconds of a time in seconds.
#[allow(clippy::cast_possible_truncation)] // a cast of a float saturates
pub(super) fn to_ms(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}

fn strftime(ms: i64, format: &str) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| format!("{ms} ms"), |time| time.strftime(format).to_string())
}

pub(super) fn human(number: String, unit: &str) -> Human {
    Human { number, unit: unit.to_owned() }
}

pub(super) fn special(value: f64) -> String {
    match value {
        v if v.is_nan() => "NaN",
        v if v > 0.0 => "+Inf",
        _ => "-Inf",
    }
    .into()
}

/// Divides by `step` until three digits are left, and says by which prefix.
fn scaled(value: f64, step: f64, prefixes: &[&'static str]) -> (String, &'static str) {
    let mut scaled = value;
    let mut power = 0;
    // 999.5 and more would be written with four digits.
    while scaled.abs() >= if step > 1000.0 { 1023.5 } else { 999.5 } && power + 1 < prefixes.len() {
        scaled /= step;
        power += 1;
    }
    let number = if power == 0 && scaled.fract() == 0.0 { grouped(scaled) } else { digits(scaled) };
    (number, prefixes[power])
}

/// Three digits that matter, no fewer, so that a changing value keeps its width.
pub(super) fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size < 0.0005 => format!("{value:.1e}"),
        size if size < 0.1 => format!("{value:.3}"),
        size if size < 9.995 => format!("{value:.2}"),
        size if size < 99.95 => format!("{value:.1}"),
        size if size < 1e15 => grouped(value.round()),
        _ => format!("{value:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_powers_of_1024() {
        for (value, text) in [
            (0.0, "0 B"),
            (512.0, "512 B"),
            (1023.0, "1,023 B"),
            (1024.0, "1.00 KiB"),
            (1536.0 * 1024.0 * 1024.0, "1.50 GiB"),
            (1023.7 * 1024.0, "1.00 MiB"),
            (-2048.0, "-2.00 KiB"),
            (1e24, "867,362 EiB"),
        ] {
            assert_eq!(bytes(value).to_string(), text);
        }
    }

    #[test]
    fn counts_are_exact_below_ten_thousand() {
        for (value, text) in [
            (0.0, "0"),
            (7.0, "7"),
            (9999.0, "9,999"),
            (-1234.0, "-1,234"),
            (12_345.0, "12.3 k"),
            (999_600.0, "1.00 M"),
            (1.5e9, "1.50 G"),
            (0.25, "0.25"),
            (0.000_12, "1.2e-4"),
            (45.234, "45.2"),
        ] {
            assert_eq!(count(value), text);
        }
    }

    #[test]
    fn lengths_of_time_have_two_units() {
        for (value, text) in [
            (0.0, "0 s"),
            (2.5e-7, "250 ns"),
            (0.000_85, "850 µs"),
            (0.0123, "12.3 ms"),
            (5.0, "5 s"),
            (12.34, "12.3 s"),
            (192.0, "3 m 12 s"),
            (3600.0, "1 h"),
            (14_700.0, "4 h 5 m"),
            (34_560_000.0, "400 d"),
            (-90.0, "-1 m 30 s"),
        ] {
            assert_eq!(seconds(value), text);
        }
    }

    #[test]
    fn ages_are_whole_seconds_and_never_ahead() {
        assert_eq!(age(10_000, 10_500), "now");
        assert_eq!(age(12_999, 10_000), "2 s");
        assert_eq!(age(i64::MAX, i64::MIN), "106,751,991,167 d 7 h");
    }

    #[test]
    fn times_that_no_calendar_holds_are_shown_as_they_are() {
        assert_eq!(utc(i64::MAX), format!("{} ms", i64::MAX));
        assert_eq!(rfc3339(1_704_110_400_000), "2024-01-01T12:00:00Z");
    }

    #[test]
    fn exact_values_read_back_the_same() {
        for value in [0.0, -0.1, 45.2, 1e21, 1e-9, 17_179_869_184.0, f64::MAX] {
            assert_eq!(exact(value).parse::<f64>(), Ok(value));
        }
    }
}
