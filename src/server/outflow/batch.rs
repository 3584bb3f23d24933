//! Samples as requests, none larger than so much.

use std::collections::{BTreeMap, VecDeque};

use crate::model::{Point, labels_of_line};
use crate::store::Past;
use crate::wire::encoding::{Encoding, compress};
use crate::wire::remote_write_out::{TimeSeries, encode};

/// Samples of a request at most.
pub(super) const MOST_SAMPLES: usize = 10_000;
/// Bytes of a request at most, before it is compressed; a single series may take it past that.
const MOST_BYTES: usize = 4 << 20;
/// What a sample takes, with what stands around it.
const SAMPLE_BYTES: usize = 20;
/// What stands around a label.
const LABEL_BYTES: usize = 8;

/// A request that is ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) body: bytes::Bytes,
    pub(super) samples: u64,
}

/// Series on their way into requests.
#[derive(Debug, Default)]
pub(super) struct Batch {
    series: Vec<TimeSeries>,
    samples: usize,
    bytes: usize,
    ready: VecDeque<Request>,
}

impl Batch {
    /// The next request that is full.
    pub(super) fn ready(&mut self) -> Option<Request> {
        self.ready.pop_front()
    }

    /// What is left becomes a request too.
    pub(super) fn end(&mut self) {
        let series: Vec<_> = self.series.drain(..).filter(|one| !one.is_empty()).collect();
        let samples = std::mem::take(&mut self.samples) as u64;
        self.bytes = 0;
        if series.is_empty() {
            return;
        }
        let body = compress(Encoding::Snappy, &encode(series)).unwrap_or_default().into();
        self.ready.push_back(Request { body, samples });
    }

    /// Adds samples of one series.
    fn add(&mut self, labels: BTreeMap<String, String>, samples: impl Iterator<Item = (i64, f64)>) {
        let label_bytes: usize =
            labels.iter().map(|(name, value)| name.len() + value.len() + LABEL_BYTES).sum();
        let mut series = TimeSeries::new(labels);
        if self.bytes + label_bytes > MOST_BYTES {
            self.end();
        }
        self.bytes += label_bytes;
        for (at, value) in samples {
            if self.samples >= MOST_SAMPLES || self.bytes + SAMPLE_BYTES > MOST_BYTES.max(label_bytes * 2) {
                let rest = series.split_off(usize::MAX);
                self.series.push(std::mem::replace(&mut series, rest));
                self.end();
                self.bytes = label_bytes;
            }
            series.push(at, value);
            self.samples += 1;
            self.bytes += SAMPLE_BYTES;
        }
        self.series.push(series);
    }

    /// Adds what was read from the database.
    pub(super) fn add_past(&mut self, past: &Past) {
        self.add(past.all_labels(), past.times.iter().copied().zip(past.values.iter().copied()));
    }

    /// Adds what was just stored: of these, which are in order of series and time, the first series;
    /// returns how many samples that has.
    pub(super) fn add_first(&mut self, points: &[Point]) -> usize {
        let Some(Point { series, .. }) = points.first() else { return 0 };
        let of_first = points.iter().take_while(|point| point.series.id == series.id).count();
        let mut labels: BTreeMap<_, _> = labels_of_line(&series.line).into_iter().collect();
        labels.insert("__name__".to_owned(), series.metric_name().to_owned());
        self.add(labels, points[..of_first].iter().map(|point| (point.at.0, point.value)));
        of_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Limits;
    use crate::wire::encoding::decompress;
    use crate::wire::remote_write::{self, Message};

    /// Of each request that is made of so many series of so many samples, with labels of so many bytes:
    /// its series, its samples and its bytes.
    fn requests(series: usize, samples: usize, label_bytes: usize) -> Vec<(usize, usize, usize)> {
        let mut batch = Batch::default();
        let value = "x".repeat(label_bytes);
        for number in 0..series {
            let name = format!("m{number}");
            let labels = BTreeMap::from([("__name__".to_owned(), name), ("l".to_owned(), value.clone())]);
            batch.add(labels, (0_i64..).take(samples).map(|at| (at, 1.0)));
        }
        batch.end();
        let told = |request: Request| {
            let body = decompress(Encoding::Snappy, &request.body, 1 << 30).unwrap();
            let read = remote_write::read(Message::V1, &body, &Limits::default()).unwrap();
            let of = |one| read.samples(one).len();
            let samples = read.series.iter().map(of).sum::<usize>();
            assert_eq!(samples as u64, request.samples);
            assert!(read.series.iter().all(|one| of(one) > 0 && read.labels(one).unwrap().len() == 2));
            (read.series.len(), samples, body.len())
        };
        std::iter::from_fn(|| batch.ready()).map(told).collect()
    }

    #[test]
    fn a_request_has_no_more_than_so_many_samples_and_bytes() {
        assert_eq!(requests(0, 0, 1), []);
        let counts =
            |made: Vec<(usize, usize, usize)>| made.iter().map(|one| (one.0, one.1)).collect::<Vec<_>>();
        assert_eq!(counts(requests(2, 10, 1)), [(2, 20)]);
        let most = MOST_SAMPLES;
        assert_eq!(counts(requests(1, 2 * most + 1, 1)), [(1, most), (1, most), (1, 1)]);
        assert_eq!(counts(requests(3, most / 2 + 1, 1)), [(2, most), (2, most / 2 + 3)]);
        let large = requests(3000, 1, 4000);
        assert!(large.len() > 2 && large.iter().all(|one| one.2 <= MOST_BYTES), "{large:?}");
        assert_eq!(large.iter().map(|one| one.1).sum::<usize>(), 3000);
    }
}
