//! A cluster of three NATS servers of one test, which it may kill, pause and cut off.
//!
//! Every way into a server (clients, monitoring, each of the other servers) is a [`Proxy`], so that a partition needs no right
//! on the machine. Servers must not tell each other or clients their real addresses: `no_advertise` for clients, and to the other
//! servers an address where nobody is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Signal, kill_process};
use shared::stream::lanes;
use tokio::runtime::Runtime;

use crate::client::Client;
use crate::eventually::{PATIENCE, within};
use crate::folder::Folder;
use crate::proxy::{Mode, Proxy};
use crate::services::{deploy, pid, root, wait_for_end};

/// How many servers it has; they are numbered from 0.
pub const SERVERS: usize = 3;
/// One connection between two servers instead of a pool: the further ones of a pool are made to the advertised address.
const CLUSTER: &str = "cluster {\n  no_advertise: true\n  advertise: \"127.0.0.1:1\"\n  pool_size: -1\n";

/// The cluster. All of it ends when it is dropped.
#[derive(Debug)]
pub struct PrivateCluster {
    servers: Vec<Server>,
    /// Of the proxies: they work while a test waits for something else.
    network: Option<Runtime>,
    _folder: Folder,
}

#[derive(Debug)]
struct Server {
    home: PathBuf,
    name: String,
    monitor: SocketAddr,
    for_clients: Proxy,
    for_monitoring: Proxy,
    /// By which each server finds this one; unused by itself.
    from: Vec<Proxy>,
}

impl PrivateCluster {
    /// Starts one on free ports, in a folder of its own, and waits until it works.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start() -> Self {
        let folder = Folder::new("cluster");
        deploy("nats", &["start", &folder.path().to_string_lossy(), "--servers", "3"], &[]);
        let homes: Vec<PathBuf> = (1..=SERVERS).map(|number| folder.path().join(number.to_string())).collect();
        // They come back with routes through proxies.
        homes.iter().for_each(|home| end(home, Signal::KILL));

