//! Logs: text for people, JSON for machines, to the standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// What libraries say a second time, or of no concern.
const LEFT_OUT: [&str; 2] = ["rustls_platform_verifier=off", "sqlx::postgres::notice=warn"];
/// Statements that take more than a second, with all of their text.
const SLOW_STATEMENTS: &str = "sqlx::query=error";

/// Starts logging; what libraries say that is of no concern is left out. `filter` is a level or a list of
/// directives. A command reads whole hours of history, and who calls it can't do anything about its SQL:
/// that statements are slow is for the log of a service, or for who asks for it by a directive.
///
/// # Errors
/// A sentence that says what is wrong with the filter.
pub fn start(format: Option<LogFormat>, filter: &str, is_service: bool) -> Result<(), String> {
    let parsed = filtered(filter, is_service)?;
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

fn filtered(filter: &str, is_service: bool) -> Result<EnvFilter, String> {
    let mut parsed = EnvFilter::try_new(filter).map_err(|e| format!("--log {filter:?}: {e}"))?;
    let slow = (!is_service && !filter.contains("sqlx")).then_some(SLOW_STATEMENTS);
    for directive in LEFT_OUT.into_iter().chain(slow) {
        if let Ok(directive) = directive.parse() {
            parsed = parsed.add_directive(directive);
        }
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_statements_are_for_services_and_for_who_asks_for_them() {
        let has = |filter: &str, is_service: bool| {
            filtered(filter, is_service).unwrap().to_string().contains(SLOW_STATEMENTS)
        };
        assert!(has("info", false) && has("noetl_metrics=debug", false));
        assert!(!has("info", true) && !has("info,sqlx=debug", false));
        assert!(filtered("noetl_metrics=loud", false).unwrap_err().starts_with("--log "));
    }
}
