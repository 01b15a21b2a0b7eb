//! The connection to NATS: survives outages by itself, and says when it is gone or back.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerAddr, connection::State};
use percent_encoding::percent_decode_str;
use tokio::sync::watch;
use tokio::time::Instant;

use super::StreamError;
use super::lanes::{self, Lane};
use crate::runtime::settings::pipeline::Pipeline;

/// Between looks at whether streams answer, and how long one may take.
const LOOK: Duration = Duration::from_secs(2);
/// A server that answers for no stream so long is left; electing a leader mostly takes less.
const SILENCE: Duration = Duration::from_secs(5);
/// Commands that wait for the connection to write them, beside what its write buffer holds (64 KiB). Whoever comes beyond it waits.
const COMMANDS: usize = 512;
/// Messages of one subscription that nobody has taken yet; further ones are dropped. A reader asks for 256 at a time.
const SUBSCRIPTION_MESSAGES: usize = 1_024;

/// A connection and a counter that grows each time it is (re-)established: readers start anew on each step.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The client; clones share the connection.
    pub client: Client,
    /// How often the connection was established.
    pub epochs: watch::Receiver<u64>,
    /// Addresses it may go to.
    servers: usize,
}

impl Connection {
    /// Is the connection up, as far as the client knows?
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Fails while the connection is down. The client library keeps a little memory for every request that was never answered, so
    /// nothing should ask again and again while nobody can answer.
    pub fn must_be_up(&self) -> Result<(), StreamError> {
        match self.is_up() {
            true => Ok(()),
            false => Err(StreamError::new("asking NATS", std::io::Error::from(std::io::ErrorKind::NotConnected))),
        }
    }
}

/// Connects under a name. Returns at once, also when the server is away: it keeps trying.
///
/// Pings every 5 s, so a black hole is noticed in ten seconds (the library's default takes minutes).
pub async fn connect(settings: &Pipeline, name: &str) -> Result<Connection, StreamError> {
    let (epoch, epochs) = watch::channel(0);
    let servers: Vec<String> = settings.nats_url.expose().split(',').map(|s| s.trim().to_owned()).collect();
    let count = servers.len();
    let client = with_login(ConnectOptions::new(), &servers)
        .name(name)
        .client_capacity(COMMANDS)
        .subscription_capacity(SUBSCRIPTION_MESSAGES)
        .retry_on_initial_connect()
        .max_reconnects(None)
        .ping_interval(Duration::from_secs(5))
        .connection_timeout(Duration::from_secs(3))
        .request_timeout(Some(Duration::from_secs(5)))
        .reconnect_delay_callback(|attempts| Duration::from_millis(if attempts <= 1 { 0 } else { 100 }))
        .event_callback(move |event| {
            match &event {
                Event::Connected => epoch.send_modify(|n| *n += 1),
                Event::Disconnected => tracing::warn!("the connection to NATS is gone; trying again"),
                // One for each attempt to connect again, ten a second.
                Event::ClientError(error) => tracing::debug!(%error, "NATS"),
                other => tracing::warn!(event = %other, "NATS"),
            }
            async {}
        })
        .connect(servers)
        .await
        .map_err(|e| StreamError::new("connecting to NATS_URL", e))?;
    Ok(Connection { client, epochs, servers: count })
}

/// The login of the first address that has one: `user:password@`, or a token alone. The client library does not look there.
fn with_login(options: ConnectOptions, servers: &[String]) -> ConnectOptions {
    let login = |server: &String| {
        let address: ServerAddr = server.parse().ok()?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        Some((address.username().map(decoded)?, address.password().map(decoded)))
    };
    match servers.iter().find_map(login) {
        None => options,
        Some((token, None)) => options.token(token),
        Some((user, Some(password))) => options.user_and_password(user, password),
    }
}

/// Goes to another server when the one at hand has been answering for no stream for a while: it may be cut off from the others,
/// while its connection to us is fine. For ever, also when there is no other.
pub async fn leave_silent_servers(connection: Connection, lanes: Vec<Lane>) {
    if connection.servers < 2 {
        return std::future::pending().await;
    }
    let mut context = lanes::jetstream(connection.client.clone());
    context.set_timeout(LOOK);
    let mut silent_since = Instant::now();
    loop {
        tokio::time::sleep(LOOK).await;
        let mut answers = !connection.is_up();
        for lane in &lanes {
            answers = answers || lanes::state(&context, lane).await.is_ok();
        }
        if answers {
            silent_since = Instant::now();
        } else if silent_since.elapsed() > SILENCE {
            tracing::warn!("the NATS server at hand answers for no stream: trying another one");
            // It fails only when the client is closed for good.
            let _ = connection.client.force_reconnect().await;
            silent_since = Instant::now();
        }
    }
}

/// Waits until the connection is up; gives up after `patience`.
pub async fn wait_until_up(connection: &Connection, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while !connection.is_up() {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}
