//! An import between a source and a server that are made up, and misbehave.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::model::Limits;
use crate::wire::encoding::{Encoding, decompress};
use crate::wire::remote_write::{Message, read};

/// A request as it came: path with query, and body.
struct Asked {
    path: String,
    body: Vec<u8>,
}

impl Asked {
    fn param(&self, name: &str) -> String {
        let query = self.path.split_once('?').map_or("", |(_, query)| query);
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
    }
}

/// Answers each request by a status, further headers and a body; returns where.
async fn answering(
    answer: impl FnMut(&Asked) -> (&'static str, &'static str, String) + Send + 'static,
) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let answer = Arc::new(Mutex::new(answer));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let Some(asked) = request(&mut stream).await else { return };
                let (status, headers, body) = (answer.lock())(&asked);
                let head = format!(
                    "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await;
            });
        }
    });
    url
}

async fn request(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    loop {
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = head {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if bytes.len() >= end + 4 + length {
                let path = String::from_utf8_lossy(&bytes).split(' ').nth(1)?.to_owned();
                return Some(Asked { path, body: bytes.split_off(end + 4) });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

type Samples = Arc<Mutex<Vec<(String, Vec<(i64, f64)>)>>>;

/// A server that is overloaded at first, and keeps what it is sent then.
async fn server() -> (Url, Samples) {
    let kept = Samples::default();
    let keeps = Arc::clone(&kept);
    let mut is_overloaded = true;
    let url = answering(move |asked| {
        if std::mem::take(&mut is_overloaded) {
            return ("503 Service Unavailable", "Retry-After: 0\r\n", String::new());
        }
        let body = decompress(Encoding::Snappy, &asked.body, 1 << 30).unwrap();
        let write = read(Message::V1, &body, &Limits::default()).unwrap();
        for series in &write.series {
            let labels = write.labels(series).unwrap();
            let labels = labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
            let samples = write.samples(series).iter().map(|one| (one.at.0, one.value)).collect();
            keeps.lock().push((labels.join(","), samples));
        }
        ("204 No Content", "", String::new())
    });
    (url.await, kept)
}

fn config(kind: SourceKind, url: Url, server_url: &Url) -> ImportConfig {
    let span = Span { start: Millis(0), end: Millis(3_600_000), selectors: Vec::new(), labels: Vec::new() };
    ImportConfig {
        span,
        source: Source { kind, url, token_file: None },
        server_url: ServerUrl::parse(server_url.as_str()).unwrap(),
        tls: None,
        token_file: None,
        component: None,
        patience: Duration::from_mins(1),
        state: None,
    }
}

/// Prometheus with a sample of one metric each minute, of which no more than a quarter of an hour fits
/// into an answer.
async fn prometheus(too_much: impl Fn() -> (&'static str, String) + Send + 'static) -> Url {
    answering(move |asked| {
        if asked.path.contains("/values") {
            return ("200 OK", "", r#"{"status":"success","data":["m"]}"#.to_owned());
        }
        let query = asked.param("query");
        let (selector, range) = query.trim_end_matches("ms]").split_once('[').unwrap();
        assert_eq!(selector, r#"{__name__="m",__name__!=""}"#);
        let range: i64 = range.parse().unwrap();
        if range > 900_000 {
            let (status, body) = too_much();
            return (status, "", body);
        }
        let end = crate::model::parse_timestamp(&asked.param("time")).unwrap().0;
        // Both ends are in it, as up to version 2.
        let minutes = (0..60).map(|minute| minute * 60).filter(|at| (end - range..=end).contains(&(at * 1000)));
        let values: Vec<String> = minutes.map(|at| format!("[{at},\"{at}\"]")).collect();
        let body = format!(
            r#"{{"data":{{"resultType":"matrix","result":[{{"metric":{{"__name__":"m"}},"values":[{}]}}]}}}}"#,
            values.join(",")
        );
        ("200 OK", "", body)
    })
    .await
}

#[tokio::test]
async fn what_is_too_much_for_an_answer_is_asked_in_halves() {
    let refused = || {
        let error = "query processing would load too many samples into memory in query execution";
        ("422 Unprocessable Entity", format!(r#"{{"status":"error","error":"{error}"}}"#))
    };
    let endless = || ("200 OK", " ".repeat((32 << 20) + 1));
    for url in [prometheus(refused).await, prometheus(endless).await] {
        let (server_url, kept) = server().await;
        let done = import(&config(SourceKind::Prometheus, url, &server_url), |_| ()).await.unwrap();
        assert_eq!((done.progress.samples, done.refused), (60, 0));
        let mut samples: Vec<(i64, f64)> = kept.lock().iter().flat_map(|(_, s)| s.clone()).collect();
        samples.sort_by_key(|(at, _)| *at);
        let expected: Vec<_> = (0..60_i32).map(|n| (i64::from(n) * 60_000, f64::from(n * 60))).collect();
        assert_eq!(samples, expected);
    }
}

#[tokio::test]
async fn what_is_too_much_even_then_is_named() {
    let url = answering(|asked| {
        let is_names = asked.path.contains("/values");
        let body = if is_names { r#"{"data":["m"]}"#.to_owned() } else { " ".repeat((32 << 20) + 1) };
        ("200 OK", "", body)
    });
    let (server_url, _) = server().await;
    let mut config = config(SourceKind::Prometheus, url.await, &server_url);
    config.span.end = Millis(2000);
    let why = import(&config, |_| ()).await.unwrap_err().to_string();
    assert!(why.contains("m has too much in 1000 ms") && why.contains("--match"), "{why}");
}

/// An export of so many samples of one series, with one more line.
fn export(samples: usize, last: &str) -> String {
    let numbers = |each: fn(usize) -> String| (0..samples).map(each).collect::<Vec<_>>().join(",");
    let (values, times) = (numbers(|n| n.to_string()), numbers(|n| n.to_string()));
    format!("{{\"metric\":{{\"__name__\":\"m\"}},\"values\":[{values}],\"timestamps\":[{times}]}}\n{last}")
}

#[tokio::test]
async fn requests_have_no_more_than_so_many_samples() {
    let url = answering(|_| ("200 OK", "", export(25_000, "")));
    let (server_url, kept) = server().await;
    let done = import(&config(SourceKind::VictoriaMetrics, url.await, &server_url), |_| ()).await.unwrap();
    assert_eq!(done.progress.samples, 25_000);
    let parts: Vec<usize> = kept.lock().iter().map(|(_, samples)| samples.len()).collect();
    assert_eq!(parts, [10_000, 10_000, 5000]);
}

#[tokio::test]
async fn an_hour_that_broke_off_is_read_again_and_counted_once() {
    let mut times = 0;
    let url = answering(move |_| {
        times += 1;
        let overloaded = ("429 Too Many Requests", "Retry-After: 0\r\n", String::new());
        if times == 1 { overloaded } else { ("200 OK", "", export(3, "")) }
    });
    let (server_url, kept) = server().await;
    let done = import(&config(SourceKind::VictoriaMetrics, url.await, &server_url), |_| ()).await.unwrap();
    assert_eq!((done.progress.samples, kept.lock().len()), (3, 1));
}

#[tokio::test]
async fn a_source_that_talks_nonsense_is_told_by_its_words() {
    for (body, words) in [
        (export(3, "no space left on device"), "its last line can't be read: no space left"),
        (export(3, "oops\n"), "a line of its export can't be read: oops"),
        ("x".repeat((16 << 20) + 1), "a line without an end can't be read: xxx"),
    ] {
        let url = answering(move |_| ("200 OK", "", body.clone()));
        let (server_url, _) = server().await;
        let refused = import(&config(SourceKind::VictoriaMetrics, url.await, &server_url), |_| ()).await;
        let why = refused.unwrap_err().to_string();
        assert!(why.starts_with("VictoriaMetrics: ") && why.contains(words), "{why}");
    }
}

#[tokio::test]
async fn what_a_server_refuses_is_counted_and_why_is_told() {
    let url = answering(|_| ("200 OK", "", export(3, "")));
    let server_url = answering(|_| {
        let body = r#"{"detail":"d","errors":[{"field":"labels","reason":"m{}: too many"}]}"#;
        ("400 Bad Request", "X-Prometheus-Remote-Write-Samples-Written: 1\r\n", body.to_owned())
    });
    let mut config = config(SourceKind::VictoriaMetrics, url.await, &server_url.await);
    let done = import(&config, |_| ()).await.unwrap();
    assert_eq!((done.progress.samples, done.refused), (1, 2));
    assert_eq!(done.reasons, ["labels: m{}: too many"]);
    let url = answering(|_| ("401 Unauthorized", "", r#"{"detail":"a token is required"}"#.to_owned())).await;
    config.server_url = ServerUrl::parse(url.as_str()).unwrap();
    let why = import(&config, |_| ()).await.unwrap_err().to_string();
    assert_eq!(why, "the server answered 401 Unauthorized: a token is required");
}

#[test]
fn a_component_is_named_where_no_label_does() {
    let named = |given: &[(&str, &str)], kind: Option<&str>| {
        let mut labels: BTreeMap<String, String> =
            given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        name_component(&mut labels, Some(&("old".to_owned(), kind.map(ToOwned::to_owned))));
        labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(named(&[("a", "b")], Some("broker")), "a=b component=old component_type=broker");
    assert_eq!(named(&[("a", "b")], None), "a=b component=old");
    assert_eq!(named(&[("instance", "h:1")], Some("broker")), "instance=h:1");
}

#[test]
fn what_is_selected_is_all_or_what_is_said() {
    use crate::live::Selector;
    assert_eq!(texts(&[]), [r#"{__name__!=""}"#]);
    let both = [Selector::parse("up").unwrap(), Selector::parse("{a=\"b\"}").unwrap()];
    assert_eq!(texts(&both), [r#"{__name__="up"}"#, r#"{a="b"}"#]);
}

#[test]
fn a_source_is_named_without_what_its_url_may_carry() {
    let url = "https://h/prefix?token=hush".parse().unwrap();
    let source = Source { kind: SourceKind::Prometheus, url, token_file: None };
    assert_eq!(source.to_string(), "Prometheus h:443/prefix");
}
