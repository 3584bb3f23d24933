//! A target to be scraped: answers each path as it is told, well or badly.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How a path is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// 200 with this text.
    Text(String),
    /// 200 with this text, after `asked_total`: how often the path was asked for, this time included.
    Counted(String),
    /// 200 with this JSON.
    Json(String),
    /// Status, further headers (each with its line end), body.
    Raw(u16, String, Vec<u8>),
    /// A body that never ends, as fast as it is taken.
    Endless,
    /// A body that never ends, a byte at a time.
    Slow,
}

type Replies = Arc<Mutex<Vec<(String, Reply)>>>;

/// A target; it stops when dropped.
pub struct Target {
    pub address: SocketAddr,
    replies: Replies,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Target {
    /// A target whose `/metrics` are answered so.
    pub async fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let replies = Replies::default();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(serve(listener, Arc::clone(&replies), Arc::clone(&seen)));
        let target = Self { address, replies, seen, task };
        target.answer("/metrics", reply);
        target
    }

    /// A target with this text.
    pub async fn text(text: &str) -> Self {
        Self::start(Reply::Text(text.to_owned())).await
    }

    /// From now on a path is answered so.
    pub fn answer(&self, path: &str, reply: Reply) {
        let mut replies = self.replies.lock().unwrap();
        replies.retain(|(known, _)| known != path);
        replies.push((path.to_owned(), reply));
    }

    /// Address of its metrics.
    pub fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| *seen == path).count()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, replies: Replies, seen: Arc<Mutex<Vec<String>>>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (replies, seen) = (Arc::clone(&replies), Arc::clone(&seen));
        connections.spawn(async move {
            let _ = connection(stream, &replies, &seen).await;
        });
    }
}

/// One request for a connection.
async fn connection(
    mut stream: TcpStream,
    replies: &Replies,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let reply = replies.lock().unwrap().iter().find(|(known, _)| *known == path).map(|(_, r)| r.clone());
    let asked = {
        let mut seen = seen.lock().unwrap();
        seen.push(path);
        seen.iter().filter(|one| *one == seen.last().unwrap()).count()
    };
    let (status, headers, body) = match reply {
        None => (404, String::new(), Vec::new()),
        Some(Reply::Text(text)) => {
            (200, "content-type: text/plain; version=0.0.4\r\n".to_owned(), text.into_bytes())
        }
        Some(Reply::Counted(text)) => {
            let text = format!("# TYPE asked_total counter\nasked_total {asked}\n{text}");
            (200, "content-type: text/plain; version=0.0.4\r\n".to_owned(), text.into_bytes())
        }
        Some(Reply::Json(text)) => (200, "content-type: application/json\r\n".to_owned(), text.into_bytes()),
        Some(Reply::Raw(status, headers, body)) => (status, headers, body),
        Some(Reply::Endless) => return endless(&mut stream, 64 << 10, Duration::ZERO).await,
        Some(Reply::Slow) => return endless(&mut stream, 1, Duration::from_millis(50)).await,
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await
}

/// Writes comments for ever, or until the reader has enough.
async fn endless(stream: &mut TcpStream, chunk: usize, pause: Duration) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 X\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n").await?;
    let chunk = vec![b'#'; chunk];
    loop {
        stream.write_all(&chunk).await?;
        tokio::time::sleep(pause).await;
    }
}
