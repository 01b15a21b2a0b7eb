//! What clients send that mean harm, or cannot do better: pieces for tests of sockets and of bodies.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::client::WRITE_KEY;
use crate::eventually::PATIENCE;
use crate::http1::{Answer, Connection};

/// One step of a client.
#[derive(Debug, Clone)]
pub enum Step {
    /// Sends these bytes at once.
    Send(Vec<u8>),
    /// Sends this byte again and again, with this pause, until the server has enough.
    Drip(u8, Duration),
    /// Ends its side of the connection, and goes on reading.
    HalfClose,
}

/// Takes the steps, then reads until the server ends the connection. What it answered, in order.
///
/// # Panics
/// When the server does not end it: [`PATIENCE`] after the longest time that a request may take.
pub async fn conversation(address: SocketAddr, steps: &[Step]) -> Vec<Answer> {
    let mut connection = Connection::open(address).await.expect("ingest accepts connections");
    let talking = async {
        for step in steps {
            let sent = match step {
                Step::Send(bytes) => connection.send(bytes).await,
                Step::Drip(byte, pause) => drip(&mut connection, *byte, *pause).await,
                Step::HalfClose => connection.finish_sending().await,
            };
            if sent.is_err() {
                break;
            }
        }
        connection.receive_all().await
    };
    let longest = PATIENCE + Duration::from_secs(30);
    tokio::time::timeout(longest, talking).await.unwrap_or_else(|_| panic!("still open after {longest:?}: {steps:?}"))
}

/// Until the server ends the connection, or says something.
async fn drip(connection: &mut Connection, byte: u8, pause: Duration) -> std::io::Result<()> {
    while !connection.has_something_to_read(pause).await {
        connection.send(&[byte]).await?;
    }
    Ok(())
}

/// The head of a request: its line without the version, and headers with a key among them.
#[must_use]
pub fn head(request: &str, headers: &[&str]) -> Vec<u8> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("{request} HTTP/1.1\r\nhost: pipeline.test\r\nx-api-key: {WRITE_KEY}\r\n{headers}\r\n").into_bytes()
}

/// A track whose body has this `Content-Length`.
#[must_use]
pub fn track(event: &str) -> Vec<u8> {
    let body = format!(r#"{{"user_id":"u","event":"{event}"}}"#);
    [head("POST /v1/track", &[&format!("content-length: {}", body.len())]), body.into_bytes()].concat()
}

/// The bytes, gzipped.
///
/// # Panics
/// Never: memory takes all.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

/// The bytes, in the zlib format that HTTP calls deflate.
///
/// # Panics
/// Never: memory takes all.
#[must_use]
pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

/// The bytes as one zstd frame that asks its reader to remember `2^window_log` bytes.
///
/// # Panics
/// When zstd knows no such window.
#[must_use]
pub fn zstd(bytes: &[u8], window_log: u32) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).expect("memory for an encoder");
    encoder.window_log(window_log).expect("a window that zstd knows");
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

/// Lets this process, and those it starts from now on, open as many files as the system allows it.
///
/// # Panics
/// When that is less than `needed`.
pub fn raise_open_files(needed: u64) {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    assert!(
        most >= needed,
        "at most {most} files may be open here, {needed} are needed: raise the hard limit (ulimit -Hn)"
    );
    if limit.current.is_some_and(|current| current < needed) {
        let raised = Rlimit { current: Some(needed), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).expect("a soft limit can be raised to the hard one");
    }
}
