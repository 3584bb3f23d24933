//! Servers that this program itself runs as processes of their own: one that serves a file, as the
//! limit of a scrape, and one that takes anything and answers at once, as the limit of the load
//! generator.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use noetl_metrics::wire::encoding::{Encoding, compress};
use warp::Filter;

use crate::error::{BenchError, Context, Result};
use crate::process::{Process, answers, free_address};

/// Starts this program again as `static-file` or `sink`.
pub(crate) fn start(
    role: &str,
    file: Option<&std::path::Path>,
    directory: &std::path::Path,
) -> Result<(Process, SocketAddr)> {
    let address = free_address()?;
    let program = std::env::current_exe().context("this program's path")?;
    let mut command = Command::new(program);
    command.arg(role).arg(address.to_string()).args(file);
    let mut process = Process::start(role, &mut command, directory)?;
    process.wait_until(Duration::from_millis(10), || answers(address, "/"))?;
    Ok((process, address))
}

/// `static-file ADDRESS FILE`: `/plain` is warp's own file reply, `/gzip` compresses the file for
/// each request as the exposition is, `/memory` answers with bytes that are held ready.
pub(crate) fn serve_file(address: SocketAddr, file: PathBuf) -> Result<()> {
    let held = Bytes::from(std::fs::read(&file).context(file.display().to_string())?);
    let packed = {
        let file = file.clone();
        warp::path("gzip").then(move || gzip(file.clone()))
    };
    let memory = warp::path("memory").map(move || warp::reply::Response::new(held.clone().into()));
    let root = warp::path::end().map(|| "ok");
    let routes = warp::path("plain").and(warp::fs::file(file)).or(packed).or(memory).or(root);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("runtime")?;
    runtime.block_on(warp::serve(routes).run(address));
    Ok(())
}

async fn gzip(file: PathBuf) -> warp::reply::Response {
    let work = tokio::task::spawn_blocking(move || {
        let body = std::fs::read(file).unwrap_or_default();
        compress(Encoding::Gzip, &body).unwrap_or_default()
    });
    let mut response = warp::reply::Response::new(work.await.unwrap_or_default().into());
    response.headers_mut().insert("content-encoding", http::HeaderValue::from_static("gzip"));
    response
}

/// `sink ADDRESS`: reads each request and answers 200.
pub(crate) fn sink(address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address).context("listen")?;
    for stream in listener.incoming() {
        let stream = stream.context("accept")?;
        // A client that goes away ends its thread with an error that nobody needs.
        std::thread::spawn(move || swallow(stream));
    }
    Err(BenchError::Failed("the sink ended".into()))
}

fn swallow(stream: TcpStream) -> std::io::Result<()> {
    let mut answer = stream.try_clone()?;
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.trim_end().is_empty() {
                break;
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        answer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
    }
}
