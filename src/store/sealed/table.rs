//! Chunks in the database: those of samples, and those of roll-ups, which have several numbers of each
//! series.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::bits::Bits;
use super::chunk::{Chunk, Packed, Shape, TIMES};
use super::code::Line;
use crate::model::Millis;
use crate::store::arrays::{Doubles, Ints};
use crate::store::db::{StoreError, Timestamp, sql, sql_made};

/// Where samples are.
pub(super) const CHUNK: &str = "chunk";

/// What [`read`] wants of a row, in its order.
pub(super) const COLUMNS: &str = "(extract(epoch from c.hour) * 1000)::bigint, c.times, c.time_base, c.time_rise, c.time_width, \
     c.series_ids, c.shapes, c.starts, c.bits, c.doubles";

/// Whether there is a partition for the day of an hour.
pub(super) async fn has_day(on: &mut PgConnection, hour: Millis) -> Result<bool, StoreError> {
    let text = "select to_regclass('noetl_metrics.chunk_' || to_char($1 at time zone 'UTC', 'YYYYMMDD')) is not null";
    Ok(sql(text).bind(Timestamp(hour)).fetch_one(on).await?.try_get(0)?)
}

/// Makes the partition that chunks of an hour go to. What is still counted of that day where its partition
/// was dropped, by a run that was killed then, counts no more.
pub(super) async fn create_day(on: &mut PgConnection, hour: Millis) -> Result<(), StoreError> {
    sql("delete from noetl_metrics.sealed_hour \
         where hour >= date_trunc('day', $1, 'UTC') and hour < date_trunc('day', $1, 'UTC') + interval '1 day' \
           and to_regclass('noetl_metrics.chunk_' || to_char($1 at time zone 'UTC', 'YYYYMMDD')) is null")
    .bind(Timestamp(hour))
    .execute(&mut *on)
    .await?;
    sql("select noetl_metrics.create_day($1)").bind(Timestamp(hour)).execute(on).await?;
    Ok(())
}

/// Stores a chunk that has so many numbers of each series.
pub(super) async fn insert(
    on: &mut PgConnection,
    table: &str,
    chunk: &Chunk,
    numbers: usize,
) -> Result<(), StoreError> {
    let ids: Vec<i32> = chunk.series.iter().step_by(numbers).map(|of| of.id).collect();
    let shapes: Vec<i32> = chunk.series.iter().map(|of| of.shape.to_code()).collect();
    let starts: Vec<i32> = chunk.series.iter().map(|of| small(of.start)).collect();
    let text = format!(
        "insert into noetl_metrics.{table} (hour, least_id, greatest_id, times, time_base, time_rise, time_width, \
           series_ids, shapes, starts, bits, doubles) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    );
    sql_made(text)
        .bind(Timestamp(chunk.hour))
        .bind(ids.iter().min().copied())
        .bind(ids.iter().max().copied())
        .bind(small(chunk.times))
        // Times of an hour: they fit.
        .bind(i32::try_from(chunk.axis.base).unwrap_or_default())
        .bind(i32::try_from(chunk.axis.rise).unwrap_or_default())
        .bind(small(chunk.axis.width as usize))
        .bind(&ids)
        .bind(&shapes)
        .bind(&starts)
        .bind(&chunk.bits)
        .bind(&chunk.doubles)
        .execute(on)
        .await?;
    Ok(())
}

fn small(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A row of [`COLUMNS`].
pub(super) fn read(row: &PgRow) -> Result<Chunk, StoreError> {
    let hour = Millis(row.try_get(0)?);
    let columns = Columns {
        times: row.try_get(1)?,
        axis: (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?),
        ids: row.try_get(5)?,
        shapes: row.try_get(6)?,
        starts: row.try_get(7)?,
        bits: row.try_get(8)?,
        doubles: row.try_get(9)?,
    };
    columns.chunk(hour).ok_or_else(|| damaged(hour))
}

/// What a row says of a chunk, in the order of [`COLUMNS`].
pub(super) struct Columns {
    pub(super) times: i32,
    /// Base, rise and width.
    pub(super) axis: (i32, i32, i32),
    pub(super) ids: Ints,
    pub(super) shapes: Ints,
    pub(super) starts: Ints,
    pub(super) bits: Bits,
    pub(super) doubles: Doubles,
}

impl Columns {
    /// The chunk; nothing where the row is damaged.
    pub(super) fn chunk(self, hour: Millis) -> Option<Chunk> {
        let (Ints(ids), Ints(shapes), Ints(starts)) = (self.ids, self.shapes, self.starts);
        let numbers = shapes.len().checked_div(ids.len()).unwrap_or(1);
        let ids = ids.into_iter().flat_map(|id| std::iter::repeat_n(id, numbers));
        let series = ids.zip(shapes).zip(starts).map(|((id, code), start)| {
            Some(Packed { id, shape: Shape::from_code(code)?, start: usize::try_from(start).ok()? })
        });
        let (base, rise, width) = self.axis;
        Some(Chunk {
            hour,
            // No row that was written has more, and each takes memory.
            times: usize::try_from(self.times).ok().filter(|times| *times <= TIMES)?,
            axis: Line { base: base.into(), rise: rise.into(), width: width.try_into().ok()? },
            series: series.collect::<Option<_>>()?,
            bits: self.bits,
            doubles: self.doubles.0,
        })
    }
}

/// What is said of a chunk that can't be decoded.
pub(super) fn damaged(hour: Millis) -> StoreError {
    StoreError::Unavailable(format!(
        "a chunk of the hour {} in noetl_metrics.chunk is damaged",
        hour.rfc3339()
    ))
}
