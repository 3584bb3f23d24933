//! What of a group goes where: into blocks, rows or the late table.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::Job;
use crate::model::{Millis, Point};
use crate::store::blocks::Blocks;
use crate::store::db::{StoreError, Timestamp, Transaction, sql};
use crate::store::partitions::Partitions;

/// A group's samples, ready to be sent.
#[derive(Default)]
pub(super) struct Batch {
    /// To append: those of a time that many share, and the others.
    pub(super) blocks: Blocks,
    rows: Rows,
    /// One value for each series and time.
    late: HashMap<(i32, i64), f64>,
    /// What is appended, for the feed.
    fed: Vec<Point>,
}

/// Samples that are appended one by one, as columns.
#[derive(Default)]
struct Rows {
    ids: Vec<i32>,
    times: Vec<Timestamp>,
    values: Vec<f64>,
}

impl Batch {
    /// Decides for each sample whether it is appended. The series remember what was tried: after a
    /// failure of unknown outcome the same samples go the way that can't double them. They remember
    /// late samples too, since a late one would hide one that is appended at the same time after it.
    pub(super) fn of(group: &[Job], partitions: &Partitions, is_fed: bool) -> Self {
        let mut batch = Self::default();
        batch.blocks.reserve(group.iter().map(|job| job.points.len()).sum());
        for job in group {
            // Most samples have the time of the one before.
            let mut last = (Millis::MAX, false);
            for point in &job.points {
                if point.at != last.0 {
                    last = (point.at, partitions.hold(point.at));
                    batch.end_run();
                }
                let newer = point.at.0 > point.series.appended.fetch_max(point.at.0, Ordering::Relaxed);
                if newer && last.1 {
                    batch.blocks.push(point.series.id, point.at, point.value);
                    if is_fed {
                        batch.fed.push(point.clone());
                    }
                } else {
                    batch.late.insert((point.series.id.0, point.at.0), point.value);
                }
            }
            batch.end_run();
        }
        batch
    }

    /// Samples that share their time with too few others are rows.
    fn end_run(&mut self) {
        for (id, at, value) in self.blocks.end_run() {
            self.rows.ids.push(id);
            self.rows.times.push(Timestamp(at));
            self.rows.values.push(value);
        }
    }

    pub(super) fn all_late(group: &[Job]) -> Self {
        let points = group.iter().flat_map(|job| &job.points);
        Self { late: points.map(|p| ((p.series.id.0, p.at.0), p.value)).collect(), ..Self::default() }
    }

    pub(super) fn only_blocks(&self) -> bool {
        self.rows.ids.is_empty() && self.late.is_empty()
    }

    pub(super) fn appended(&self) -> usize {
        self.blocks.samples() + self.rows.ids.len()
    }

    /// Samples for the late table.
    pub(super) fn late(&self) -> usize {
        self.late.len()
    }

    /// What was appended, for the feed.
    pub(super) fn take_fed(&mut self) -> Vec<Point> {
        std::mem::take(&mut self.fed)
    }

    /// COPY takes PostgreSQL no less time than three arrays, and loses 40 ms a commit: the driver sends
    /// its end as a packet of its own, which TCP holds back until the data before it are confirmed.
    pub(super) async fn append_rows(&self, tx: &mut Transaction) -> Result<(), StoreError> {
        let rows = &self.rows;
        if rows.ids.is_empty() {
            return Ok(());
        }
        sql("insert into noetl_metrics.sample (series_id, \"timestamp\", value) \
             select * from unnest($1::integer[], $2::timestamptz[], $3::double precision[])")
        .bind(rows.ids.as_slice())
        .bind(rows.times.as_slice())
        .bind(rows.values.as_slice())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    pub(super) async fn upsert_late(&self, tx: &mut Transaction) -> Result<(), StoreError> {
        if self.late.is_empty() {
            return Ok(());
        }
        let (mut ids, mut times, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for ((id, at), value) in &self.late {
            ids.push(*id);
            times.push(*at);
            values.push(*value);
        }
        sql("insert into noetl_metrics.sample_late (series_id, \"timestamp\", value) \
             select id, timestamptz 'epoch' + at * interval '1 ms', value \
             from unnest($1::integer[], $2::bigint[], $3::double precision[]) u(id, at, value) order by id, at \
             on conflict (series_id, \"timestamp\") do update set value = excluded.value, created_at = excluded.created_at")
            .bind(ids)
            .bind(times)
            .bind(values)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}
