//! Points in time: milliseconds since 1970-01-01T00:00:00Z, and how reports write them.

use std::borrow::Cow;
#[cfg(debug_assertions)]
use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, civil::DateTime, fmt::temporal::Pieces, tz::TimeZone};

/// Milliseconds since 1970-01-01T00:00:00Z. A sample's time has this resolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

#[cfg(debug_assertions)]
thread_local! {
    /// What this thread takes for the time, where a test says so.
    static PRETENDED: Cell<Option<Millis>> = const { Cell::new(None) };
}

/// Milliseconds by a clock that nobody sets, from a beginning of its own: for how long something takes or
/// lasts. It is no time of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Steady(pub i64);

impl Steady {
    /// This moment.
    pub fn now() -> Self {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        #[cfg(debug_assertions)]
        if let Some(now) = PRETENDED.get() {
            return Self(now.0);
        }
        let passed = BEGAN.get_or_init(Instant::now).elapsed().as_millis();
        Self(i64::try_from(passed).unwrap_or(i64::MAX))
    }

    /// Milliseconds from `earlier` to this moment; negative if `earlier` is later.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Why a timestamp of a report was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not a date and time.
    #[error("is not an RFC 3339 date and time such as 2024-01-01T12:00:00Z")]
    Malformed,
    /// Before 1970 or after 2039: a metric id has no room for it.
    #[error("is outside 1970-01-01 to 2039-09-07")]
    OutOfRange,
}

impl Millis {
    /// The last time that fits a metric id: 2^41 - 1 ms, 2039-09-07.
    pub const MAX: Self = Self((1 << 41) - 1);

    /// The machine's clock.
    pub fn now() -> Self {
        #[cfg(debug_assertions)]
        if let Some(now) = PRETENDED.get() {
            return now;
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// From now on this thread takes this for the time: for tests in which hours pass. It is not there
    /// in what is built to be run.
    #[cfg(debug_assertions)]
    pub fn pretend(now: Self) {
        PRETENDED.set(Some(now));
    }

    /// This time moved by `ms` milliseconds; stays within `i64`.
    #[must_use]
    pub const fn plus(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The last multiple of `step` milliseconds since 1970 that is not later than this time.
    #[must_use]
    pub const fn floor(self, step: i64) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(step)))
    }

    /// Milliseconds from `earlier` to this time; negative if `earlier` is later.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// RFC 3339 in UTC with milliseconds: `2024-01-01T12:00:00.000Z`.
    pub fn rfc3339(self) -> String {
        let time = Timestamp::from_millisecond(self.0).unwrap_or(Timestamp::MIN);
        format!("{time:.3}")
    }
}

/// Reads a timestamp: RFC 3339, or the same without an offset, which is then taken as UTC.
/// Finer digits than milliseconds are cut off.
pub fn parse_timestamp(text: &str) -> Result<Millis, TimeError> {
    let text = &*without_finest(text);
    let millis = match text.parse::<Timestamp>() {
        Ok(time) => time.as_millisecond(),
        Err(_) => parse_naive(text)?,
    };
    if (0..=Millis::MAX.0).contains(&millis) { Ok(Millis(millis)) } else { Err(TimeError::OutOfRange) }
}

/// The text without digits of a fraction beyond nanoseconds: RFC 3339 allows any number of them.
fn without_finest(text: &str) -> Cow<'_, str> {
    let Some((before, after)) = text.split_once('.') else { return text.into() };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    if digits <= 9 {
        return text.into();
    }
    format!("{before}.{}{}", &after[..9], &after[digits..]).into()
}

fn parse_naive(text: &str) -> Result<i64, TimeError> {
    // A bare date or a zone in brackets is not what a report means by a time.
    if !text.contains(':') || text.contains('[') {
        return Err(TimeError::Malformed);
    }
    let Ok(civil) = text.parse::<DateTime>() else {
        // In UTC, but beyond what a timestamp can be.
        let is_time = Pieces::parse(text).is_ok_and(|pieces| pieces.time().is_some());
        return Err(if is_time { TimeError::OutOfRange } else { TimeError::Malformed });
    };
    let time = TimeZone::UTC.to_timestamp(civil).map_err(|_| TimeError::OutOfRange)?;
    Ok(time.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_clients_send() {
        let noon = Millis(1_704_110_400_000);
        for text in [
            "2024-01-01T12:00:00Z",
            "2024-01-01T12:00:00",
            "2024-01-01 12:00:00",
            "2024-01-01T12:00:00.000000",
            "2024-01-01T14:00:00+02:00",
            "2024-01-01T12:00:00.0009+00:00",
            "2024-01-01T12:00:00.000123456789Z",
        ] {
            assert_eq!(parse_timestamp(text), Ok(noon), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in ["", "now", "2024-01-01", "2024-13-01T00:00:00Z", "1704110400", "12:00:00"] {
            assert_eq!(parse_timestamp(text), Err(TimeError::Malformed), "{text}");
        }
        for text in ["1969-12-31T23:59:59Z", "2100-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
            assert_eq!(parse_timestamp(text), Err(TimeError::OutOfRange), "{text}");
        }
    }

    #[test]
    fn writes_milliseconds() {
        assert_eq!(Millis(1_704_110_400_007).rfc3339(), "2024-01-01T12:00:00.007Z");
    }
}
