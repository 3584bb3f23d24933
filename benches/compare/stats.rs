//! Medians, and how a cost grows with size.

/// The median; NaN of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The exponent `e` of `cost = c * size^e`, by least squares over the logarithms; 1 is growth in
/// proportion. `None` with fewer than two sizes.
pub(crate) fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    if points.len() < 2 {
        return None;
    }
    let logs: Vec<(f64, f64)> = points.iter().map(|(size, cost)| (size.ln(), cost.ln())).collect();
    let n = logs.len() as f64;
    let mean_x = logs.iter().map(|p| p.0).sum::<f64>() / n;
    let mean_y = logs.iter().map(|p| p.1).sum::<f64>() / n;
    let covariance: f64 = logs.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum();
    let variance: f64 = logs.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    Some(covariance / variance)
}

/// A number as people read it: `1.23M`, `45.6k`, `7.89`.
pub(crate) fn short(number: f64) -> String {
    let (value, unit) = match number.abs() {
        n if n >= 1e6 => (number / 1e6, "M"),
        n if n >= 1e3 => (number / 1e3, "k"),
        _ => (number, ""),
    };
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}{unit}"),
        v if v >= 9.995 => format!("{value:.1}{unit}"),
        _ => format!("{value:.2}{unit}"),
    }
}

/// Seconds as people read them: `1.23 s`, `4.56 ms`.
pub(crate) fn seconds(number: f64) -> String {
    if number >= 1.0 { format!("{number:.2} s") } else { format!("{:.2} ms", number * 1e3) }
}

/// Bytes in MiB.
pub(crate) fn mebibytes(number: f64) -> String {
    format!("{:.1} MiB", number / f64::from(1 << 20))
}
