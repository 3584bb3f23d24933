//! Bodies of requests: read, unpacked, and bounded, each by itself and all together.

use std::ops::Deref;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::sync::{Semaphore, watch};

use super::problem::{Kind, Problem};
use super::room::{Held, Room};
use crate::wire::encoding::{Encoding, EncodingError, decompress};

/// A client that sends its body slower than this is not waited for.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Nor is one that still sends this long after the server was told to stop.
const STOPPING_TIMEOUT: Duration = Duration::from_secs(2);
/// Bodies that are unpacked at once; each may take its limit before it turns out to be small.
const UNPACKING: usize = 4;
/// All bodies together may be as large as this many of the largest.
const LARGEST_BODIES: usize = 16;
/// Bytes of a body that is too large which are read nevertheless, in largest bodies: a client that
/// still sends does not listen.
const OVERRUN: usize = 4;

/// How much memory bodies may take.
#[derive(Debug)]
pub(super) struct Bodies {
    limit: usize,
    room: Room,
    unpacking: Semaphore,
    stopping: watch::Receiver<bool>,
}

/// A body, and the room that it takes while it is there.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Bytes,
    room: Held,
}

impl Body {
    /// Takes room for what it is read into too, so many bytes.
    pub(super) fn widen(&mut self, bodies: &Bodies, bytes: usize) -> Result<(), Problem> {
        bodies.reserve(&mut self.room, self.bytes.len().saturating_add(bytes))
    }

    /// The same bytes, for as long as the body is there: its room goes with it.
    pub(super) fn shared(&self) -> Bytes {
        self.bytes.clone()
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Bodies {
    /// For bodies of at most `limit` bytes each, as sent and after decompression, until `stopping`.
    pub(super) fn new(limit: usize, stopping: watch::Receiver<bool>) -> Self {
        let room = Room::of(LARGEST_BODIES, limit);
        Self { limit, room, unpacking: Semaphore::new(UNPACKING), stopping }
    }

    /// Reads a body and unpacks it; `announced` is its `Content-Length`, 0 where it has none.
    pub(super) async fn read<S>(
        &self,
        stream: S,
        announced: usize,
        encoding: Encoding,
    ) -> Result<Body, Problem>
    where
        S: Stream<Item = Result<Bytes, warp::Error>> + Unpin,
    {
        let sent = tokio::select! {
            sent = self.collect(stream, announced) => sent?,
            () = tokio::time::sleep(BODY_TIMEOUT) => {
                return Err(Problem::new(Kind::TIMEOUT, "the body did not arrive within 30 s"));
            }
            () = self.stopped() => {
                let detail = "the server stops, and the body is not there yet";
                return Err(Problem::new(Kind::UNAVAILABLE, detail).with_header("retry-after", "2"));
            }
        };
        if encoding == Encoding::Identity { Ok(sent) } else { self.unpack(sent, encoding).await }
    }

    /// Resolves some time after the server was told to stop.
    async fn stopped(&self) {
        if self.stopping.clone().wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(STOPPING_TIMEOUT).await;
    }

    async fn collect<S>(&self, mut stream: S, announced: usize) -> Result<Body, Problem>
    where
        S: Stream<Item = Result<Bytes, warp::Error>> + Unpin,
    {
        let mut parts = Parts::None;
        let mut room = Held::default();
        while let Some(chunk) = stream.next().await {
            let chunk =
                chunk.map_err(|e| Problem::new(Kind::MALFORMED, format!("the body broke off: {e}")))?;
            if parts.len() + chunk.len() > self.limit {
                drop((parts, room));
                self.overrun(stream).await;
                return Err(Problem::new(
                    Kind::TOO_LARGE,
                    format!("the body has more than {} bytes", self.limit),
                ));
            }
            parts = parts.and(chunk, announced.min(self.limit).min(1 << 20));
            self.reserve(&mut room, parts.len())?;
        }
        Ok(Body { bytes: parts.joined(), room })
    }

    /// Reads on for a while and forgets what comes.
    async fn overrun(&self, mut stream: impl Stream<Item = Result<Bytes, warp::Error>> + Unpin) {
        let mut left = self.limit.saturating_mul(OVERRUN);
        while let Some(Ok(chunk)) = stream.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                return;
            }
        }
    }

    async fn unpack(&self, sent: Body, encoding: Encoding) -> Result<Body, Problem> {
        let failed = || Problem::new(Kind::INTERNAL, "the body could not be decompressed");
        let _turn = self.unpacking.acquire().await.map_err(|_| failed())?;
        let limit = self.limit;
        let work = tokio::task::spawn_blocking(move || decompress(encoding, &sent, limit)).await;
        let bytes = work.map_err(|_| failed())?.map_err(|e| match e {
            EncodingError::TooLarge(_) => Problem::new(Kind::TOO_LARGE, e.to_string()),
            _ => Problem::new(Kind::MALFORMED, e.to_string()),
        })?;
        let mut room = Held::default();
        self.reserve(&mut room, bytes.len())?;
        Ok(Body { bytes: bytes.into(), room })
    }

    fn reserve(&self, room: &mut Held, bytes: usize) -> Result<(), Problem> {
        self.room.widen(room, bytes).map_err(|_| {
            let detail = "the bodies of other requests take all the room that there is";
            Problem::new(Kind::BUSY, detail).with_header("retry-after", "1")
        })
    }
}

/// What is there of a body. One that came in one piece is not copied.
enum Parts {
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Parts {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(bytes) => bytes.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }

    /// With one more; there are probably as many bytes as `expected`.
    fn and(self, part: Bytes, expected: usize) -> Self {
        match self {
            Self::None => Self::One(part),
            Self::One(first) => {
                let mut bytes = BytesMut::with_capacity(expected.max(first.len() + part.len()));
                bytes.extend_from_slice(&first);
                Self::Many(bytes).and(part, expected)
            }
            Self::Many(mut bytes) => {
                bytes.extend_from_slice(&part);
                Self::Many(bytes)
            }
        }
    }

    fn joined(self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::One(bytes) => bytes,
            Self::Many(bytes) => bytes.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(chunks: usize, bytes: usize) -> impl Stream<Item = Result<Bytes, warp::Error>> + Unpin {
        futures_util::stream::iter((0..chunks).map(move |_| Ok(Bytes::from(vec![b'x'; bytes]))))
    }

    #[tokio::test]
    async fn bodies_are_bounded_by_themselves_and_together() {
        let (_stop, stopping) = watch::channel(false);
        let bodies = Bodies::new(10_000, stopping);
        let read = async |chunks, bytes| bodies.read(stream(chunks, bytes), 0, Encoding::Identity).await;
        assert_eq!(read(10, 1000).await.unwrap().len(), 10_000);
        assert_eq!(read(11, 1000).await.unwrap_err().status(), 413);
        let mut held = Vec::new();
        for _ in 0..LARGEST_BODIES {
            held.push(read(1, 10_000).await.unwrap());
        }
        assert_eq!(read(1, 10).await.unwrap_err().status(), 429);
        held.pop();
        assert_eq!(read(1, 10_000).await.unwrap().len(), 10_000, "room is given back");
    }
}
