//! Parquet: a row for each sample, in columns as those expect them who read such files. NaN is one value
//! of many here, so that nothing is left out.

use std::io::Write;
use std::iter::repeat_n;
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use crate::store::Past;

const SCHEMA: &str = "message samples {
  required int64 timestamp (TIMESTAMP(MILLIS,true));
  required binary metric (STRING);
  required binary metric_type (STRING);
  required binary component (STRING);
  required binary component_type (STRING);
  required group labels (MAP) {
    repeated group key_value {
      required binary key (STRING);
      required binary value (STRING);
    }
  }
  required double value;
}";

/// Values that a column is given at once, about.
const CHUNK: usize = 16_384;

/// Begins a file.
pub(super) fn begin<W: Write + Send>(file: W) -> Result<SerializedFileWriter<W>> {
    let timestamp = ColumnPath::from("timestamp");
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_column_dictionary_enabled(timestamp.clone(), false)
        .set_column_encoding(timestamp, Encoding::DELTA_BINARY_PACKED);
    SerializedFileWriter::new(file, Arc::new(parse_message_type(SCHEMA)?), Arc::new(properties.build()))
}

/// Writes series as one row group, those of a metric beside each other, so that readers who want one
/// metric skip the others.
pub(super) fn write<W: Write + Send>(
    file: &mut SerializedFileWriter<W>,
    mut series: Vec<Past>,
) -> Result<()> {
    // Hours of one series stay in their order.
    series.sort_by(|a, b| (&a.metric, &a.component, &a.labels).cmp(&(&b.metric, &b.component, &b.labels)));
    let series = series.as_slice();
    let mut group = file.next_row_group()?;
    plain::<Int64Type, _>(&mut group, series.iter().flat_map(|it| it.times.iter().copied()))?;
    text(&mut group, series, |it| &it.metric)?;
    text(&mut group, series, |it| &it.metric_type)?;
    text(&mut group, series, |it| &it.component)?;
    text(&mut group, series, |it| &it.component_type)?;
    labels(&mut group, series, |(name, _)| name)?;
    labels(&mut group, series, |(_, value)| value)?;
    plain::<DoubleType, _>(&mut group, series.iter().flat_map(|it| it.values.iter().copied()))?;
    group.close().map(drop)
}

/// A column with one value for each row.
fn plain<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    mut rows: impl Iterator<Item = T::T>,
) -> Result<()> {
    let mut column = next(group)?;
    loop {
        let chunk: Vec<T::T> = rows.by_ref().take(CHUNK).collect();
        if chunk.is_empty() {
            return column.close();
        }
        column.typed::<T>().write_batch(&chunk, None, None)?;
    }
}

/// A column with one text for all rows of a series.
fn text<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    series: &[Past],
    of: impl Fn(&Past) -> &str,
) -> Result<()> {
    let rows = series.iter().flat_map(|it| repeat_n(ByteArray::from(of(it)), it.times.len()));
    plain::<ByteArrayType, W>(group, rows)
}

/// One side of the map of labels. A row begins where the repetition level is 0; where the definition
/// level is 0 the row has no label.
fn labels<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    series: &[Past],
    of: for<'a> fn((&'a str, &'a str)) -> &'a str,
) -> Result<()> {
    let mut column = next(group)?;
    let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for it in series {
        let row: Vec<ByteArray> =
            it.labels.iter().map(|(name, value)| ByteArray::from(of((name, value)))).collect();
        for _ in &it.times {
            repeated.push(0);
            repeated.extend(repeat_n(1, row.len().saturating_sub(1)));
            defined.extend(repeat_n(i16::from(!row.is_empty()), row.len().max(1)));
            values.extend_from_slice(&row);
            if repeated.len() >= CHUNK {
                column.typed::<ByteArrayType>().write_batch(&values, Some(&defined), Some(&repeated))?;
                values.clear();
                defined.clear();
                repeated.clear();
            }
        }
    }
    column.typed::<ByteArrayType>().write_batch(&values, Some(&defined), Some(&repeated))?;
    column.close()
}

fn next<'a, W: Write + Send>(
    group: &'a mut SerializedRowGroupWriter<'_, W>,
) -> Result<SerializedColumnWriter<'a>> {
    group.next_column()?.ok_or_else(|| ParquetError::General("the schema has no further column".into()))
}

