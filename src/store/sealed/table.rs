//! Chunks in the database: those of samples, and those of roll-ups, which have several numbers of each
//! series.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::bits::Bits;
use super::chunk::{Chunk, Packed, Shape};
use super::code::Line;
use crate::model::Millis;
use crate::store::arrays::{Doubles, Ints};
use crate::store::db::{StoreError, Timestamp, sql, sql_made};

/// Where samples are.
pub(super) const CHUNK: &str = "chunk";

/// What [`read`] wants of a row, in its order.
pub(super) const COLUMNS: &str = "(extract(epoch from c.hour) * 1000)::bigint, c.times, c.time_base, c.time_rise, c.time_width, \
     c.series_ids, c.shapes, c.starts, c.bits, c.doubles";

/// Makes the partition that chunks of an hour go to.
pub(super) async fn create_day(on: &mut PgConnection, hour: Millis) -> Result<(), StoreError> {
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
    let (Ints(ids), Ints(shapes), Ints(starts)) = (row.try_get(5)?, row.try_get(6)?, row.try_get(7)?);
    let Doubles(doubles) = row.try_get(9)?;
    let numbers = shapes.len().checked_div(ids.len()).unwrap_or(1);
    let ids = ids.into_iter().flat_map(|id| std::iter::repeat_n(id, numbers));
    let series = ids.zip(shapes).zip(starts).map(|((id, code), start)| {
        Some(Packed { id, shape: Shape::from_code(code)?, start: usize::try_from(start).ok()? })
    });
    let axis = Line {
        base: row.try_get::<i32, _>(2)?.into(),
        rise: row.try_get::<i32, _>(3)?.into(),
        width: row.try_get::<i32, _>(4)?.try_into().map_err(|_| damaged(hour))?,
    };
    Ok(Chunk {
        hour,
        times: row.try_get::<i32, _>(1)?.try_into().map_err(|_| damaged(hour))?,
        axis,
        series: series.collect::<Option<_>>().ok_or_else(|| damaged(hour))?,
        bits: row.try_get::<Bits, _>(8)?,
        doubles,
    })
}

/// What is said of a chunk that can't be decoded.
pub(super) fn damaged(hour: Millis) -> StoreError {
    StoreError::Unavailable(format!(
        "a chunk of the hour {} in noetl_metrics.chunk is damaged",
        hour.rfc3339()
    ))
}
