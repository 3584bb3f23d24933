//! A TCP proxy before PostgreSQL, so that a test can take the database away and bring it back.

use std::net::SocketAddr;
use std::sync::Mutex;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Database, free_port};

/// Stands before PostgreSQL.
pub struct Proxy {
    address: SocketAddr,
    target: SocketAddr,
    open: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Proxy {
    /// A proxy that refuses connections until [`Self::open`] is called.
    pub fn closed(database: &Database) -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self { address: local(free_port()), target: local(database.port), open: Mutex::default() }
    }

    /// The database's URL through the proxy.
    pub fn url(&self, database: &Database) -> String {
        database.url.replace(&format!(":{}/", database.port), &format!(":{}/", self.address.port()))
    }

    /// Lets connections through.
    pub async fn open(&self) {
        let listener = TcpListener::bind(self.address).await.expect("the proxy's port is free");
        let target = self.target;
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass(client, target));
            }
        });
        *self.open.lock().unwrap() = Some(task);
    }

    /// Breaks all connections off and refuses new ones.
    pub async fn close(&self) {
        let task = self.open.lock().unwrap().take();
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
    }
}

async fn pass(mut client: TcpStream, target: SocketAddr) {
    if let Ok(mut server) = TcpStream::connect(target).await {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}
