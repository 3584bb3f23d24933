//! What a report may hold. Each limit has a flag of the server.

/// Bounds on reports and on what the server keeps in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request body, as sent and after decompression.
    pub body_bytes: usize,
    /// Labels of one sample.
    pub labels: usize,
    /// Bytes of a metric name, a label name or a component name.
    pub name_bytes: usize,
    /// Bytes of a label value.
    pub label_value_bytes: usize,
    /// Bytes of a help text.
    pub help_bytes: usize,
    /// Samples of one report, after histograms and summaries were taken apart.
    pub samples: usize,
    /// Buckets or quantiles of one metric.
    pub bounds: usize,
    /// Live series of one component.
    pub component_series: usize,
    /// Samples that one component may report a second, 0 for any number.
    pub component_samples: u64,
    /// Bytes of reports, unpacked, that one component may send a second, 0 for any number.
    pub component_bytes: u64,
    /// Live series of all components.
    pub total_series: usize,
    /// Exemplars that are stored in all.
    pub exemplars: usize,
    /// How far ahead of the server's clock a sample may be, in milliseconds.
    pub future_ms: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            labels: 40,
            name_bytes: 255,
            label_value_bytes: 4096,
            help_bytes: 4096,
            samples: 200_000,
            bounds: 1000,
            component_series: 10_000,
            component_samples: 100_000,
            component_bytes: 32 << 20,
            total_series: 1_000_000,
            exemplars: 500_000,
            future_ms: 10 * 60 * 1000,
        }
    }
}
