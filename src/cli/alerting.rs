//! Flags of `server` that are about alert rules and aggregates.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::{duration, http_url};
use crate::server::AlertingConfig;

/// No interval is longer.
const LONGEST: Duration = Duration::from_hours(24);

/// Which rules are evaluated, and who is told of their alerts.
#[derive(Args, Clone, Debug)]
pub struct AlertingArgs {
    /// File of alert rules and aggregates (YAML) that the active server evaluates, read again when it
    /// changes.
    #[arg(long, env = "NOETL_METRICS_RULES_FILE")]
    pub rules_file: Option<PathBuf>,
    /// How often they are evaluated.
    #[arg(long, env = "NOETL_METRICS_RULES_INTERVAL", default_value = "15s", value_parser = duration)]
    pub rules_interval: Duration,
    /// Alertmanagers that are told of alerts, as http://alertmanager:9093; each of them of all.
    #[arg(long, env = "NOETL_METRICS_ALERTMANAGER_URL", value_delimiter = ',', value_parser = http_url)]
    pub alertmanager_url: Vec<String>,
    /// How often Alertmanagers are told again of alerts that are as they were.
    #[arg(long, env = "NOETL_METRICS_ALERT_RESEND_INTERVAL", default_value = "1m", value_parser = duration)]
    pub alert_resend_interval: Duration,
    /// URL that gets a POST for each alert that fires or is resolved, in the form of Alertmanager's
    /// webhooks.
    #[arg(long, env = "NOETL_METRICS_ALERT_WEBHOOK_URL", hide_env_values = true, value_parser = http_url)]
    pub alert_webhook_url: Option<String>,
}

impl AlertingArgs {
    /// The configuration, checked; nothing where there are no rules.
    pub fn into_config(self) -> Result<Option<AlertingConfig>, String> {
        let Some(rules_file) = self.rules_file else {
            return match (self.alertmanager_url.as_slice(), &self.alert_webhook_url) {
                ([], None) => Ok(None),
                ([], Some(_)) => Err("--alert-webhook-url needs --rules-file".into()),
                _ => Err("--alertmanager-url needs --rules-file".into()),
            };
        };
        for (flag, interval) in [
            ("--rules-interval", self.rules_interval),
            ("--alert-resend-interval", self.alert_resend_interval),
        ] {
            if interval > LONGEST {
                return Err(format!("{flag} must be at most 24h"));
            }
        }
        Ok(Some(AlertingConfig {
            rules_file,
            interval: self.rules_interval,
            resend: self.alert_resend_interval,
            alertmanagers: self.alertmanager_url,
            webhook: self.alert_webhook_url,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_bounded_and_receivers_need_rules() {
        let args = |rules_file: Option<PathBuf>, interval| AlertingArgs {
            rules_file,
            rules_interval: interval,
            alertmanager_url: vec!["http://h:9093".into()],
            alert_resend_interval: Duration::from_mins(1),
            alert_webhook_url: None,
        };
        let error = |args: AlertingArgs| args.into_config().unwrap_err();
        assert!(error(args(None, LONGEST)).contains("--rules-file"));
        assert!(error(args(Some("f".into()), LONGEST * 2)).contains("--rules-interval"));
        assert!(args(Some("f".into()), LONGEST).into_config().unwrap().is_some());
    }
}
