//! A TCP proxy whose other side can be slow, gone, silent, or another one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Open,
    /// Each piece comes so much later.
    Slow(Duration),
    /// Connections are closed as they come.
    Refused,
    /// Connections are taken and nothing passes.
    Hole,
}

#[derive(Clone, Debug)]
struct State {
    way: Way,
    targets: Vec<SocketAddr>,
    /// Connections from before the last cut are broken off.
    cuts: u64,
}

/// Listens on a port of its own, as long as it is there.
pub struct Proxy {
    pub address: SocketAddr,
    state: watch::Sender<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Connects to these in turn, and to the next where one does not take the connection.
    pub async fn start(targets: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (state, seen) = watch::channel(State { way: Way::Open, targets, cuts: 0 });
        let turn = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (seen, first) = (seen.clone(), turn.fetch_add(1, Ordering::Relaxed));
                tokio::spawn(async move { pass(client, seen, first).await });
            }
        });
        Self { address, state, task }
    }

    pub fn set(&self, way: Way) {
        self.state.send_modify(|state| state.way = way);
    }

    /// Breaks off all connections.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// New connections go elsewhere, old ones are broken off.
    pub fn turn_to(&self, target: SocketAddr) {
        self.state.send_modify(|state| {
            state.targets = vec![target];
            state.cuts += 1;
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(client: TcpStream, mut seen: watch::Receiver<State>, first: usize) {
    let State { targets, cuts, .. } = seen.borrow().clone();
    // As where packets are lost: who connects learns nothing.
    if let Way::Refused = passing(&mut seen).await {
        return;
    }
    let mut server = None;
    for i in 0..targets.len() {
        server = TcpStream::connect(targets[(first + i) % targets.len()]).await.ok();
        if server.is_some() {
            break;
        }
    }
    let Some(server) = server else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let cut = seen.clone();
    tokio::select! {
        () = pump(from_client, to_server, seen.clone()) => {}
        () = pump(from_server, to_client, seen) => {}
        () = cut_off(cut, cuts) => {}
    }
}

/// Waits while nothing passes.
async fn passing(seen: &mut watch::Receiver<State>) -> Way {
    seen.wait_for(|state| state.way != Way::Hole).await.map_or(Way::Refused, |state| state.way)
}

async fn cut_off(mut seen: watch::Receiver<State>, cuts: u64) {
    let _ = seen.wait_for(|state| state.cuts != cuts).await;
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut seen: watch::Receiver<State>) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        match passing(&mut seen).await {
            Way::Slow(by) => tokio::time::sleep(by).await,
            Way::Refused => return,
            _ => {}
        }
        if to.write_all(&piece[..count]).await.is_err() {
            return;
        }
    }
}
