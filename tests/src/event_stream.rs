//! A client of server-sent events on a bare socket. Each event comes as one chunk, so lines that only frame chunks can be passed over.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::eventually::PATIENCE;

/// An open stream.
#[derive(Debug)]
pub struct EventStream {
    lines: Lines<BufReader<TcpStream>>,
    /// Comments so far.
    pub comments: usize,
    /// What the server told to wait before connecting again, in milliseconds.
    pub retry: Option<u64>,
    /// The id of the last event that had one, as a browser sends it back.
    pub last_event_id: Option<String>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its own id.
    pub id: Option<String>,
    /// What it holds.
    pub data: Value,
}

impl EventStream {
    /// Opens one; `headers` besides the host.
    ///
    /// # Panics
    /// When the answer is not 200.
    pub async fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let mut request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n");
        headers.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
        stream.write_all(format!("{request}\r\n").as_bytes()).await.expect("a request can be sent");
        let lines = BufReader::new(stream).lines();
        let mut opened = Self { lines, comments: 0, retry: None, last_event_id: None };
        let status = opened.line().await;
        assert_eq!(status.as_deref(), Some("HTTP/1.1 200 OK"), "GET {path}");
        while !opened.line().await.expect("a head").is_empty() {}
        opened
    }

    /// Only the status of the answer; it may be one that never ends.
    ///
    /// # Panics
    /// When there is none.
    pub async fn status(address: SocketAddr, path: &str) -> u16 {
        let mut stream = BufReader::new(TcpStream::connect(address).await.expect("a connection"));
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("a request can be sent");
        let mut line = String::new();
        timeout(PATIENCE, stream.read_line(&mut line)).await.expect("an answer in time").expect("an answer");
        line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    async fn line(&mut self) -> Option<String> {
        timeout(PATIENCE, self.lines.next_line()).await.expect("a line in time").ok().flatten()
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Event> {
        let (mut name, mut id, mut data) = (None, None, String::new());
        loop {
            let line = self.line().await?;
            if let Some(text) = line.strip_prefix("event: ") {
                name = Some(text.to_owned());
            } else if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.to_owned());
                self.last_event_id.clone_from(&id);
            } else if let Some(text) = line.strip_prefix("data: ") {
                data.push_str(text);
            } else if let Some(text) = line.strip_prefix("retry: ") {
                self.retry = text.parse().ok();
            } else if line.starts_with(':') {
                self.comments += 1;
            } else if line == "0" {
                // The last chunk: the answer ends, perhaps not the connection.
                return None;
            } else if line.is_empty()
                && let Some(name) = name.take()
            {
                return Some(Event { name, id, data: serde_json::from_str(&data).expect("data is JSON") });
            }
        }
    }

    /// Waits until that many comments have come, and no event.
    ///
    /// # Panics
    /// When an event comes.
    pub async fn quiet_for(&mut self, comments: usize) {
        let until = self.comments + comments;
        while self.comments < until {
            let line = self.line().await.expect("the stream goes on");
            assert!(!line.starts_with("event: "), "{line}");
            self.comments += usize::from(line.starts_with(':'));
        }
    }
}
