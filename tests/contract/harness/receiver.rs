//! Who is told of alerts: takes every POST, remembers it, and answers as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use warp::Filter as _;

/// A POST that came.
#[derive(Clone, Debug)]
pub struct Told {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Value,
}

/// A receiver; it stops when dropped.
pub struct Receiver {
    pub address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
    answer: Arc<Mutex<StatusCode>>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// One that takes everything.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let told: Arc<Mutex<Vec<Told>>> = Arc::default();
        let answer = Arc::new(Mutex::new(StatusCode::OK));
        let (seen, code) = (Arc::clone(&told), Arc::clone(&answer));
        let filter = warp::post()
            .and(warp::path::full())
            .and(warp::header::headers_cloned())
            .and(warp::body::bytes())
            .map(move |path: warp::path::FullPath, headers: HeaderMap, body: Bytes| {
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                seen.lock().unwrap().push(Told { path: path.as_str().to_owned(), headers, body });
                warp::reply::with_status("", *code.lock().unwrap())
            });
        let task = tokio::spawn(warp::serve(filter).incoming(listener).run());
        Self { address, told, answer, task }
    }

    /// From now on it answers with this status.
    pub fn answer(&self, status: u16) {
        *self.answer.lock().unwrap() = StatusCode::from_u16(status).expect("a status");
    }

    /// Everything that came, in its order.
    pub fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    /// Its address as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}
