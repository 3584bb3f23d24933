//! The HTTP client of the tests, and raw requests for what no client would send.

use std::net::SocketAddr;
use std::sync::Once;
use std::time::Duration;

use http::{HeaderMap, Method};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Sends requests to one server.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    scheme: &'static str,
    pub address: SocketAddr,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Http {
    pub fn new(address: SocketAddr) -> Self {
        let client = Self::builder().build().expect("a client");
        Self { client, scheme: "http", address }
    }

    /// By TLS, with a client that knows whom to trust.
    pub fn secure(address: SocketAddr, client: reqwest::ClientBuilder) -> Self {
        Self { client: client.build().expect("a client"), scheme: "https", address }
    }

    /// What clients are made of.
    pub fn builder() -> reqwest::ClientBuilder {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        reqwest::Client::builder().no_proxy().timeout(Duration::from_mins(1))
    }

    /// Any request; an error where no answer came.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request =
            self.client.request(method, format!("{}://{}{path}", self.scheme, self.address)).body(body);
        for (name, value) in headers {
            let value = http::HeaderValue::from_bytes(value.as_bytes()).expect("a header's value");
            request = request.header(*name, value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        self.try_send(method, path, headers, body).await.unwrap_or_else(|e| panic!("{path}: {e:?}"))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Vec::new()).await
    }

    pub async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send(Method::GET, path, &[("accept", accept)], Vec::new()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, &[], body).await
    }

    pub async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.send(Method::POST, path, &headers, body.to_string().into_bytes()).await
    }

    /// Sends bytes as they are; whatever comes back until the server closes or `within` is over.
    pub async fn raw(&self, bytes: &[u8], within: Duration) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        let mut answer = Vec::new();
        let talk = async {
            let (mut from, mut to) = stream.split();
            // A server that answers early may close before it has read all.
            let write = async {
                let _ = to.write_all(bytes).await;
            };
            let read = async {
                let mut chunk = [0; 4096];
                while let Ok(count @ 1..) = from.read(&mut chunk).await {
                    answer.extend_from_slice(&chunk[..count]);
                }
            };
            tokio::join!(write, read);
        };
        let _ = tokio::time::timeout(within, talk).await;
        answer
    }
}

impl Answer {
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("UTF-8")
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// A header, empty where it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().expect("text"))
    }

    /// The answer, if it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    /// The JSON of a 200.
    #[track_caller]
    pub fn ok(self) -> Value {
        self.expect(200).json()
    }

    /// The body of an error, which keeps RFC 9457's form.
    #[track_caller]
    pub fn problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], format!("/problems/{slug}"), "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for field in ["title", "detail"] {
            assert!(problem[field].as_str().is_some_and(|t| !t.is_empty()), "{field}: {problem}");
        }
        if matches!(status, 429 | 503) {
            let wait: u32 = self.header("retry-after").parse().expect("Retry-After in seconds");
            assert!(wait <= 60, "Retry-After: {wait}");
        }
        problem
    }
}
