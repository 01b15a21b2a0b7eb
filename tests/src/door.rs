//! Knocks at ingest's door with what should not be let in, and holds every answer against the rules that all of them obey.
//!
//! Whatever comes: never a server error, never a hang, every error an object that all clients can read, nothing refused in the stream,
//! and the server alive after.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::client::WRITE_KEY;
use crate::eventually::{equal, eventually};
use crate::http1::{Answer, Connection, request};
use crate::pipeline::Pipeline;

/// The longest that any answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// A door, and how often somebody knocked.
#[derive(Debug)]
pub struct Door<'a> {
    pipeline: &'a Pipeline,
    address: SocketAddr,
    cases: usize,
    accepted: i64,
}

impl<'a> Door<'a> {
    /// Of the first ingest, once it knows its keys and campaigns. Nothing else may send it events meanwhile.
    ///
    /// # Panics
    /// When it does not come to know them.
    pub async fn of(pipeline: &'a Pipeline) -> Self {
        eventually("keys and campaigns are known", async || {
            let (client, path) = (pipeline.client(), "/v1/campaigns?user_id=u");
            let known = client.get(path).await.map_err(|e| e.to_string())?.status;
            let unknown = client.with_key("unknown").get(path).await.map_err(|e| e.to_string())?.status;
            equal((known, unknown), (200, 401))
        })
        .await;
        Self { pipeline, address: pipeline.ingests[0].address, cases: 0, accepted: 0 }
    }

    /// Sends the bytes of one request on a connection of its own. The answer obeys the rules.
    ///
    /// # Panics
    /// When it does not; `what` names the case.
    pub async fn knock(&mut self, what: &str, bytes: &[u8]) -> Answer {
        self.cases += 1;
        let asking = async {
            let mut connection = Connection::open(self.address).await?;
            // It may be refused before all of it is sent.
            let _ = connection.send(bytes).await;
            connection.receive(bytes.starts_with(b"HEAD ")).await
        };
        let answer = tokio::time::timeout(PATIENCE, asking).await;
        let answer = answer.unwrap_or_else(|_| panic!("{what}: no answer within {PATIENCE:?}"));
        let answer = answer.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(answer.status < 500, "{what}: {} {}", answer.status, answer.text());
        if answer.status >= 400 && !bytes.starts_with(b"HEAD ") {
            let body = answer.json();
            for field in ["code", "message", "error", "request_id"] {
                assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{what}: {field} in {body}");
            }
            assert_eq!(body["request_id"].as_str(), answer.header("x-request-id"), "{what}");
        }
        answer
    }

    /// A POST with the write key that is refused with this status. Gives the body of the answer.
    ///
    /// # Panics
    /// When it is answered otherwise.
    pub async fn refused(
        &mut self,
        what: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        status: u16,
    ) -> Value {
        let answer = self.post(what, path, headers, body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        answer.json()
    }

    /// A POST with the write key of which so many events are accepted. Gives the body of the answer.
    ///
    /// # Panics
    /// When it is answered otherwise.
    pub async fn accepted(
        &mut self,
        what: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        events: i64,
    ) -> Value {
        let answer = self.post(what, path, headers, body).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        let body = answer.json();
        assert_eq!(body["accepted"].as_i64().unwrap_or(1), events, "{what}: {body}");
        self.accepted += events;
        body
    }

    async fn post(&mut self, what: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let headers = [&[("x-api-key", WRITE_KEY)], headers].concat();
        self.knock(what, &request("POST", path, &headers, body)).await
    }

    /// Everything accepted is a row and nothing else is, nothing is put aside, and the server is alive. Prints how many cases that were.
    ///
    /// # Panics
    /// When it is not so.
    pub async fn close(self) {
        let published: i64 = self.pipeline.stream.events_by_partition().await.values().sum();
        assert_eq!(published, self.accepted, "events in the stream, and accepted ones");
        if !self.pipeline.workers.is_empty() {
            self.pipeline.drained().await;
            assert_eq!(self.pipeline.rows().await, self.accepted, "rows, and accepted events");
            assert_eq!(self.pipeline.database.number("SELECT count(*) FROM dead_letters").await, 0);
        }
        eventually("ready", async || {
            equal(self.pipeline.client().get("/readyz").await.map_err(|e| e.to_string())?.status, 200)
        })
        .await;
        eprintln!("hostile cases tried: {}", self.cases);
    }
}
