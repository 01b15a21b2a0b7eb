//! A client's connection, between the socket and hyper: the time limits and the manners that hyper has no settings for.
//!
//! - A request's head must be complete [`HEAD_DEADLINE`] after its first byte (on a new connection: after it was opened). hyper's own
//!   limit cannot tell an idle connection from a slow head, so it is left with the idle ones.
//! - A client that takes nothing of its answer for [`WRITE_DEADLINE`] is cut.
//! - What hyper refuses before there is a request (no HTTP at all, too many or too large headers, an endless address) it answers
//!   without a body. Such an answer is replaced by a [`Problem`], because every error is one; and before the connection is closed,
//!   what the client is still sending is read for a moment: it would otherwise see a broken connection instead of the answer.
//!
//! Invariant: bytes of answers that a handler made pass unchanged.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::problem::{Kind, Problem};

/// For a request's head.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// Between two steps of a client that reads its answer.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);
/// Of a refused client, so much is read and thrown away, and so long.
const POLITE_BYTES: usize = 1 << 20;
const POLITE_DEADLINE: Duration = Duration::from_secs(1);

const QUIET: u8 = 0;
const HEAD: u8 = 1;
const SERVING: u8 = 2;

/// How far a connection is with its present request. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Phase(Arc<AtomicU8>);

impl Phase {
    /// A head is complete, and its request is being served.
    pub fn serving(&self) {
        self.set(SERVING);
    }

    fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }

    fn is(&self, phase: u8) -> bool {
        self.0.load(Ordering::Relaxed) == phase
    }
}

/// A socket with limits.
#[derive(Debug)]
pub struct Connection<S> {
    socket: S,
    phase: Phase,
    /// When the first byte of the head came that is being read.
    head_since: Instant,
    head_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
    /// Our words in place of hyper's, as far as they are still to be written.
    instead: Option<Vec<u8>>,
    polite_timer: Option<Pin<Box<Sleep>>>,
    polite_bytes: usize,
}

impl<S> Connection<S> {
    /// A connection that was just accepted.
    pub fn new(socket: S) -> Self {
        Self {
            socket,
            phase: Phase(Arc::new(AtomicU8::new(HEAD))),
            head_since: Instant::now(),
            head_timer: None,
            write_timer: None,
            instead: None,
            polite_timer: None,
            polite_bytes: 0,
        }
    }

    /// To be told when a request's head was read.
    pub fn phase(&self) -> Phase {
        self.phase.clone()
    }
}

