//! `node_softnet_*`: packets that each CPU took off the network cards, from
//! `/proc/net/softnet_stat`.

use super::paths::read;
use super::readings::Readings;
use super::{CollectError, HostPaths};

pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    let path = paths.net("softnet_stat");
    for (number, line) in read(&path)?.lines().enumerate() {
        let (cpu, [processed, dropped, squeezed]) = parse(number, line)
            .ok_or_else(|| CollectError::malformed(&path, format!("line {}", number + 1)))?;
        let cpu = cpu.to_string();
        let labels = [("cpu", cpu.as_str())];
        out.counter("node_softnet_processed_total", "Number of processed packets", &labels, processed);
        out.counter("node_softnet_dropped_total", "Number of dropped packets", &labels, dropped);
        out.counter(
            "node_softnet_times_squeezed_total",
            "Number of times processing packets ran out of quota",
            &labels,
            squeezed,
        );
    }
    Ok(())
}

/// The CPU's number and the first three columns, all in hexadecimal. Kernels since 5.10 say the
/// number in the 13th column; before, it is the line's.
fn parse(line_number: usize, line: &str) -> Option<(usize, [f64; 3])> {
    let columns =
        line.split_whitespace().map(|word| u32::from_str_radix(word, 16).ok()).collect::<Option<Vec<_>>>()?;
    let cpu = columns.get(12).map_or(line_number, |cpu| *cpu as usize);
    let [processed, dropped, squeezed] = *columns.first_chunk()?;
    Some((cpu, [processed.into(), dropped.into(), squeezed.into()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_hexadecimal_and_the_kernel_names_the_cpu() {
        let new = "000036da 00000001 0000000f 0 0 0 0 0 0 0 0 0 00000003 0 0";
        assert_eq!(parse(1, new), Some((3, [14042.0, 1.0, 15.0])));
        assert_eq!(parse(1, "000036da 0 0 0 0 0 0 0 0 0 0"), Some((1, [14042.0, 0.0, 0.0])));
        assert_eq!(parse(1, "zz 0 0"), None);
    }
}
