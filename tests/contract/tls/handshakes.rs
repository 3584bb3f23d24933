//! Handshakes that begin and do not end.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Secure, client, handshakes};
use crate::harness::{SOON, eventually};

/// More than a server holds.
const FLOOD: usize = 400;

#[tokio::test]
async fn slow_handshakes_keep_nobody_out_and_end() {
    let secure = Secure::start().await;
    let kept = &secure.contract;
    kept.ready().await;
    let mut slow = Vec::new();
    for i in 0..FLOOD {
        let mut stream = TcpStream::connect(secure.address()).await.unwrap();
        // Some say nothing, some begin a handshake.
        if i % 2 == 0 {
            stream.write_all(&[22, 3, 1]).await.unwrap();
        }
        slow.push(stream);
    }
    let began = Instant::now();
    secure.spoken_to_by(client(&secure.authority, None)).get("/livez").await.expect(200);
    // The first came first and went first; the last is ended by the clock.
    eventually("the oldest were crowded out", SOON, async || {
        (handshakes(kept, "crowded_out").await >= 100.0).then_some(())
    })
    .await;
    for stream in [0, FLOOD - 1] {
        let mut byte = [0];
        let ended = tokio::time::timeout(Duration::from_mins(1), slow[stream].read(&mut byte));
        assert!(ended.await.is_ok_and(|read| !matches!(read, Ok(1..))), "connection {stream}");
    }
    assert!(began.elapsed() > Duration::from_secs(5), "the last had its time");
    eventually("it is counted", SOON, async || (handshakes(kept, "timeout").await >= 1.0).then_some(()))
        .await;
}
