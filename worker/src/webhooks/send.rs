//! One message to one receiver over HTTP/1.1, and no further than to the addresses within reach.
//!
//! Each message has a connection of its own, made to the very address that was judged, so a name that resolves to something else a moment
//! later makes no difference. No proxy of the environment is asked, no redirect followed, no cookie kept. What counts is the
//! status: as soon as it has come, the receiver has answered; up to [`ANSWER_BYTES`] of the rest are read for [`ANSWER_PATIENCE`], so that
//! receivers may finish what they write.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use shared::domain::campaign::webhook;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::outcome::{Failure, Outcome, judge};
use super::reach::Reach;
use crate::Problem;

/// What is read of an answer behind its head, at most.
const ANSWER_BYTES: usize = 64 << 10;
/// … and for how long, beside the time that an attempt has.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(1);
/// Largest head of an answer; what comes in one piece may be up to twice as large.
const HEAD_BYTES: usize = 32 << 10;
/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 4;

/// A connection that bytes go over, encrypted or not.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// What drives the exchange over a wire.
type Link = Pin<Box<http1::Connection<TokioIo<Box<dyn Wire>>, Full<Bytes>>>>;

/// Sends messages.
pub struct Sender {
    reach: Reach,
    timeout: Duration,
    tls: TlsConnector,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("reach", &self.reach).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Sender {
    /// With the certificates that this machine trusts (`SSL_CERT_FILE` names others).
    pub fn new(reach: Reach, timeout: Duration) -> Result<Self, Problem> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (known, _) = roots.add_parsable_certificates(found.certs);
        if known == 0 {
            tracing::warn!("this machine trusts no certificate at all: webhooks cannot be sent over https");
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { reach, timeout, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Posts JSON; `headers` come beside those of every request.
    pub async fn post(&self, url: &str, headers: &[(String, String)], body: Bytes, now: DateTime<Utc>) -> Outcome {
        let failed = |error| Outcome::Failed(Failure { error, ..Failure::default() });
        let uri = match webhook::destination(url) {
            Ok(uri) => uri,
            Err(why) => return failed(format!("the address {why}")),
        };
        match tokio::time::timeout(self.timeout, self.exchange(&uri, headers, body)).await {
            Ok(Ok((response, connection))) => {
                let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                let outcome = judge(response.status().as_u16(), retry_after, now);
                tokio::select! {
                    () = drain(response.into_body()) => {}
                    _ = connection => {}
                    () = tokio::time::sleep(ANSWER_PATIENCE) => {}
                }
                outcome
            }
            Ok(Err(why)) => failed(why),
            Err(_) => failed(format!("no answer within {} s", self.timeout.as_secs_f64())),
        }
    }

    /// Up to the head of the answer.
    async fn exchange(
        &self,
        uri: &Uri,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Result<(Response<Incoming>, Link), String> {
        let request = request(uri, headers, body)?;
        let wire = self.connect(uri).await?;
        let broken = |error: hyper::Error| format!("no well-formed answer: {error}");
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(HEAD_BYTES).handshake(TokioIo::new(wire)).await.map_err(broken)?;
        let mut connection: Link = Box::pin(connection);
        let response = tokio::select! {
            response = sender.send_request(request) => response,
            // Ends only when there is no more to come.
            ended = &mut connection => return Err(ended.err().map_or_else(|| "the connection was closed".to_owned(), broken)),
        };
        Ok((response.map_err(broken)?, connection))
    }

    /// Connects to the first address within reach that takes the connection.
    async fn connect(&self, uri: &Uri) -> Result<Box<dyn Wire>, String> {
        let encrypted = uri.scheme() == Some(&Scheme::HTTPS);
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let addresses: Vec<IpAddr> = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => {
                let found = tokio::net::lookup_host((host, port)).await;
                found.map_err(|error| format!("{host} has no address: {error}"))?.map(|found| found.ip()).collect()
            }
        };
        let within: Vec<IpAddr> =
            addresses.iter().copied().filter(|address| self.reach.permits(*address, encrypted)).collect();
        if within.is_empty() {
            let refused = addresses.first().map_or_else(|| "nothing".to_owned(), IpAddr::to_string);
            let why = if encrypted { "is not public" } else { "may only be reached over https" };
            return Err(format!("{host} leads to {refused}, which {why}; WEBHOOK_ALLOW_NETWORKS names exceptions"));
        }
        let mut refusal = String::new();
        for address in within.into_iter().take(MOST_ADDRESSES) {
            match TcpStream::connect((address, port)).await {
                Ok(stream) => {
                    // One request, one answer: nothing to wait for.
                    let _ = stream.set_nodelay(true);
                    return if encrypted { self.encrypt(host, stream).await } else { Ok(Box::new(stream)) };
                }
                Err(error) => refusal = format!("{host} ({address}) cannot be connected to: {error}"),
            }
        }
        Err(refusal)
    }

    async fn encrypt(&self, host: &str, stream: TcpStream) -> Result<Box<dyn Wire>, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("{host}: {error}"))?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| format!("TLS with {host}: {error}"))?;
        Ok(Box::new(stream))
    }
}

fn request(uri: &Uri, headers: &[(String, String)], body: Bytes) -> Result<Request<Full<Bytes>>, String> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::post(path).body(Full::new(body)).map_err(|error| error.to_string())?;
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let fields = [
        (HOST, host),
        (CONTENT_TYPE, "application/json"),
        (USER_AGENT, concat!("EmbeddedCraft-Webhooks/", env!("CARGO_PKG_VERSION"))),
    ];
    for (name, value) in fields {
        request.headers_mut().insert(name, HeaderValue::from_str(value).map_err(|error| error.to_string())?);
    }
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
        request.headers_mut().insert(name, HeaderValue::from_str(value).map_err(|error| error.to_string())?);
    }
    Ok(request)
}

/// Reads what is left, up to a bound.
async fn drain(mut body: Incoming) {
    let mut left = ANSWER_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            break;
        }
    }
}
