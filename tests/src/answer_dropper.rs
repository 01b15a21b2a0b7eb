//! A proxy between an SDK and the service that keeps a note of every request, and may lose answers.
//!
//! When it loses answers, the first request of each batch is delivered and answered by the service, and then the connection to the
//! SDK is closed instead of passing the answer on: the SDK cannot know that its events were taken, and sends them again. A batch
//! is recognised by its first message id, because a resend differs in its `sentAt`. Requests without events are never harmed.

use std::collections::HashSet;
use std::io::{Error, Read};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::http1::{self, Answer, Connection};

/// One request as it passed.
#[derive(Debug, Clone)]
pub struct Passed {
    /// Method and path: `POST /v1/batch`.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Status of the service's answer.
    pub status: u16,
    /// Of the answer; names in lower case.
    pub answer_headers: Vec<(String, String)>,
    /// Of the answer, decoded.
    pub answer: String,
    /// How many events it carried.
    pub events: usize,
    /// The answer was lost.
    pub dropped: bool,
}

impl Passed {
    /// A header of the request.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// A running proxy; ends when dropped.
#[derive(Debug)]
pub struct AnswerDropper {
    /// Where SDKs find it.
    pub address: SocketAddr,
    log: Arc<Log>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Log {
    service: SocketAddr,
    drops: bool,
    seen: Mutex<HashSet<Vec<u8>>>,
    passed: Mutex<Vec<Passed>>,
}

impl AnswerDropper {
    /// In front of `service`; with `drops` it loses the first answer to each batch.
    pub async fn start(service: SocketAddr, drops: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port has an address");
        let log = Arc::new(Log { service, drops, seen: Mutex::default(), passed: Mutex::default() });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&log)));
        Self { address, log, accepting }
    }

    /// What has passed so far.
    #[must_use]
    pub fn passed(&self) -> Vec<Passed> {
        self.log.passed.lock().expect("nobody panicked with the log").clone()
    }
}

impl Drop for AnswerDropper {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, log: Arc<Log>) {
    while let Ok((stream, _)) = listener.accept().await {
        let log = Arc::clone(&log);
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let pass = service_fn(move |request| pass(Arc::clone(&log), request));
            // An error of the service, a dropped answer, closes the connection without a word.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), pass).await;
        });
    }
}

async fn pass(log: Arc<Log>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(Error::other)?.to_bytes();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let forwarded: Vec<(&str, &str)> =
        headers.iter().filter(|(name, _)| !is_framing(name)).map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let mut service = Connection::open(log.service).await?;
    let answer = service.exchange(&http1::request(parts.method.as_str(), path, &forwarded, &body)).await?;

    let ids = message_ids(&plain(&headers, &body));
    let first = ids.first().is_some_and(|id| log.seen.lock().is_ok_and(|mut seen| seen.insert(id.clone())));
    let dropped = log.drops && first;
    log.passed.lock().map_err(|e| Error::other(e.to_string()))?.push(Passed {
        line: format!("{} {path}", parts.method),
        headers,
        status: answer.status,
        answer_headers: answer.headers.clone(),
        answer: answer.text(),
        events: ids.len(),
        dropped,
    });
    if dropped { Err(Error::other("this answer is lost")) } else { Ok(response(&answer)) }
}

fn response(answer: &Answer) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers.iter().filter(|(name, _)| !is_framing(name)) {
        response = response.header(name, value);
    }
    response.body(Full::new(Bytes::from(answer.body.clone()))).expect("what was a response is one")
}

/// Headers of one hop, which each side writes for itself.
fn is_framing(name: &str) -> bool {
    ["host", "content-length", "transfer-encoding", "connection", "keep-alive"].contains(&name)
}

/// The body without its compression.
fn plain(headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    if !headers.iter().any(|(name, value)| name == "content-encoding" && value == "gzip") {
        return body.to_vec();
    }
    let mut decoded = Vec::new();
    flate2::read::MultiGzDecoder::new(body).read_to_end(&mut decoded).expect("an SDK's gzip is well-formed");
    decoded
}

/// The values of all keys `messageId`, in order.
fn message_ids(body: &[u8]) -> Vec<Vec<u8>> {
    const KEY: &[u8] = b"\"messageId\"";
    let mut ids = Vec::new();
    let mut rest = body;
    while let Some(at) = rest.windows(KEY.len()).position(|window| window == KEY) {
        rest = &rest[at + KEY.len()..];
        let mut quoted = rest.split(|byte| *byte == b'"').skip(1);
        ids.push(quoted.next().unwrap_or_default().to_vec());
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    async fn service() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer =
                    async |_: Request<Incoming>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("taken")));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service_fn(answer)),
                );
            }
        });
        address
    }

    #[tokio::test]
    async fn the_first_answer_to_each_batch_is_lost_and_the_second_is_not() {
        let proxy = AnswerDropper::start(service().await, true).await;
        let send = async |body: &str| {
            let mut connection = Connection::open(proxy.address).await.unwrap();
            connection.exchange(&http1::request("POST", "/v1/batch", &[], body.as_bytes())).await.map(|a| a.text())
        };
        let batch =
            |sent_at: &str| format!(r#"{{"batch":[{{"messageId":"a"}},{{"messageId": "b"}}],"sentAt":"{sent_at}"}}"#);
        assert!(send(&batch("noon")).await.is_err());
        assert_eq!(send(&batch("later")).await.unwrap(), "taken");
        assert_eq!(send("{}").await.unwrap(), "taken", "without events nothing is harmed");
        let seen: Vec<_> = proxy.passed().iter().map(|p| (p.status, p.events, p.dropped)).collect();
        assert_eq!(seen, [(200, 2, true), (200, 2, false), (200, 0, false)]);
    }
}
