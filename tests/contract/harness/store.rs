//! Another store: takes remote write, keeps what it took, and answers as it is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use noetl_metrics::model::Limits;
use noetl_metrics::wire::encoding::{Encoding, decompress};
use noetl_metrics::wire::remote_write::{Message, read};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use warp::Filter as _;

/// All labels of a series, the name among them.
pub type Labels = BTreeMap<String, String>;

/// A store; it stops when dropped.
pub struct Store {
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    status: StatusCode,
    headers: Vec<(String, String)>,
    samples: BTreeMap<(Labels, i64), f64>,
    requests: Vec<(Instant, HeaderMap)>,
}

impl Store {
    /// One that takes everything.
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    /// The same at an address.
    pub async fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let kept = Arc::clone(&seen);
        let filter = warp::post()
            .and(warp::path!("api" / "v1" / "write"))
            .and(warp::header::headers_cloned())
            .and(warp::body::bytes())
            .map(move |headers: HeaderMap, body: Bytes| {
                let mut seen = kept.lock().unwrap();
                seen.requests.push((Instant::now(), headers));
                if seen.status.is_success() {
                    seen.take(&body);
                }
                let mut answer = Response::builder().status(seen.status);
                for (name, value) in &seen.headers {
                    answer = answer.header(name, value);
                }
                answer.body("told so").expect("an answer")
            });
        let task = tokio::spawn(warp::serve(filter).incoming(listener).run());
        Self { address, seen, task }
    }

    /// From now on it answers with this status and these headers; what it does not take it forgets.
    pub fn answer(&self, status: u16, headers: &[(&str, &str)]) {
        let mut seen = self.seen.lock().unwrap();
        seen.status = StatusCode::from_u16(status).expect("a status");
        seen.headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    }

    /// What it took, by labels and time.
    pub fn samples(&self) -> BTreeMap<(Labels, i64), f64> {
        self.seen.lock().unwrap().samples.clone()
    }

    /// How many samples it took.
    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().samples.len()
    }

    /// When requests came, and their headers.
    pub fn requests(&self) -> Vec<(Instant, HeaderMap)> {
        self.seen.lock().unwrap().requests.clone()
    }

    /// Where it takes remote write.
    pub fn url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }
}

impl Seen {
    fn take(&mut self, body: &[u8]) {
        let body = decompress(Encoding::Snappy, body, 16 << 20).expect("snappy");
        let message = read(Message::V1, &body, &Limits::default()).expect("a message");
        for series in &message.series {
            let labels = message.labels(series).expect("labels");
            assert!(labels.is_sorted(), "{labels:?}");
            let labels: Labels = labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            for sample in message.samples(series) {
                self.samples.insert((labels.clone(), sample.at.0), sample.value);
            }
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.task.abort();
    }
}
