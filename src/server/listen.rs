//! Connections: accepted, by TLS where that is served, and each answered until it ends.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{App, filter, when};

/// How long to wait before the next try where no connection can be accepted: files may be used up.
const NONE_FOR: Duration = Duration::from_secs(1);

/// Milliseconds for which a client may take nothing of what it is sent: what waits for it is memory. The
/// system counts them, and ends the connection.
const UNREAD_FOR_MS: u32 = 30_000;

/// Answers until the server is to stop; then accepts nothing more, and returns when those that are
/// there are done.
pub(super) async fn serve(app: Arc<App>, listener: TcpListener, stopping: watch::Receiver<bool>) {
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(when(stopping.clone()));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, _)) => {
                if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(&stream, UNREAD_FOR_MS) {
                    tracing::debug!(%error, "a client that reads nothing can't be given up");
                }
                tokio::spawn(connection(Arc::clone(&app), stream, graceful.watcher(), stopping.clone()));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted; trying again");
                tokio::time::sleep(NONE_FOR).await;
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}

async fn connection(app: Arc<App>, stream: TcpStream, watcher: Watcher, stopping: watch::Receiver<bool>) {
    let Some(tls) = &app.tls else {
        return talk(&app, stream, watcher, false).await;
    };
    // Nothing was asked yet, so nothing is lost where the server stops meanwhile.
    let shaken = tokio::select! {
        shaken = tls.accept(stream) => shaken,
        () = when(stopping) => return,
    };
    app.own.shaken(shaken.as_ref().err().copied());
    match shaken {
        Ok(stream) => {
            let has_certificate = stream.get_ref().1.peer_certificates().is_some();
            talk(&app, stream, watcher, has_certificate).await;
        }
        Err(failure) => tracing::debug!(reason = failure.reason(), "a TLS handshake failed"),
    }
}

/// Speaks HTTP, of either version, until the connection ends, with a caller who has shown a certificate
/// or has not.
async fn talk<S>(app: &Arc<App>, stream: S, watcher: Watcher, has_certificate: bool)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = TowerToHyperService::new(warp::service(filter(Arc::clone(app), has_certificate)));
    let server = auto::Builder::new(TokioExecutor::new());
    let conn = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(conn).await {
        tracing::debug!(error, "a connection broke off");
    }
}
