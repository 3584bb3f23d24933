//! `spec.retention`: how long samples are kept, and when what is past it is dropped.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AGE;
use super::rules;

/// How long samples are kept.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[("!has(self.hourly) || int(self.hourly.substring(0, self.hourly.size() - 1)) * (self.hourly.endsWith('w') ? 168 : self.hourly.endsWith('d') ? 24 : 1) >= int(self.raw.substring(0, self.raw.size() - 1)) * (self.raw.endsWith('w') ? 168 : self.raw.endsWith('d') ? 24 : 1)", "retention.hourly must not be shorter than retention.raw")])))]
pub struct Retention {
    /// Age at which samples are dropped: hours, days or weeks (12h, 7d, 4w).
    #[schemars(length(max = 5), regex(pattern = AGE))]
    pub raw: String,
    /// Age at which hourly roll-ups are dropped; 400d, or `raw` where that is longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5), regex(pattern = AGE))]
    pub hourly: Option<String>,
    /// Bytes of all tables, as 50GB or 20GiB: above, the oldest days of samples go, never the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 9), regex(pattern = r"^[1-9][0-9]{0,5}[MGT]i?B$"))]
    pub max_size: Option<String>,
    /// When retention is enforced, as a CronJob says it: minute, hour, day, month, day of the week,
    /// in UTC.
    #[schemars(
        length(max = 64),
        regex(pattern = r"^(@(hourly|daily|weekly|monthly)|[0-9*,/-]+( [0-9a-zA-Z*,/?-]+){4})$")
    )]
    pub schedule: String,
}

impl Default for Retention {
    fn default() -> Self {
        Self { raw: "7d".to_owned(), hourly: None, max_size: None, schedule: "17 * * * *".to_owned() }
    }
}
