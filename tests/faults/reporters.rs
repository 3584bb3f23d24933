//! Components that report without end, and send again what was not acknowledged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::board::Board;
use crate::harness::{Answer, Http, now, time};
use crate::ledger::{COUNTER, Key, LATE, Sent, reporter};

/// Between a report and the next.
const PAUSE: Duration = Duration::from_millis(100);
/// Between a failure and the next try.
const AGAIN: Duration = Duration::from_millis(50);
/// One in a hurry waits so long for an answer, and then asks another server.
const HURRY: Duration = Duration::from_secs(4);
/// No request may be without an answer for longer. It is the client's own time-out.
pub const HANGS_AFTER: Duration = Duration::from_mins(1);

/// One component.
#[derive(Clone)]
pub struct Reporter {
    number: u16,
    servers: Vec<Http>,
    turn: usize,
    value: u64,
    at: i64,
    board: Arc<Board>,
}

impl Reporter {
    pub fn new(number: u16, servers: &[SocketAddr], board: &Arc<Board>) -> Self {
        let servers: Vec<Http> = servers.iter().map(|address| Http::new(*address)).collect();
        Self { number, turn: usize::from(number), servers, value: 0, at: 0, board: Arc::clone(board) }
    }

    /// Half of them send times, the others a key.
    const fn has_key(&self) -> bool {
        self.number % 2 == 1
    }

    /// Half of them wait as long as it takes.
    const fn is_patient(&self) -> bool {
        self.number % 4 < 2
    }

    /// Half of them have so many series that their samples are stored in blocks.
    const fn series(&self) -> u16 {
        if self.number % 8 < 4 { 3 } else { 12 }
    }

    pub async fn register(&mut self) {
        let body = json!({"name": reporter(self.number), "component_type": "worker_pool"});
        self.deliver("/api/worker/pool/register", &body, None).await;
    }

    /// Registers, then reports until the board says that it is enough.
    pub async fn run(mut self) {
        self.register().await;
        while self.board.go_on.load(Ordering::Relaxed) {
            self.report().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn report(&mut self) {
        let (body, key, samples) = self.next();
        self.board.ledger.sent(&samples);
        let tries = self.deliver("/api/metrics/report", &body, key.as_deref()).await;
        self.board.ledger.acknowledged(&samples, tries);
        self.board.acknowledged.fetch_add(samples.len() as u64, Ordering::Relaxed);
    }

    /// A report with new samples, its key where it has one, and what is in it.
    fn next(&mut self) -> (Value, Option<String>, Vec<Sent>) {
        self.value += 1;
        // Without times a report needs a millisecond of its own.
        self.at = now().max(self.at + 1);
        let mut samples = Vec::new();
        let mut metrics = Vec::new();
        let mut add = |late: bool, series: u16, at: Option<i64>| {
            samples.push((Key { reporter: self.number, late, series, value: self.value }, at));
            let (name, kind) = if late { (LATE, "gauge") } else { (COUNTER, "counter") };
            let labels = json!({"s": series.to_string()});
            let mut one = json!({"metric_name": name, "metric_type": kind, "metric_value": self.value, "labels": labels});
            if let Some(at) = at {
                one["timestamp"] = json!(time(at));
            }
            metrics.push(one);
        };
        let at = (!self.has_key()).then_some(self.at);
        for series in 0..self.series() {
            add(false, series, at);
        }
        // Some arrive out of order.
        if let Some(at) = at.filter(|_| self.value.is_multiple_of(8)) {
            add(true, 0, Some(at - 3_600_000));
        }
        let key = self.has_key().then(|| self.value.to_string());
        (json!({"component_name": reporter(self.number), "metrics": metrics}), key, samples)
    }

    /// Sends a request until it gets a 200; how often it was sent.
    async fn deliver(&mut self, path: &str, body: &Value, key: Option<&str>) -> i64 {
        let body = body.to_string().into_bytes();
        let mut tries = 0;
        loop {
            tries += 1;
            let server = &self.servers[self.turn % self.servers.len()];
            match self.try_once(server, path, &body, key).await {
                Ok(200) => return tries,
                Ok(_) | Err(()) => self.turn += 1,
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn try_once(&self, server: &Http, path: &str, body: &[u8], key: Option<&str>) -> Result<u16, ()> {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        let began = Instant::now();
        let sent = server.try_send(Method::POST, path, &headers, body.to_vec());
        let patience = if self.is_patient() { HANGS_AFTER * 2 } else { HURRY };
        match tokio::time::timeout(patience, sent).await {
            Ok(Ok(answer)) => {
                self.board.answered(&answer, began.elapsed());
                check(&self.board, path, &answer);
                Ok(answer.status)
            }
            Ok(Err(error)) => {
                self.board.unanswered.fetch_add(1, Ordering::Relaxed);
                if error.is_timeout() {
                    self.board.violation(format!("{path}: no answer within {HANGS_AFTER:?}"));
                }
                Err(())
            }
            Err(_) => {
                self.board.unanswered.fetch_add(1, Ordering::Relaxed);
                Err(())
            }
        }
    }

    /// One report by a given server, for the harness itself.
    pub async fn report_by(&mut self, server: usize) -> bool {
        let (body, key, samples) = self.next();
        let body = body.to_string().into_bytes();
        // What has no answer counts for nothing.
        self.board.ledger.sent(&samples);
        let done = self.try_once(&self.servers[server], "/api/metrics/report", &body, key.as_deref()).await;
        if done == Ok(200) {
            self.board.ledger.acknowledged(&samples, 1);
        }
        done == Ok(200)
    }
}

/// Only what is documented may come back, with what is promised in it.
fn check(board: &Board, path: &str, answer: &Answer) {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let status = answer.status;
    let is_right = match status {
        200 => true,
        429 | 503 => answer.header("retry-after").parse::<u32>().is_ok_and(|wait| wait <= 60),
        // The same key is under way by another server.
        409 => text.contains("in-progress"),
        _ => false,
    };
    let is_problem = status == 200 || answer.header("content-type") == "application/problem+json";
    if !is_right || !is_problem {
        board.violation(format!("{path}: {status} {:?} {text}", answer.headers));
    }
    if status == 200 && text.contains("rejected") {
        board.violation(format!("{path}: refused {text}"));
    }
}
