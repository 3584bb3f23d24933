//! Logs: text for people, JSON for machines, to the standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Starts logging; what libraries say a second time, or of no concern, is left out; `filter` is a level or a list of directives. An error says what is wrong with it.
pub fn start(format: Option<LogFormat>, filter: &str) -> Result<(), String> {
    let mut parsed = EnvFilter::try_new(filter).map_err(|e| format!("--log {filter:?}: {e}"))?;
    for directive in ["rustls_platform_verifier=off", "sqlx::postgres::notice=warn"] {
        if let Ok(directive) = directive.parse() {
            parsed = parsed.add_directive(directive);
        }
    }
    let on_terminal = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(std::io::stderr);
    match format.unwrap_or(if on_terminal { LogFormat::Text } else { LogFormat::Json }) {
        LogFormat::Text => logs.with_ansi(on_terminal).with_target(false).init(),
        LogFormat::Json => {
            logs.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
        }
    }
    Ok(())
}
