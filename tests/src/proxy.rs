//! A TCP proxy that does harm on request: between ingest and NATS, between a worker and PostgreSQL, between two servers.
//!
//! What it holds back is not thrown away: as in a real network, where TCP sends it again, it arrives late when the way is free,
//! unless the connection is cut before.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const CHUNK_BYTES: usize = 64 << 10;

/// What the proxy does with every connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Pass,
    /// Each piece of data waits that long, both ways.
    Delay(Duration),
    /// So many bytes a second, in each direction of each connection.
    Throttle(u64),
    /// Connections stay open, new ones are accepted, and nothing passes.
    BlackHole,
    /// What clients send passes, answers do not.
    HoldAnswers,
    /// Answers pass, what clients send does not.
    HoldRequests,
    /// Each connection is reset, new ones at once.
    Reset,
    /// The server's side of each connection is closed, the client's stays open without a word.
    HalfOpen,
    /// A connection is reset as soon as these bytes of its client were passed on; their answer is lost.
    CutAfter(&'static [u8]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

impl Mode {
    fn passes(self, direction: Direction) -> bool {
        match self {
            // Nothing that was held slips through before a reset.
            Self::BlackHole | Self::HalfOpen | Self::Reset => false,
            Self::HoldAnswers => direction == Direction::ToServer,
            Self::HoldRequests => direction == Direction::ToClient,
            _ => true,
        }
    }
}

/// A running proxy; it and its connections end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where clients find it.
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// In front of `target`, on a free port of loopback; everything passes.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port has an address");
        let (mode, seen) = watch::channel(Mode::Pass);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, target, seen.clone()));
            }
        });
        Self { address, mode, accepting }
    }

    /// From now on, for open connections and new ones.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn connection(mut client: TcpStream, target: SocketAddr, mut mode: watch::Receiver<Mode>) {
    // A way that is held is held for new connections, too: the server hears of them when it is free.
    let open = async {
        mode.wait_for(|mode| *mode != Mode::BlackHole).await.ok()?;
        if *mode.borrow() == Mode::Reset {
            return None;
        }
        TcpStream::connect(target).await.ok()
    };
    let Some(mut server) = open.await else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let half_open = {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let mut ending = mode.clone();
        tokio::select! {
            end = ending.wait_for(|mode| matches!(mode, Mode::Reset | Mode::HalfOpen)) => {
                end.is_ok_and(|mode| *mode == Mode::HalfOpen)
            }
            () = pump(Direction::ToServer, &mut from_client, &mut to_server, mode.clone()) => false,
            () = pump(Direction::ToClient, &mut from_server, &mut to_client, mode.clone()) => false,
        }
    };
    // Nothing lingers: what is on its way to the client is lost. What the server was sent, it has.
    let _ = client.set_zero_linger();
    drop(server);
    if half_open {
        let _ = mode.wait_for(|mode| *mode != Mode::HalfOpen).await;
    }
}

/// Passes data on in one direction until an end or an error.
async fn pump(direction: Direction, from: &mut ReadHalf<'_>, to: &mut WriteHalf<'_>, mut mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let Ok(now) = mode.wait_for(|mode| mode.passes(direction)).await.map(|mode| *mode) else { return };
        match now {
            Mode::Delay(wait) => tokio::time::sleep(wait).await,
            Mode::Throttle(bytes_per_second) => {
                tokio::time::sleep(Duration::from_secs_f64(count as f64 / bytes_per_second as f64)).await;
            }
            _ => {}
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
        if let Mode::CutAfter(bytes) = now
            && direction == Direction::ToServer
            && buffer[..count].windows(bytes.len()).any(|window| window == bytes)
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventually::eventually;

    /// Says everything back, and counts what it heard.
    async fn echo() -> (SocketAddr, watch::Receiver<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, count) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let heard = heard.clone();
                tokio::spawn(async move {
                    let mut buffer = [0; 1024];
                    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                        heard.send_modify(|sum| *sum += n);
                        let _ = stream.write_all(&buffer[..n]).await;
                    }
                });
            }
        });
        (address, count)
    }

    async fn ask(stream: &mut TcpStream, text: &[u8], patience_milliseconds: u64) -> Result<Vec<u8>, &'static str> {
        stream.write_all(text).await.map_err(|_| "cut")?;
        let mut answer = vec![0; text.len()];
        let read = tokio::time::timeout(Duration::from_millis(patience_milliseconds), stream.read_exact(&mut answer));
        read.await.map_err(|_| "silence")?.map_err(|_| "cut")?;
        Ok(answer)
    }

    #[tokio::test]
    async fn what_is_held_comes_late_and_what_is_cut_never() {
        let (target, mut heard) = echo().await;
        let proxy = Proxy::start(target).await;
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(ask(&mut stream, b"one", 5_000).await.unwrap(), b"one");

        proxy.set(Mode::HoldAnswers);
        assert_eq!(ask(&mut stream, b"two", 100).await, Err("silence"));
        heard.wait_for(|sum| *sum == 6).await.unwrap();
        proxy.set(Mode::Pass);
        let mut late = [0; 3];
        stream.read_exact(&mut late).await.unwrap();
        assert_eq!(&late, b"two");

        proxy.set(Mode::BlackHole);
        assert_eq!(ask(&mut stream, b"three", 100).await, Err("silence"));
        assert_eq!(*heard.borrow(), 6, "nothing reached the server");

        proxy.set(Mode::Reset);
        eventually("the connection is reset", async || {
            ask(&mut stream, b"four", 50).await.err().filter(|e| *e == "cut").ok_or_else(|| "open".to_owned())
        })
        .await;
    }

    #[tokio::test]
    async fn a_cut_after_certain_bytes_comes_after_the_server_has_them() {
        let (target, mut heard) = echo().await;
        let proxy = Proxy::start(target).await;
        proxy.set(Mode::CutAfter(b"COMMIT"));
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(ask(&mut stream, b"BEGIN!", 5_000).await.unwrap(), b"BEGIN!");
        assert_eq!(ask(&mut stream, b"COMMIT", 5_000).await, Err("cut"));
        heard.wait_for(|sum| *sum == 12).await.unwrap();
    }

    #[tokio::test]
    async fn half_open_means_that_only_the_server_knows() {
        let (target, _heard) = echo().await;
        let proxy = Proxy::start(target).await;
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        ask(&mut stream, b"one", 5_000).await.unwrap();
        proxy.set(Mode::HalfOpen);
        assert_eq!(ask(&mut stream, b"two", 200).await, Err("silence"));
        proxy.set(Mode::Pass);
        eventually("the client learns of it", async || match ask(&mut stream, b"x", 50).await {
            Err("cut") => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }
}
