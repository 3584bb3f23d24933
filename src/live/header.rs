//! The lines before a family's samples.

use super::Metadata;
use super::format::Format;

/// Writes them.
pub(super) fn header(out: &mut Vec<u8>, format: Format, metadata: &Metadata, family: &str, kind: &str) {
    let help = metadata.help.as_deref().unwrap_or("No help was reported.");
    match format {
        Format::Text => {
            line(out, &["# HELP ", family, " "]);
            escape_help(out, help, false);
            line(out, &["\n# TYPE ", family, " ", kind, "\n"]);
        }
        Format::OpenMetrics => {
            line(out, &["# TYPE ", family, " ", kind, "\n"]);
            if let Some(unit) = metadata.unit.as_deref().filter(|u| is_unit_of(family, u)) {
                line(out, &["# UNIT ", family, " ", unit, "\n"]);
            }
            line(out, &["# HELP ", family, " "]);
            escape_help(out, help, true);
            out.push(b'\n');
        }
    }
}

fn line(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// OpenMetrics wants the unit to be the end of the name.
fn is_unit_of(family: &str, unit: &str) -> bool {
    family.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_') && rest.len() > 1)
}

fn escape_help(out: &mut Vec<u8>, help: &str, quotes: bool) {
    for byte in help.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            other => out.push(other),
        }
    }
}
