//! Row 8: what sealing costs, and what retention does.

use std::time::{Duration, Instant};

use sqlx::Connection as _;

use super::Bench;
use crate::error::Result;
use crate::fleet::Fleet;
use crate::history::{Data, History, Sealed, maintain, migrated, seal};
use crate::load::{Pace, paced};
use crate::picture::Panel;
use crate::server::Server;
use crate::stats::{exponent, median, seconds, short};
use crate::table::{Line, Row};

const DATABASE: &str = "bench_seal";
const DAY_MS: i64 = 86_400_000;

pub(crate) fn measure(bench: &Bench<'_>) -> Result<Row> {
    let sizes: &[usize] = if bench.quick { &[1_000] } else { &[1_000, 3_000, 10_000] };
    let mut row = Row { number: 8, title: "Sealing and retention", ..Row::default() };
    let (mut sealing, mut dropping, mut deleting) = (Vec::new(), Vec::new(), Vec::new());
    for series in sizes {
        bench.progress(8, &format!("{series} series"));
        let measured = case(bench, *series)?;
        sealing.push((*series as f64, 1.0 / measured.per_cpu_second()));
        dropping.push((*series as f64, measured.drop));
        deleting.push((*series as f64, measured.delete));
        row.lines.extend(measured.lines(*series));
    }
    row.panels.push(Panel::new("CPU to seal a sample", "s", "series").curve("here", &sealing));
    row.panels.push(
        Panel::new("time to drop a day", "s", "series")
            .curve("here", &dropping)
            .curve("DELETE and VACUUM", &deleting),
    );
    bench.progress(8, "reports meanwhile");
    row.lines.extend(meanwhile(bench)?);
    if let (Some(sealing), Some(dropping)) = (exponent(&sealing), exponent(&dropping)) {
        row.notes.push(format!(
            "With the number of series, sealing a sample grows to the power of {sealing:.2}, dropping a day to the power of {dropping:.2}."
        ));
    }
    row.notes.push(
        "6 hours at 15 s, mixed as in row 6, in blocks: `noetl-metrics maintenance` seals them; CPU of the program and of \
         PostgreSQL together. Then a day with these samples is past: the time of the same command, from start to end, beside \
         that of one that finds nothing to do. DELETE and VACUUM take the same samples out of a table of (series, time, value) rows with an \
         index on (series, time)."
            .into(),
    );
    row.notes.push(
        "Reports of 1000 samples, each sent at its moment on 8 connections, a tenth of what the server could take; the \
         time from the moment to the answer, with nothing beside them (three times, the median), and with the command at it."
            .into(),
    );
    Ok(row)
}

/// What one size took.
struct Case {
    sealed: Sealed,
    /// Seconds of the command that drops the day, of one that finds nothing to do, and to delete the
    /// same rows.
    drop: f64,
    idle: f64,
    delete: f64,
}

impl Case {
    fn per_cpu_second(&self) -> f64 {
        self.sealed.samples / (self.sealed.program + self.sealed.postgres)
    }

    fn lines(&self, series: usize) -> [Line; 2] {
        let case = format!("{} series", short(series as f64));
        let micros = |cpu: f64| 1e6 * cpu / self.sealed.samples;
        let per_cpu_second = self.per_cpu_second();
        [
            Line {
                case: format!("{case}, sealing"),
                here: format!("{}/CPU s", short(per_cpu_second)),
                other: "–".into(),
                ratio: format!(
                    "µs a sample: program {:.2}, PostgreSQL {:.2}",
                    micros(self.sealed.program),
                    micros(self.sealed.postgres)
                ),
                target: "1M/CPU s".into(),
                met: Some(per_cpu_second >= 1e6),
            },
            Line {
                case: format!("{case}, retention"),
                here: format!("{} (with nothing to do {})", seconds(self.drop), seconds(self.idle)),
                other: format!("DELETE and VACUUM {}", seconds(self.delete)),
                ratio: format!("{:.0} × less", self.delete / self.drop),
                target: "constant, milliseconds".into(),
                met: Some(self.drop - self.idle < 0.1),
            },
        ]
    }
}

