//! HTTP calls in the shape of SDKs.

use std::io::Result;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::sync::Mutex;

use crate::http1::{self, Answer, KeptAlive};

/// The client key that test pipelines know.
pub const WRITE_KEY: &str = "test-write-key";
/// The admin key that test pipelines know.
pub const ADMIN_KEY: &str = "test-admin-key";

/// One client with one connection. Its requests go out one after the other; clone it for another connection.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    key: Option<String>,
    connection: Mutex<KeptAlive>,
}

impl Clone for Client {
    fn clone(&self) -> Self {
        Self { address: self.address, key: self.key.clone(), connection: Mutex::new(KeptAlive::new(self.address)) }
    }
}

impl Client {
    /// Without a key.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, key: None, connection: Mutex::new(KeptAlive::new(address)) }
    }

    /// The same with this key in `x-api-key`.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// Any request. `headers` come after the key and the content type.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let mut all = Vec::with_capacity(headers.len() + 2);
        if let Some(key) = &self.key {
            all.push(("x-api-key", key.as_str()));
        }
        if !body.is_empty() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            all.push(("content-type", "application/json"));
        }
        all.extend_from_slice(headers);
        self.connection.lock().await.exchange(&http1::request(method, path, &all, body)).await
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send("GET", path, &[], b"").await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send("POST", path, &[], body.to_string().as_bytes()).await
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send("PUT", path, &[], body.to_string().as_bytes()).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.send("DELETE", path, &[], b"").await
    }

    /// POST of JSON that must be answered 200.
    ///
    /// # Panics
    /// When it is not.
    pub async fn accepted(&self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, body).await.unwrap_or_else(|e| panic!("POST {path} was not answered: {e}"));
        assert_eq!(answer.status, 200, "POST {path} of {body}: {}", answer.text());
        answer.json()
    }
}
