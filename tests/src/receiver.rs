//! Somebody who is told of matches: an HTTP server that notes what comes, and answers as well or as badly as a test says.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How a request is answered.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// With this status and nothing else.
    Status(u16),
    /// … and with this header.
    With(u16, &'static str, String),
    /// Never.
    Silence,
    /// The connection is closed without a word.
    Close,
    /// 200, and then so many bytes.
    Huge(usize),
    /// 200, a byte, and then nothing more for ever.
    Endless,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// When.
    pub at: Instant,
    /// Method and path.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As it was sent.
    pub body: Bytes,
    /// What it was answered with.
    pub answered: Behaviour,
}

impl Received {
    /// A header; empty when it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// `webhook-id`.
    #[must_use]
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// The body.
    ///
    /// # Panics
    /// When it is no JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body of a webhook is JSON")
    }

    /// Was it answered with a success?
    #[must_use]
    pub fn taken(&self) -> bool {
        matches!(self.answered, Behaviour::Status(200..=299) | Behaviour::Huge(_) | Behaviour::Endless)
    }
}

/// A running receiver; ends when dropped.
#[derive(Debug)]
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    scheme: &'static str,
    notes: Arc<Notes>,
    accepting: JoinHandle<()>,
}

type Choice = Box<dyn Fn(&Value) -> Option<Behaviour> + Send + Sync>;

#[derive(Default)]
struct Notes {
    received: Mutex<Vec<Received>>,
    /// For the next requests, one each.
    script: Mutex<VecDeque<Behaviour>>,
    /// By what is told.
    choice: Mutex<Option<Choice>>,
    /// For all others; without one 200.
    otherwise: Mutex<Option<Behaviour>>,
}

impl std::fmt::Debug for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notes").field("received", &self.received).finish_non_exhaustive()
    }
}

impl Receiver {
    /// One that takes everything.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// One that speaks TLS, with this certificate and its key.
    ///
    /// # Panics
    /// When they cannot be used.
    pub async fn start_tls(certificate: &Path, key: &Path) -> Self {
        let chain = CertificateDer::pem_file_iter(certificate).expect("a certificate");
        let chain = chain.collect::<Result<_, _>>().expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
            .expect("a certificate and its key");
        Self::start_with(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port has an address");
        let notes = Arc::new(Notes::default());
        let accepting = tokio::spawn(accept(listener, tls.clone(), Arc::clone(&notes)));
        Self { address, scheme: if tls.is_some() { "https" } else { "http" }, notes, accepting }
    }

    /// Its address for a campaign.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}/hooks/t0ken?a=b", self.scheme, self.address)
    }

    /// The next requests are answered so, one each.
    ///
    /// # Panics
    /// When a test panicked with the script.
    pub fn script(&self, next: impl IntoIterator<Item = Behaviour>) {
        self.notes.script.lock().expect("nobody panicked with the script").extend(next);
    }

    /// All requests that no script is for are answered so.
    ///
    /// # Panics
    /// When a test panicked with it.
    pub fn answer(&self, behaviour: Behaviour) {
        *self.notes.otherwise.lock().expect("nobody panicked with it") = Some(behaviour);
    }

    /// Before all else: an answer that depends on what is told.
    ///
    /// # Panics
    /// When a test panicked with it.
    pub fn choose(&self, choice: impl Fn(&Value) -> Option<Behaviour> + Send + Sync + 'static) {
        *self.notes.choice.lock().expect("nobody panicked with it") = Some(Box::new(choice));
    }

    /// What has come so far.
    ///
    /// # Panics
    /// When a test panicked with the notes.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.notes.received.lock().expect("nobody panicked with the notes").clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, notes: Arc<Notes>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, notes) = (tls.clone(), Arc::clone(&notes));
        tokio::spawn(async move {
            match tls {
                None => serve(stream, notes).await,
                // Who does not trust the certificate goes away.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, notes).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, notes: Arc<Notes>) {
    let receive = service_fn(move |request| receive(Arc::clone(&notes), request));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), receive).await;
}

async fn receive(notes: Arc<Notes>, request: Request<Incoming>) -> Result<Response<Answer>, Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(Error::other)?.to_bytes();
    let poisoned = |_| Error::other("a test panicked");
    let told: Value = serde_json::from_slice(&body).unwrap_or_default();
    let chosen = notes.choice.lock().map_err(|_| poisoned(()))?.as_ref().and_then(|choice| choice(&told));
    let scripted = || notes.script.lock().ok().and_then(|mut script| script.pop_front());
    let otherwise = || notes.otherwise.lock().ok().and_then(|otherwise| otherwise.clone());
    let behaviour = chosen.or_else(scripted).or_else(otherwise).unwrap_or(Behaviour::Status(200));
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    notes.received.lock().map_err(|_| poisoned(()))?.push(Received {
        at: Instant::now(),
        line: format!("{} {path}", parts.method),
        headers: parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body,
        answered: behaviour.clone(),
    });
    let response = Response::builder();
    let answer = |bytes: usize, endless| Answer { left: Some(Bytes::from(vec![b'x'; bytes])), endless };
    let made = match behaviour {
        Behaviour::Status(status) => response.status(status).body(answer(0, false)),
        Behaviour::With(status, name, value) => response.status(status).header(name, value).body(answer(0, false)),
        Behaviour::Huge(bytes) => response.body(answer(bytes, false)),
        Behaviour::Endless => response.body(answer(1, true)),
        Behaviour::Close => return Err(Error::other("closed without a word")),
        Behaviour::Silence => std::future::pending().await,
    };
    made.map_err(Error::other)
}

/// A body that may never end.
#[derive(Debug)]
struct Answer {
    left: Option<Bytes>,
    endless: bool,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.left.take().filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None if self.endless => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        !self.endless && self.left.as_ref().is_none_or(Bytes::is_empty)
    }
}