        let network = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let network = network.expect("a runtime can be made");
        let mut servers = Vec::new();
        for home in &homes {
            let [client, monitor, route] = ports(home);
            let proxies = network.spawn(async move {
                let mut from = Vec::new();
                for _ in 0..SERVERS {
                    from.push(Proxy::start(route).await);
                }
                (Proxy::start(client).await, Proxy::start(monitor).await, from)
            });
            let (for_clients, for_monitoring, from) = proxies.await.expect("proxies can be started");
            let conf = std::fs::read_to_string(home.join("nats.conf")).expect("the server has a configuration");
            let name = conf.split("server_name: \"").nth(1).and_then(|rest| rest.split('"').next());
            let name = name.expect("the server has a name").to_owned();
            servers.push(Server { home: home.clone(), name, monitor, for_clients, for_monitoring, from });
        }
        let cluster = Self { servers, network: Some(network), _folder: folder };
        cluster.route_through_proxies();
        (0..SERVERS).for_each(|number| cluster.launch(number));
        for number in 0..SERVERS {
            cluster.healthy(number).await;
        }
        cluster.meshed().await;
        cluster
    }

    /// Waits until each server has a route to each other one: they cannot vote on a way through a third.
    pub async fn meshed(&self) {
        for (number, server) in self.servers.iter().enumerate() {
            within(PATIENCE, &format!("NATS server {number} has a route to each other one"), async || {
                let answer = Client::new(server.monitor).get("/routez").await.map_err(|e| e.to_string())?;
                let routes = answer.json()["num_routes"].as_u64().unwrap_or(0);
                if routes >= SERVERS as u64 - 1 { Ok(()) } else { Err(format!("{routes} routes")) }
            })
            .await;
        }
    }

    fn route_through_proxies(&self) {
        let routes: Vec<SocketAddr> = self.servers.iter().map(|server| ports(&server.home)[2]).collect();
        for (number, server) in self.servers.iter().enumerate() {
            let file = server.home.join("nats.conf");
            let mut text = std::fs::read_to_string(&file).expect("the server has a configuration");
            for (other, route) in self.servers.iter().zip(&routes) {
                let (direct, through) =
                    (format!("\"nats://{route}\""), format!("\"nats://{}\"", other.from[number].address));
                assert!(text.contains(&direct), "there is no {direct} in {text}");
                text = text.replace(&direct, &through);
            }
            text = text.replace("cluster {\n", CLUSTER);
            std::fs::write(&file, text).expect("the configuration can be written");
        }
    }

    /// `NATS_URL` with all servers.
    #[must_use]
    pub fn urls(&self) -> String {
        (0..SERVERS).map(|number| self.url(number)).collect::<Vec<_>>().join(",")
    }

    /// `NATS_URL` with one server alone.
    #[must_use]
    pub fn url(&self, number: usize) -> String {
        format!("nats://{}", self.servers[number].for_clients.address)
    }

    /// `NATS_MONITOR_URLS`.
    #[must_use]
    pub fn monitor_urls(&self) -> String {
        let urls = self.servers.iter().map(|server| format!("http://{}", server.for_monitoring.address));
        urls.collect::<Vec<_>>().join(",")
    }

    /// kill -9.
    pub fn kill(&self, number: usize) {
        end(&self.servers[number].home, Signal::KILL);
    }

    /// SIGTERM, and waits for the end: the server hands over what it leads.
    pub fn stop(&self, number: usize) {
        end(&self.servers[number].home, Signal::TERM);
    }

    /// Starts a server again that has ended, on the same ports and data, without waiting for it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn launch(&self, number: usize) {
        let home = &self.servers[number].home;
        let log = std::fs::File::options().append(true).create(true).open(home.join("nats.log"));
        let server =
            std::env::var_os("EC_NATS_SERVER").map_or_else(|| root().join(".tools/nats-server"), PathBuf::from);
        // Not by `deploy/nats`, which writes its own configuration at each start.
        let mut command = Command::new(server);
        command.arg("-c").arg(home.join("nats.conf")).stderr(log.expect("a log can be opened"));
        let mut child = command.spawn().expect("nats-server can be started");
        std::fs::write(home.join("nats.pid"), child.id().to_string()).expect("a pid file can be written");
        // It is ended by its pid; somebody has to take note of that.
        std::thread::spawn(move || child.wait());
    }

    /// Changes a text of a dead server's configuration.
    ///
    /// # Panics
    /// When the text is not there.
    pub fn change(&self, number: usize, old: &str, new: &str) {
        let file = self.servers[number].home.join("nats.conf");
        let text = std::fs::read_to_string(&file).expect("the server has a configuration");
        assert!(text.contains(old), "there is no {old:?} in {text}");
        std::fs::write(&file, text.replace(old, new)).expect("the configuration can be written");
    }

    /// Waits until a server has caught up with the others.
    pub async fn healthy(&self, number: usize) {
        let server = &self.servers[number];
        within(PATIENCE, &format!("NATS server {number} is healthy"), async || {
            match Client::new(server.monitor).get("/healthz").await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(answer.text()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    /// [`Self::launch`] and [`Self::healthy`].
    pub async fn restart(&self, number: usize) {
        self.launch(number);
        self.healthy(number).await;
    }

    /// SIGSTOP: connections stay open and nothing answers.
    pub fn pause(&self, number: usize) {
        let _ = kill_process(pid(&self.servers[number].home.join("nats.pid")), Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self, number: usize) {
        let _ = kill_process(pid(&self.servers[number].home.join("nats.pid")), Signal::CONT);
    }

    /// A partition: nothing passes between a server and the others. Clients still reach it.
    pub fn cut_off(&self, number: usize) {
        self.ways_of(number).for_each(|way| way.set(Mode::BlackHole));
    }

    /// Clients and checks do not reach a server any more.
    pub fn cut_off_clients(&self, number: usize) {
        let server = &self.servers[number];
        [&server.for_clients, &server.for_monitoring].into_iter().for_each(|way| way.set(Mode::BlackHole));
    }

    /// Ends [`Self::cut_off`] and [`Self::cut_off_clients`].
    pub fn rejoin(&self, number: usize) {
        let server = &self.servers[number];
        self.ways_of(number).chain([&server.for_clients, &server.for_monitoring]).for_each(|way| way.set(Mode::Pass));
    }

    /// Between a server and the others, both ways.
    fn ways_of(&self, number: usize) -> impl Iterator<Item = &Proxy> {
        let out = self.servers.iter().map(move |other| &other.from[number]);
        out.chain(&self.servers[number].from)
    }

    /// Which server leads a stream.
    pub async fn leader_of(&self, stream: &str) -> usize {
        let addresses: Vec<String> = (0..SERVERS).map(|number| self.url(number)).collect();
        within(PATIENCE, &format!("{stream} has a leader"), async || {
            let options = async_nats::ConnectOptions::new().connection_timeout(std::time::Duration::from_secs(1));
            let client = options.connect(&addresses[..]).await.map_err(|e| e.to_string())?;
            let found = lanes::jetstream(client).get_stream(stream).await.map_err(|e| e.to_string())?;
            let leader = found.cached_info().cluster.as_ref().and_then(|cluster| cluster.leader.clone());
            let leader = leader.ok_or_else(|| "it has none".to_owned())?;
            self.servers.iter().position(|server| server.name == leader).ok_or(leader)
        })
        .await
    }
}

impl Drop for PrivateCluster {
    fn drop(&mut self) {
        for server in &self.servers {
            if server.home.join("nats.pid").exists() {
                end(&server.home, Signal::KILL);
            }
        }
        if let Some(network) = self.network.take() {
            network.shutdown_background();
        }
    }
}

/// For clients, for monitoring, for the other servers.
fn ports(home: &Path) -> [SocketAddr; 3] {
    let text = std::fs::read_to_string(home.join("ports")).expect("the server has ports");
    let ports: Vec<SocketAddr> = text
        .split_whitespace()
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port is a number"))))
        .collect();
    ports.try_into().expect("a server of a cluster has three ports")
}

fn end(home: &Path, signal: Signal) {
    let process = pid(&home.join("nats.pid"));
    let _ = kill_process(process, signal);
    wait_for_end(process);
}
