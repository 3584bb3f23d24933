//! Whether the store shows what the reference has.

use std::collections::HashMap;

use noetl_metrics::live::{Format, RenderOptions};
use noetl_metrics::model::Millis;

use crate::harness::Exposition;
use crate::reference::{Key, Reference, Rows, time};
use crate::system::{Checked, System};

/// Where both differ first.
pub fn same(stored: &Rows, expected: &Rows, what: &str) -> Checked {
    let keys = || stored.keys().chain(expected.keys());
    for key in keys() {
        let (is, should) = (stored.get(key), expected.get(key));
        let times = || is.into_iter().chain(should).flat_map(|samples| samples.keys());
        for at in times() {
            let value =
                |of: Option<&std::collections::BTreeMap<i64, u64>>| of.and_then(|s| s.get(at).copied());
            if value(is) != value(should) {
                let text = |bits: Option<u64>| {
                    bits.map_or("nothing".into(), |b| format!("{:?} ({b:016x})", f64::from_bits(b)))
                };
                return Err(format!(
                    "{what}: {key:?} at {} is {}, not {}",
                    time(*at),
                    text(value(is)),
                    text(value(should))
                ));
            }
        }
    }
    Ok(())
}

/// Everything.
pub async fn check(system: &System, reference: &Reference) -> Checked {
    same(&system.rows().await?, &reference.rows, "noetl.metrics")?;
    sound(system).await?;
    shown(system, reference)
}

/// What has to be true of the tables whatever they hold.
async fn sound(system: &System) -> Checked {
    for (what, sql) in [
        (
            "a sample is stored twice",
            "select count(*) from (select from ( \
               select series_id, \"timestamp\" from noetl_metrics.unsealed \
               union all select series_id, \"timestamp\" from noetl_metrics.sealed) s \
             group by series_id, \"timestamp\" having count(*) > 1) d",
        ),
        (
            "noetl_metrics.sealed_hour counts other samples or chunks than there are",
            // Hours of a day that is dropped, or about to be, are forgotten at the end of the run that does
            // it; where that was killed, at the next one's, or when the day comes again.
            "select count(*) from ( \
               select h.* from noetl_metrics.sealed_hour h join noetl_metrics.day d \
                 on h.hour >= d.from_time and h.hour < d.to_time and not d.detach_pending) h full join ( \
               select hour, sum(times * cardinality(series_ids))::bigint as samples, count(*) as chunks \
               from noetl_metrics.chunk group by hour) c using (hour) \
             where (coalesce(h.samples, 0), coalesce(h.chunks, 0)) is distinct from (coalesce(c.samples, 0), coalesce(c.chunks, 0))",
        ),
        (
            "a sealed hour has samples that are not sealed",
            "select count(*) from noetl_metrics.sealed_hour h join noetl_metrics.unsealed u \
               on u.\"timestamp\" >= h.hour and u.\"timestamp\" < h.hour + interval '1 hour'",
        ),
        (
            "a chunk's least and greatest id are not those of its series",
            "select count(*) from noetl_metrics.chunk \
             where least_id <> (select min(id) from unnest(series_ids) id) or greatest_id <> (select max(id) from unnest(series_ids) id)",
        ),
    ] {
        let found = system.db.column::<i64>(sql).await;
        if found != [0] {
            return Err(format!("{what}: {found:?}"));
        }
    }
    Ok(())
}

/// The newest values, in memory and as a scraper sees them.
fn shown(system: &System, reference: &Reference) -> Checked {
    let newest = system.server.newest();
    for (key, expected) in &reference.live {
        let found = newest.get(key).copied().flatten();
        if found != Some(*expected) {
            return Err(format!("the newest of {key:?} is {found:?}, not {expected:?}"));
        }
    }
    let options = RenderOptions {
        format: Format::Text,
        timestamps: true,
        runtime_id: None,
        component_name: None,
        shard: None,
        selectors: &[],
        now: Millis(system.now()),
        stale_after_ms: 1 << 40,
    };
    let text = system.server.live.render(&options, &system.server.components());
    let exposition = Exposition::checked(&String::from_utf8_lossy(&text));
    let mut scraped = HashMap::new();
    for sample in &exposition.samples {
        let label = |name: &str| sample.labels.get(name).map(String::as_str).unwrap_or_default();
        let Some(key) = Key::of(label("component"), &sample.name, label("i")) else { continue };
        scraped.insert(key, (sample.timestamp.clone().unwrap_or_default(), sample.value.clone()));
    }
    for (key, (at, bits)) in &reference.live {
        let value = f64::from_bits(*bits);
        let Some(found) = scraped.get(key) else {
            if reference.exported.contains(key) {
                return Err(format!("{key:?} is not exported"));
            }
            continue;
        };
        let read = match &*found.1 {
            "NaN" => f64::NAN,
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            number => number.parse().map_err(|e| format!("{number}: {e}"))?,
        };
        if found.0 != at.to_string() || (read.to_bits() != *bits && !(read.is_nan() && value.is_nan())) {
            return Err(format!("{key:?} is exported as {found:?}, not {value:?} at {at}"));
        }
    }
    Ok(())
}

/// After a start, or where series came back into memory: what the reference does not know of the
/// newest values is learnt, if it can be right. Only `at_rest` it has to be the newest.
pub fn learn(system: &System, reference: &mut Reference, at_rest: bool) -> Checked {
    for (key, found) in system.server.newest() {
        let expected = reference.newest(key, system.now());
        let known = reference.live.get(&key).copied();
        let at_rest = at_rest && !reference.unheard.contains(&key);
        match (known, found) {
            (None, found) if at_rest && expected.is_some() => {
                if found != expected {
                    return Err(format!("the newest of {key:?} came back as {found:?}, not {expected:?}"));
                }
                reference.live.extend(found.map(|newest| (key, newest)));
            }
            // It has been silent for long: nothing, or what it had.
            (None, Some((at, bits))) => {
                let of = reference.rows.get(&key).and_then(|samples| samples.get(&at));
                if of != Some(&bits) {
                    return Err(format!(
                        "the newest of {key:?} came back as {found:?}, which is none of its samples"
                    ));
                }
                reference.live.insert(key, (at, bits));
            }
            (Some(_), _) | (None, None) => {}
        }
    }
    Ok(())
}
