//! A small keep-alive HTTP/1.1 client on a bare socket.
//!
//! Bare, because a test must know exactly what happened to a request (never connected, cut, answered), must be able to send
//! bytes that no proper client would, and because the load generator must cost little beside what it measures.
//! Reads answers with `Content-Length` or chunked bodies.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection; requests go over it one after the other.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// Decoded from chunks, if it came in chunks.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as text, damaged where it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("the answer {} is not JSON ({e}): {}", self.status, self.text()))
    }

    /// Does the server close the connection after this answer?
    #[must_use]
    pub fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends the bytes of a whole request (or of the beginning of one).
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Says that no more will be sent, and keeps reading.
    pub async fn finish_sending(&mut self) -> Result<()> {
        self.stream.shutdown().await
    }

    /// Waits, at most so long, for an answer to begin or for the end of the connection.
    pub async fn has_something_to_read(&self, patience: Duration) -> bool {
        !self.buffer.is_empty() || tokio::time::timeout(patience, self.stream.readable()).await.is_ok()
    }

    /// Did the server end it while it was idle? No client sends a request over such a connection.
    fn has_ended(&self) -> bool {
        self.stream.try_read(&mut [0]).map_or_else(|e| e.kind() != ErrorKind::WouldBlock, |read| read == 0)
    }

    /// Every answer up to the end of the connection, whichever way it ends.
    pub async fn receive_all(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Ok(answer) = self.receive(false).await {
            answers.push(answer);
        }
        answers
    }

    /// Reads one answer. `head_only` is for answers that have no body whatever their headers say (to HEAD).
    /// An end of the connection before the answer is `UnexpectedEof`.
    pub async fn receive(&mut self, head_only: bool) -> Result<Answer> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            self.more().await?;
        };
        let mut answer = head(&self.buffer[..end])?;
        self.buffer.drain(..end + 4);
        if head_only || answer.status < 200 || answer.status == 204 || answer.status == 304 {
            return Ok(answer);
        }
        if answer.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            answer.body = self.chunks().await?;
        } else if let Some(length) = answer.header("content-length") {
            let length = length.parse().map_err(|_| damaged("content-length"))?;
            answer.body = self.exactly(length).await?;
        } else {
            while self.more().await.is_ok() {}
            answer.body = std::mem::take(&mut self.buffer);
        }
        Ok(answer)
    }

    /// Sends and receives.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer> {
        self.send(request).await?;
        self.receive(request.starts_with(b"HEAD ")).await
    }

    async fn exactly(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    async fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = find(&self.buffer, b"\r\n") {
                    break end;
                }
                self.more().await?;
            };
            let line = std::str::from_utf8(&self.buffer[..end]).map_err(|_| damaged("chunk size"))?;
            let length = usize::from_str_radix(line.trim(), 16).map_err(|_| damaged("chunk size"))?;
            self.buffer.drain(..end + 2);
            let mut chunk = self.exactly(length + 2).await?;
            if length == 0 {
                return Ok(body);
            }
            chunk.truncate(length);
            body.append(&mut chunk);
        }
    }

    async fn more(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(Error::new(ErrorKind::UnexpectedEof, "the connection ended before the answer did"));
        }
        Ok(())
    }
}

/// The bytes of a request.
#[must_use]
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("{method} {path} HTTP/1.1\r\nhost: pipeline.test\r\ncontent-length: {}\r\n", body.len()).into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// A connection that is opened when it is needed, and again after it was cut.
#[derive(Debug)]
pub struct KeptAlive {
    address: SocketAddr,
    connection: Option<Connection>,
}

impl KeptAlive {
    /// To this address, not connected yet.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Sends a request and reads its answer. After an error nobody knows whether the request had an effect, except that
    /// `ConnectionRefused` means it was never sent.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer> {
        let mut connection = match self.connection.take().filter(|connection| !connection.has_ended()) {
            Some(connection) => connection,
            None => Connection::open(self.address).await?,
        };
        let answer = connection.exchange(request).await?;
        if !answer.closes() {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}

fn head(bytes: &[u8]) -> Result<Answer> {
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("head"))?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()))
        .collect();
    Ok(Answer { status: status.ok_or_else(|| damaged("status line"))?, headers, body: Vec::new() })
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("the answer has a damaged {what}"))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered_with(bytes: &'static [u8]) -> Result<Answer> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let mut asked = [0; 64];
            let _ = stream.read(&mut asked).await?;
            stream.write_all(bytes).await
        });
        let answer = KeptAlive::new(address).exchange(b"GET / HTTP/1.1\r\n\r\n").await;
        let _ = server.await;
        answer
    }

    #[tokio::test]
    async fn bodies_are_read_by_length_by_chunks_and_to_the_end() {
        for bytes in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..],
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\nhello",
        ] {
            let answer = answered_with(bytes).await.unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        }
    }

    #[tokio::test]
    async fn a_cut_answer_is_an_error() {
        for bytes in [&b""[..], b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell"] {
            assert_eq!(answered_with(bytes).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        }
    }
}
