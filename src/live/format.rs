//! The formats of an exposition.

use crate::model::Millis;

/// An exposition format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text exposition 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// Its content type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What an `Accept` header asks for; text where it does not say or asks for neither.
    pub fn negotiate(accept: &str) -> Self {
        let mut best = (Self::Text, 0.0_f32);
        for entry in accept.split(',') {
            let mut parts = entry.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let params: Vec<&str> = parts.collect();
            let weight =
                params.iter().find_map(|p| p.strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0);
            let version = params.iter().find_map(|p| p.strip_prefix("version="));
            let format = match media {
                "application/openmetrics-text" if version.is_none_or(|v| v == "1.0.0" || v == "0.0.1") => {
                    Self::OpenMetrics
                }
                "text/plain" | "text/*" | "*/*" => Self::Text,
                _ => continue,
            };
            if weight > best.1 {
                best = (format, weight);
            }
        }
        best.0
    }
}

/// Writes a time behind a value.
pub(super) fn write_time(out: &mut Vec<u8>, at: Millis, format: Format) {
    let text = match format {
        Format::Text => format!(" {}", at.0),
        Format::OpenMetrics => format!(" {}.{:03}", at.0.div_euclid(1000), at.0.rem_euclid(1000)),
    };
    out.extend_from_slice(text.as_bytes());
}
