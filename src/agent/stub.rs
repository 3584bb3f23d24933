//! A server for the tests: it records what it is sent and answers as it is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it came in, its body decompressed.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    pub(super) path: String,
    pub(super) head: String,
    pub(super) body: Value,
    pub(super) at: Instant,
}

/// What the server answers: status, further headers, body.
pub(super) type Reply = (u16, &'static str, String);

#[derive(Default)]
struct Shared {
    requests: Vec<Recorded>,
    /// Answers to come, by path; when there are none the answer is 200.
    replies: Vec<(&'static str, VecDeque<Reply>)>,
}

/// The server; it stops when dropped.
pub(super) struct Stub {
    pub(super) addr: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

impl Stub {
    pub(super) async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub(super) async fn start_at(addr: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let task = tokio::spawn(serve(listener, shared.clone()));
        Self { addr, shared, task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The next answers to requests for `path`.
    pub(super) fn reply(&self, path: &'static str, replies: impl IntoIterator<Item = Reply>) {
        self.shared.lock().replies.push((path, replies.into_iter().collect()));
    }

    /// The requests for `path` so far.
    pub(super) fn requests(&self, path: &str) -> Vec<Recorded> {
        self.shared.lock().requests.iter().filter(|r| r.path == path).cloned().collect()
    }

    /// Waits until there were `count` requests for `path`.
    pub(super) async fn wait_for(&self, path: &str, count: usize) -> Vec<Recorded> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let requests = self.requests(path);
            if requests.len() >= count {
                return requests;
            }
            assert!(Instant::now() < deadline, "{} of {count} requests for {path}", requests.len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Mutex<Shared>>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let shared = shared.clone();
        connections.spawn(async move {
            let _ = connection(stream, &shared).await;
        });
    }
}

/// One request for a connection.
async fn connection(mut stream: TcpStream, shared: &Mutex<Shared>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let (head, mut body) = loop {
        stream.read_buf(&mut bytes).await?;
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n");
        if let Some(end) = end {
            break (String::from_utf8_lossy(&bytes[..end]).to_lowercase(), bytes[end + 4..].to_vec());
        }
    };
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let length = header("content-length:").map_or(0, |n| n.parse().unwrap());
    while body.len() < length {
        stream.read_buf(&mut body).await?;
    }
    if header("content-encoding:") == Some("zstd") {
        body = zstd::stream::decode_all(&body[..])?;
    }
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let (status, headers, reply) = answer(shared, Recorded { path, head, body, at: Instant::now() });
    let length = reply.len();
    let text = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{reply}"
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

fn answer(shared: &Mutex<Shared>, request: Recorded) -> Reply {
    let mut shared = shared.lock();
    let next = shared
        .replies
        .iter_mut()
        .filter(|(path, _)| *path == request.path)
        .find_map(|(_, replies)| replies.pop_front());
    shared.requests.push(request);
    next.unwrap_or_else(|| (200, "", json!({"status": "ok"}).to_string()))
}
