//! The smallest HTTP/1.1 client: one connection, one prepared request at a time, the answer's body
//! read whole. A full client would cost more than what is measured.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::{Context, Result, failed};

/// No answer takes longer.
const TIMEOUT: Duration = Duration::from_mins(2);

/// An open connection that is kept alive.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

/// An answer.
pub(crate) struct Response {
    /// HTTP status.
    pub(crate) status: u16,
    /// Body, as sent.
    pub(crate) body: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect_timeout(&address, TIMEOUT).context(format!("connect to {address}"))?;
        stream.set_nodelay(true).context("socket")?;
        stream.set_read_timeout(Some(TIMEOUT)).context("socket")?;
        Ok(Self { stream: BufReader::with_capacity(256 << 10, stream) })
    }

    /// Sends a whole request, head and body, and reads the answer.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<Response> {
        self.stream.get_mut().write_all(request).context("send a request")?;
        self.read()
    }

    /// `GET path`, compressed by gzip where `gzip` says so.
    pub(crate) fn get(&mut self, path: &str, gzip: bool) -> Result<Response> {
        let encoding = if gzip { "accept-encoding: gzip\r\n" } else { "" };
        self.send(format!("GET {path} HTTP/1.1\r\nhost: bench\r\n{encoding}\r\n").as_bytes())
    }

    fn read(&mut self) -> Result<Response> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok());
        let Some(status) = status else { return failed(format!("{first:?} is no HTTP answer")) };
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().unwrap_or(0),
                Some(("transfer-encoding", value)) => chunked = value.trim() == "chunked",
                Some(_) => {}
                None => break,
            }
        }
        let body = if chunked { self.chunks()? } else { self.exactly(length)? };
        Ok(Response { status, body })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).context("read an answer")?;
        Ok(line.trim_end().to_owned())
    }

    fn exactly(&mut self, bytes: usize) -> Result<Vec<u8>> {
        let mut body = vec![0; bytes];
        self.stream.read_exact(&mut body).context("read an answer's body")?;
        Ok(body)
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.line()?;
            let Ok(size) = usize::from_str_radix(&size, 16) else {
                return failed(format!("{size:?} is no size of a chunk"));
            };
            body.extend(self.exactly(size)?);
            self.line()?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
}