/// Reads a file, sample by sample, with the other code of the crate.
#[cfg(test)]
pub(super) fn read(file: impl parquet::file::reader::ChunkReader + 'static) -> Vec<Past> {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::{Field, RowAccessor as _};

    let reader = SerializedFileReader::new(file).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(|row| {
        let row = row.unwrap();
        let labels = row.get_map(5).unwrap().entries().iter().map(|(name, value)| match (name, value) {
            (Field::Str(name), Field::Str(value)) => (name.clone(), value.clone()),
            other => panic!("{other:?}"),
        });
        Past {
            times: vec![row.get_timestamp_millis(0).unwrap()],
            metric: row.get_string(1).unwrap().clone(),
            metric_type: row.get_string(2).unwrap().clone(),
            component: row.get_string(3).unwrap().clone(),
            component_type: row.get_string(4).unwrap().clone(),
            labels: labels.collect(),
            values: vec![row.get_double(6).unwrap()],
        }
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// All that a sample is, its value bit by bit.
    type Row = (String, String, String, String, BTreeMap<String, String>, i64, u64);

    fn rows(series: &[Past]) -> Vec<Row> {
        let of = |it: &Past| {
            let it = it.clone();
            it.times.clone().into_iter().zip(it.values).map(move |(at, value)| {
                let names = (it.metric.clone(), it.metric_type.clone(), it.component.clone());
                let kind = it.component_type.clone();
                (names.0, names.1, names.2, kind, it.labels.clone(), at, value.to_bits())
            })
        };
        let mut rows: Vec<Row> = series.iter().flat_map(of).collect();
        rows.sort();
        rows
    }

    fn written(groups: &[Vec<Past>]) -> bytes::Bytes {
        let mut file = begin(Vec::new()).unwrap();
        for group in groups {
            write(&mut file, group.clone()).unwrap();
        }
        file.into_inner().unwrap().into()
    }

    fn series() -> impl Strategy<Value = Past> {
        let label = prop_oneof![Just(String::new()), "[a-z]{1,3}", ".*"];
        // Any bits: NaN with what it carries, infinities, -0.0.
        let value = prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            any::<u64>().prop_map(|bits| f64::from_bits(bits | 0x7ff0 << 48)),
            Just(0.5)
        ];
        let samples = prop::collection::vec((any::<i64>(), value), 0..40);
        let labels = prop::collection::btree_map("[a-z_]{1,5}", label.clone(), 0..4);
        ("[a-c]", "gauge|counter", label.clone(), label, labels, samples).prop_map(
            |(metric, metric_type, component, component_type, labels, samples)| {
                let (times, values) = samples.into_iter().unzip();
                Past { component, component_type, metric, metric_type, labels, times, values }
            },
        )
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_bit_by_bit(
            groups in prop::collection::vec(prop::collection::vec(series(), 0..6), 0..4),
        ) {
            prop_assert_eq!(rows(&read(written(&groups))), rows(&groups.concat()));
        }
    }

    #[test]
    fn more_than_a_chunk_is_written_whole() {
        let count = CHUNK + 5;
        let labels = BTreeMap::from([("a".into(), "1".into()), ("ü".into(), "☃\0\"".into())]);
        let times = (0..).map(|at| at * 1000).take(count).collect();
        let values = (0..count).map(|at| at as f64).collect();
        let long = Past { metric: "m".into(), labels, times, values, ..Past::default() };
        let bare = Past { labels: BTreeMap::new(), ..long.clone() };
        let groups = [vec![long, bare]];
        assert_eq!(rows(&read(written(&groups))), rows(&groups[0]));
    }

    #[test]
    fn rows_of_a_metric_are_beside_each_other_and_a_series_stays_in_order() {
        let one = |metric: &str, at| Past {
            metric: metric.into(),
            times: vec![at],
            values: vec![0.0],
            ..Past::default()
        };
        let read = read(written(&[vec![one("b", 1), one("a", 1), one("b", 2), one("a", 2)]]));
        let order: Vec<_> = read.iter().map(|it| (it.metric.as_str(), it.times[0])).collect();
        assert_eq!(order, [("a", 1), ("a", 2), ("b", 1), ("b", 2)]);
    }
}
