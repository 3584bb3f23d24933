//! `node_os_info` and `node_os_version`: the distribution, from `os-release`.

use std::collections::HashMap;

use super::paths::read;
use super::readings::Readings;
use super::{CollectError, HostPaths};

/// Labels of `node_os_info`, each the lower-case name of a field.
const LABELS: [&str; 12] = [
    "build_id",
    "id",
    "id_like",
    "image_id",
    "image_version",
    "name",
    "pretty_name",
    "variant",
    "variant_id",
    "version",
    "version_codename",
    "version_id",
];

pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    let text = read(&paths.on_host("/etc/os-release".as_ref()))
        .or_else(|_| read(&paths.on_host("/usr/lib/os-release".as_ref())))?;
    emit(&parse(&text), out);
    Ok(())
}

fn emit(fields: &HashMap<String, String>, out: &mut Readings) {
    let field = |name: &str| fields.get(&name.to_ascii_uppercase()).map_or("", String::as_str);
    let labels = LABELS.map(|name| (name, field(name)));
    let help = "A metric with a constant '1' value labeled by build_id, id, id_like, image_id, \
                image_version, name, pretty_name, variant, variant_id, version, version_codename, \
                version_id.";
    out.gauge("node_os_info", help, &labels, 1.0);
    if let Some(version) = major_minor(field("version_id")) {
        let labels = ["id", "id_like", "name"].map(|name| (name, field(name)));
        let help = "Metric containing the major.minor part of the OS version.";
        out.gauge("node_os_version", help, &labels, version);
    }
}

/// Fields of the file, which is written as a shell's assignments.
fn parse(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), unquote(value.trim())))
        .collect()
}

fn unquote(value: &str) -> String {
    let inner = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(inner) = inner('\'') {
        return inner.to_owned();
    }
    let mut plain = String::with_capacity(value.len());
    let mut chars = inner('"').unwrap_or(value).chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

/// `12.5` of `12.5.3`; `None` of a version that is no number.
fn major_minor(version: &str) -> Option<f64> {
    let end = version.match_indices('.').nth(1).map_or(version.len(), |(at, _)| at);
    let number = &version[..end];
    number.bytes().all(|b| b.is_ascii_digit() || b == b'.').then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::super::testing::lines;
    use super::*;

    #[test]
    fn fields_are_unquoted_and_absent_ones_left_out() {
        let text = "# a comment\nNAME=\"Debian \\\"GNU\\\"\"\nVERSION_ID=\"12.5.1\"\nID=debian\n\
            PRETTY_NAME='It is 12'\nHOME_URL=\"https://www.debian.org/\"\n";
        assert_eq!(
            lines(|out| emit(&parse(text), out)),
            [
                r#"node_os_info{id="debian",name="Debian \"GNU\"",pretty_name="It is 12",version_id="12.5.1"} 1"#,
                r#"node_os_version{id="debian",name="Debian \"GNU\""} 12.5"#,
            ]
        );
    }

    #[test]
    fn a_version_that_is_no_number_has_no_metric() {
        assert_eq!(major_minor("22.04"), Some(22.04));
        assert_eq!(major_minor("12"), Some(12.0));
        assert_eq!(major_minor("rolling"), None);
        assert_eq!(major_minor(""), None);
        assert_eq!(major_minor("1e9"), None);
    }
}
