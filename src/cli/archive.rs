//! Flags of `export` and `verify`, and how they show what they do.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::Url;

use super::admin::Output;
use super::progress::Shown;
use super::server::DatabaseArgs;
use super::values::duration;
use crate::archive::{Progress, Span, Target};
use crate::live::Selector;
use crate::model::{Millis, is_label_name, parse_timestamp};

/// Which history.
#[derive(Args, Clone, Debug)]
pub struct SpanArgs {
    /// From when on, in RFC 3339, such as 2026-01-31T00:00:00Z.
    #[arg(long, value_parser = time)]
    pub start: Millis,
    /// Until when, which is not in it any more; now where not said.
    #[arg(long, value_parser = time)]
    pub end: Option<Millis>,
    /// Only series that this PromQL selector selects, such as
    /// '{__name__=~"noetl_worker_.*",component="w-1"}'; any number of them.
    #[arg(long = "match", value_parser = Selector::parse)]
    pub selectors: Vec<Selector>,
    /// A label that each series gets beside its own, or instead of one of that name, as name=value; any
    /// number of them.
    #[arg(long = "label", value_parser = label)]
    pub labels: Vec<(String, String)>,
}

impl SpanArgs {
    /// What they say.
    ///
    /// # Errors
    /// A sentence that names the flag and what is wrong with its value.
    pub fn span(&self) -> Result<Span, String> {
        let end = self.end.unwrap_or_else(Millis::now);
        if end <= self.start {
            return Err("--end must be later than --start".into());
        }
        let (selectors, labels) = (self.selectors.clone(), self.labels.clone());
        Ok(Span { start: self.start, end, selectors, labels })
    }

    /// The same of history that is stored here: each series says whose it is.
    ///
    /// # Errors
    /// As [`Self::span`].
    pub fn span_of_here(&self) -> Result<Span, String> {
        match self.labels.iter().find(|(name, _)| ["component", "component_type"].contains(&name.as_str())) {
            Some((name, _)) => Err(format!("--label {name}: each series has that label of its own")),
            None => self.span(),
        }
    }
}

/// Flags of `export`.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// Database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Which history.
    #[command(flatten)]
    pub span: SpanArgs,
    /// Whatever takes remote write 1.0, at this URL: http://victoria-metrics:8428/api/v1/write, vminsert's
    /// .../insert/0/prometheus/api/v1/write, Prometheus' /api/v1/write with its receiver, or another server
    /// of this program.
    #[arg(long, group = "target")]
    pub remote_write_url: Option<Url>,
    /// Or a file: .jsonl in VictoriaMetrics' form, or .csv. Or a folder of Parquet: its name ends with
    /// .parquet, and NaN is in it too.
    #[arg(long, group = "target")]
    pub file: Option<PathBuf>,
    /// File with the bearer token that is sent.
    #[arg(long, requires = "remote_write_url")]
    pub token_file: Option<PathBuf>,
    /// How long it is tried again where the other side is away or overloaded.
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub retry_for: Duration,
    /// A file that remembers how far it is: the same command goes on there. Needs --end.
    #[arg(long, requires = "end")]
    pub state: Option<PathBuf>,
    /// Format of the report.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

impl ExportArgs {
    /// Where it goes.
    ///
    /// # Errors
    /// A sentence that names the flag and what is wrong with its value.
    pub fn target(&self) -> Result<Target, String> {
        if let Some(url) = &self.remote_write_url {
            return Ok(Target::RemoteWrite(url.clone(), self.token_file.clone()));
        }
        let path = self.file.clone().ok_or("--remote-write-url or --file must say where it goes")?;
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("jsonl") => Ok(Target::JsonLines(path)),
            Some("csv") => Ok(Target::Csv(path)),
            Some("parquet") => Ok(Target::Parquet(path)),
            _ => Err("--file must end with .jsonl, .csv or .parquet".into()),
        }
    }
}

/// Flags of `verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// Database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Which history.
    #[command(flatten)]
    pub span: SpanArgs,
    /// VictoriaMetrics, single or vmselect's .../select/0/prometheus: its /api/v1/export is read.
    #[arg(long)]
    pub victoriametrics_url: Url,
    /// Format of the report.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

fn time(text: &str) -> Result<Millis, String> {
    parse_timestamp(text).map_err(|e| e.to_string())
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be name=value")?;
    if !is_label_name(name) || name.starts_with("__") {
        return Err(format!(
            "{name:?} is not a label name ([a-zA-Z_][a-zA-Z0-9_]*, not with __ at its start)"
        ));
    }
    if value.is_empty() {
        return Err(format!("{name} has no value"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Shows how far it is. Hours are those of all runs, samples those of this one.
pub fn shown(what: &'static str) -> impl FnMut(Progress) {
    let mut shown = Shown::new("{bar:40} {pos}/{len} hours, {msg} samples in this run, {eta} left");
    move |progress: Progress| {
        let Progress { hours, all_hours, samples, .. } = progress;
        let line = || format!("{what}: {hours} of {all_hours} hours, {samples} samples in this run");
        shown.at(hours, all_hours, samples.to_string(), line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_names_with_values() {
        assert_eq!(label("job=a=b"), Ok(("job".into(), "a=b".into())));
        assert!(label("job").unwrap_err().contains("name=value"));
        for wrong in ["1=b", "__name__=b"] {
            assert!(label(wrong).unwrap_err().contains("label name"), "{wrong}");
        }
        assert_eq!(label("a="), Err("a has no value".into()));
    }
}