fn case(bench: &Bench<'_>, series: usize) -> Result<Case> {
    let history = History { data: Data::Mixed, series, interval: 15, hours: 6 };
    // Days ago, so that retention can take the day as a whole.
    let now = noetl_metrics::model::Millis::now().0;
    let noon = now - now.rem_euclid(DAY_MS) - 3 * DAY_MS + DAY_MS / 2;
    let url = migrated(bench.cluster, DATABASE)?;
    history.load(bench.cluster, DATABASE, noon, None)?;
    let sealed = seal(bench.cluster, &url)?;
    bench.cluster.execute(
        DATABASE,
        "create table plain as select series_id, \"timestamp\", value from noetl_metrics.sealed order by 1, 2; \
         create unique index on plain (series_id, \"timestamp\")",
    )?;
    bench.cluster.execute("postgres", "checkpoint")?;
    let timed = |retention: &str| {
        let began = Instant::now();
        maintain(&url, retention)?;
        Ok::<_, crate::error::BenchError>(began.elapsed().as_secs_f64())
    };
    let idle: Vec<f64> = (0..5).map(|_| timed("30d")).collect::<Result<_>>()?;
    let idle = median(&idle);
    let drop = timed("1d")?;
    let mut connection = bench.cluster.connect(DATABASE)?;
    let began = Instant::now();
    bench.cluster.wait(async {
        for statement in ["delete from plain", "vacuum plain"] {
            sqlx::raw_sql(statement).execute(&mut connection).await?;
        }
        Ok(())
    })?;
    let delete = began.elapsed().as_secs_f64();
    bench.cluster.wait(async { Ok(connection.close().await?) })?;
    bench.cluster.drop_database(DATABASE)?;
    Ok(Case { sealed, drop, idle, delete })
}

/// Latency of reports at rest, while hours are sealed, and while days are dropped.
fn meanwhile(bench: &Bench<'_>) -> Result<[Line; 2]> {
    let hours = if bench.quick { 1 } else { 6 };
    let history = History { data: Data::Mixed, series: 10_000, interval: 15, hours };
    let now = noetl_metrics::model::Millis::now().0;
    let url = migrated(bench.cluster, DATABASE)?;
    history.load(bench.cluster, DATABASE, now - 3 * DAY_MS, None)?;
    let server = Server::start(&url, bench.directory)?;
    let mut fleet = Fleet::new(10_000, 1000);
    server.introduce(&mut fleet)?;
    let pace =
        Pace { reports_per_second: 60.0, at_least: Duration::from_secs(if bench.quick { 2 } else { 10 }) };
    std::thread::sleep(Duration::from_secs(3));
    let mut p99 = |retention: Option<&str>| {
        let beside = || retention.map_or(Ok(()), |retention| maintain(&url, retention).map(|_| ()));
        Ok::<_, crate::error::BenchError>(paced(server.address, &mut fleet, pace, beside)?.p99)
    };
    // At rest before, between and after.
    let mut rests = vec![p99(None)?];
    let sealing = p99(Some("30d"))?;
    rests.push(p99(None)?);
    let dropping = p99(Some("1d"))?;
    rests.push(p99(None)?);
    let rest = median(&rests);
    drop(server);
    bench.cluster.drop_database(DATABASE)?;
    let line = |what: &str, p99: f64| Line {
        case: format!("p99 of reports, {what}"),
        here: seconds(p99),
        other: format!("at rest {}", seconds(rest)),
        ratio: format!("{:.2} ×", p99 / rest),
        target: "at most 2 ×".into(),
        met: Some(p99 <= 2.0 * rest),
    };
    Ok([line("sealing", sealing), line("retention", dropping)])
}