fn too_slow(what: &str) -> Error {
    Error::new(ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if self.phase.is(QUIET) && buffer.filled().len() > before {
            self.phase.set(HEAD);
            self.head_since = Instant::now();
            self.head_timer = None;
        }
        if !self.phase.is(HEAD) {
            return read;
        }
        let deadline = self.head_since + HEAD_DEADLINE;
        let late = match read {
            // Nearly every head comes at once, and then no timer is made.
            Poll::Ready(_) => Instant::now() >= deadline,
            Poll::Pending => {
                self.head_timer.get_or_insert_with(|| Box::pin(sleep_until(deadline))).as_mut().poll(cx).is_ready()
            }
        };
        if late { Poll::Ready(Err(too_slow("a request's head came too slowly"))) } else { read }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Every write ends here.
    fn wrote(&mut self, cx: &mut Context<'_>, first: &[u8], written: Poll<Result<usize>>) -> Poll<Result<usize>> {
        if written.is_pending() {
            let timer = self.write_timer.get_or_insert_with(|| Box::pin(sleep(WRITE_DEADLINE)));
            ready!(timer.as_mut().poll(cx));
            return Poll::Ready(Err(too_slow("the client takes nothing of its answer")));
        }
        self.write_timer = None;
        // "100 Continue" comes in the middle of a request.
        if !first.starts_with(b"HTTP/1.1 100 ") {
            self.phase.set(QUIET);
        }
        written
    }

    /// Writes what stands in place of hyper's words.
    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while let Some(words) = self.instead.take_if(|words| !words.is_empty()) {
            let written = Pin::new(&mut self.socket).poll_write(cx, &words);
            let rest = words.get(if let Poll::Ready(Ok(n)) = written { n } else { 0 }..).unwrap_or_default().to_vec();
            self.instead = Some(rest);
            if ready!(self.wrote(cx, &words, written))? == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads on what a refused client is still sending.
    fn poll_polite(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 4096];
        while self.polite_bytes < POLITE_BYTES {
            let timer = self.polite_timer.get_or_insert_with(|| Box::pin(sleep(POLITE_DEADLINE)));
            if timer.as_mut().poll(cx).is_ready() {
                break;
            }
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => self.polite_bytes += buffer.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let first = slices.first().map_or(&[][..], |slice| slice);
        if let Some(problem) = refusal_of_hyper(first) {
            self.instead = Some(words(problem));
            return Poll::Ready(Ok(first.len()));
        }
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.wrote(cx, first, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_instead(cx))?;
        if self.polite_bytes == 0 && self.polite_timer.is_none() {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
        }
        if self.instead.is_some() {
            ready!(self.poll_polite(cx));
        }
        Poll::Ready(Ok(()))
    }
}

/// What hyper refuses by itself, if these bytes are such an answer: one of three statuses, and no body.
fn refusal_of_hyper(bytes: &[u8]) -> Option<Problem> {
    let problem = match bytes.strip_prefix(b"HTTP/1.1 ")?.first_chunk()? {
        b"400 " => Problem::new(Kind::MalformedRequest, "this is not a well-formed HTTP/1.1 request"),
        b"414 " => Problem::new(Kind::UriTooLong, "the address is too long"),
        b"431 " => Problem::new(Kind::HeadersTooLarge, "the request has too many headers, or too large ones"),
        _ => return None,
    };
    let head = bytes.strip_suffix(b"\r\n\r\n")?;
    head.split(|&byte| byte == b'\n').any(|line| line.trim_ascii() == b"content-length: 0").then_some(problem)
}

/// A whole answer, after which the connection is closed.
fn words(problem: Problem) -> Vec<u8> {
    let (status, request_id, body) = problem.into_json();
    let (code, reason) = (status.as_u16(), reason(status));
    let length = body.len();
    format!(
        "HTTP/1.1 {code} {reason}\r\ncontent-type: application/json\r\nx-request-id: {request_id}\r\n\
         connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const REFUSAL: &[u8] =
        b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";

    #[tokio::test]
    async fn an_empty_refusal_gets_the_body_that_every_error_has() {
        let (client, server) = duplex(64);
        let mut connection = Connection::new(server);
        let writing = async {
            connection.write_all(REFUSAL).await.unwrap();
            connection.flush().await.unwrap();
            connection.shutdown().await.unwrap();
        };
        let reading = async {
            let (mut read, write) = tokio::io::split(client);
            let mut text = String::new();
            read.read_to_string(&mut text).await.unwrap();
            drop((read, write));
            text
        };
        let ((), text) = tokio::join!(writing, reading);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())) || head.ends_with(&body.len().to_string())
        );
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], "headers_too_large");
    }

    #[tokio::test]
    async fn answers_of_handlers_pass_unchanged() {
        for answer in [
            &b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}"[..],
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        ] {
            let (mut client, server) = duplex(1024);
            let mut connection = Connection::new(server);
            connection.write_all(answer).await.unwrap();
            connection.shutdown().await.unwrap();
            let mut read = Vec::new();
            client.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, answer);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_ten_seconds_and_an_idle_connection_any_time() {
        let (mut client, server) = duplex(1024);
        let mut connection = Connection::new(server);
        let mut byte = [0];
        let late = connection.read(&mut byte).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);

        // An answer was written: the connection is idle, for as long as hyper likes.
        connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        assert!(tokio::time::timeout(HEAD_DEADLINE * 3, connection.read(&mut byte)).await.is_err());
        // Its next request comes, a byte a second.
        let started = Instant::now();
        let dripping = async {
            loop {
                client.write_all(b"x").await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let reading = async { while connection.read(&mut byte).await.is_ok() {} };
        tokio::select! { () = dripping => {}, () = reading => {} }
        assert!(started.elapsed() <= HEAD_DEADLINE + Duration::from_secs(1), "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_take_longer_than_a_head() {
        let (mut client, server) = duplex(1024);
        let mut connection = Connection::new(server);
        connection.phase().serving();
        connection.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        let mut byte = [0];
        assert!(tokio::time::timeout(HEAD_DEADLINE * 2, connection.read(&mut byte)).await.is_err());
        client.write_all(b"x").await.unwrap();
        assert_eq!(connection.read(&mut byte).await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_reads_is_cut() {
        let (_client, server) = duplex(8);
        let mut connection = Connection::new(server);
        let stuck = connection.write_all(&[b'x'; 64]).await.unwrap_err();
        assert_eq!(stuck.kind(), ErrorKind::TimedOut);
    }
}
