//! A page of a shop in a real browser: its web server, and the browser that looks at it.
//!
//! The page (`tests/sdks/browser/`) comes from an origin of its own, so what it sends to the service passes the browser's
//! same-origin checks and preflights. It fetches its task from its server, `/set.json`, and reports to it, `/report`.

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::folder::Folder;
use crate::services::root;

/// Longest time from starting the browser to the page's report.
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser that looks at the page. Both end when it is dropped.
#[derive(Debug)]
pub struct Browser {
    reports: mpsc::UnboundedReceiver<Bytes>,
    serving: JoinHandle<()>,
    child: Child,
    folder: Folder,
}

impl Browser {
    /// Serves the SDK's page with this task and opens it.
    pub async fn open(set: String) -> Self {
        Self::open_page("page.html", set).await
    }

    /// Serves another page of that folder with this task and opens it.
    pub async fn open_page(page: &'static str, set: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port has an address");
        let (report, reports) = mpsc::unbounded_channel();
        let serving = tokio::spawn(serve(listener, Arc::new(Site { page, set: set.into(), report })));
        let folder = Folder::new("browser");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log can be made");
        let child = Command::new(std::env::var_os("EC_SDK_CHROMIUM").unwrap_or_default())
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--no-proxy-server"])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .arg(format!("http://{address}/"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .expect("the browser can be started");
        Self { reports, serving, child, folder }
    }

    /// Waits for the page's report.
    ///
    /// # Panics
    /// When there is none in time.
    pub async fn report(&mut self) -> Value {
        let report = tokio::time::timeout(PATIENCE, self.reports.recv()).await.ok().flatten();
        let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let report = report.unwrap_or_else(|| panic!("the page did not report; the browser says\n{}", log()));
        serde_json::from_slice(&report).expect("a report is JSON")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.serving.abort();
        // It is a family of processes, and the last of them write into the folder that is removed next.
        if let Some(group) =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        while matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

struct Site {
    page: &'static str,
    set: Bytes,
    report: mpsc::UnboundedSender<Bytes>,
}

async fn serve(listener: TcpListener, site: Arc<Site>) {
    while let Ok((stream, _)) = listener.accept().await {
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            let answer = service_fn(move |request| answer(Arc::clone(&site), request));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(site: Arc<Site>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let (kind, body) = match path.as_str() {
        "/" => ("text/html", page(site.page)),
        "/driver.js" => ("text/javascript", page("driver.js")),
        "/matches.js" => ("text/javascript", page("matches.js")),
        "/set.json" => ("application/json", Some(site.set.clone())),
        "/report" => {
            if let Ok(body) = request.into_body().collect().await {
                let _ = site.report.send(body.to_bytes());
            }
            ("text/plain", Some(Bytes::new()))
        }
        path => ("text/javascript", path.strip_prefix("/sdk/").and_then(package)),
    };
    let status = if body.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let response = Response::builder().status(status).header("content-type", kind);
    Ok(response.body(Full::new(body.unwrap_or_default())).expect("a well-formed answer"))
}

fn page(name: &str) -> Option<Bytes> {
    std::fs::read(root().join("tests/sdks/browser").join(name)).ok().map(Bytes::from)
}

/// A file of the SDK's own build for browsers.
fn package(name: &str) -> Option<Bytes> {
    let folder = PathBuf::from(std::env::var_os("EC_SDK_NODE_FOLDER")?);
    std::fs::read(folder.join("node_modules/@segment/analytics-next/dist/umd").join(name)).ok().map(Bytes::from)
}
