//! The HTTP/1.1 server: accepts connections within a cap, cuts slow ones, and drains well.
//!
//! Not `axum::serve`, which has no time limit for a request's headers. The limits within one request are [`Connection`]'s; here is
//! the one between requests: [`IDLE_DEADLINE`], longer than clients and load balancers keep unused connections, so that they close
//! them first and no request meets a closing one. When half of the cap is used, new connections have only [`IDLE_WHEN_CROWDED`].
//! While it drains each answer says that its connection closes: a client in use so never meets the end of an idle one.
//!
//! Memory of a connection: at most [`HEADER_BYTES`] for what was read and not yet handed on (8 KiB at first); bodies are paid for
//! out of the budget.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use shared::runtime::shutdown::Shutdown;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::connection::Connection;
use crate::fair_use::client_address::Peer;
use crate::metrics::Metrics;
use crate::readiness::Readiness;

/// Between requests.
const IDLE_DEADLINE: Duration = Duration::from_secs(75);
const IDLE_WHEN_CROWDED: Duration = Duration::from_secs(10);
/// Headers of one request; above hyper's 64 KiB for the address, so that a long one is answered as such.
const HEADER_BYTES: usize = 128 << 10;
/// After an accept that failed, for example because no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that may wait to be accepted: as many as Linux allows by default (`net.core.somaxconn`), which is also where it cuts
/// a larger wish. With the customary 128, a storm of clients that come back at once finds the queue full: they then wait for seconds,
/// and the kernel forgets some that believe they are connected.
const QUEUED_CONNECTIONS: u32 = 4096;

/// Listens on an address.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As usual on Unix: a restart need not wait for the connections of the program before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(QUEUED_CONNECTIONS)
}

/// What the server needs besides its routes.
#[derive(Debug)]
pub struct Server {
    /// Bound already.
    pub listener: TcpListener,
    /// Open at once.
    pub max_connections: usize,
    /// Unready but accepting, when stopping.
    pub drain: Duration,
    /// Told when the stop begins.
    pub readiness: Arc<Readiness>,
    /// Counts connections.
    pub metrics: Arc<Metrics>,
}

impl Server {
    /// Serves until the soft stop; then drains: unready first, accepting for a while, then finishing what is open. Returns early
    /// on the hard stop.
    pub async fn run(self, router: Router, stop: &Shutdown) {
        let open = GracefulShutdown::new();
        let permits = Arc::new(Semaphore::new(self.max_connections));
        let ending = async {
            stop.stopping().await;
            self.readiness.drain();
            tokio::time::sleep(self.drain).await;
        };
        tokio::pin!(ending);
        loop {
            // The cap before the accept: beyond it clients wait in the kernel's queue.
            let accepted = async {
                let permit = Arc::clone(&permits).acquire_owned().await;
                (self.listener.accept().await, permit)
            };
            tokio::select! {
                () = &mut ending => break,
                () = stop.aborting() => return,
                (accepted, permit) = accepted => match accepted {
                    Ok((stream, peer)) => {
                        let crowded = permits.available_permits() < self.max_connections / 2;
                        let idle = if crowded { IDLE_WHEN_CROWDED } else { IDLE_DEADLINE };
                        self.serve((stream, Peer(peer)), idle, router.clone(), &open, permit);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(self.listener);
        tokio::select! {
            () = open.shutdown() => {}
            () = stop.aborting() => tracing::warn!("open requests were cut by the hard stop"),
        }
    }

    fn serve<P: Send + 'static>(
        &self,
        (stream, peer): (TcpStream, Peer),
        idle: Duration,
        router: Router,
        open: &GracefulShutdown,
        permit: P,
    ) {
        // Without it small answers would wait for the client's delayed acknowledgement; a failure only costs time.
        let _ = stream.set_nodelay(true);
        let client = Connection::new(stream);
        let phase = client.phase();
        let readiness = Arc::clone(&self.readiness);
        let routes = router
            .map_request(move |mut request: hyper::Request<Incoming>| {
                phase.serving();
                request.extensions_mut().insert(peer);
                request
            })
            .map_response(move |mut response: Response| {
                if readiness.is_draining() {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                response
            });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(idle)
            .max_header_size(HEADER_BYTES)
            .max_buf_size(HEADER_BYTES)
            .half_close(false)
            .serve_connection(TokioIo::new(client), TowerToHyperService::new(routes));
        let connection = open.watch(connection);
        let metrics = Arc::clone(&self.metrics);
        metrics.connection_opened();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended with an error");
            }
            metrics.connection_closed();
            drop(permit);
        });
    }
}
