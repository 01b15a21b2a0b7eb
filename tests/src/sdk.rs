//! The real SDKs, at the versions that `tests/sdks/` pins: what each is told to send, how it is run, and what it adds by itself.
//!
//! Server SDKs run in a small program of their own language (`tests/sdks/`), the browser SDK in a page ([`crate::browser`]).
//! Where one cannot be had on this machine, [`available`] says why.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::folder::Folder;
use crate::known_set::Dialect;
use crate::services::root;
use crate::stored_as_sent::Additions;

/// Longest run of a driver. Resends after lost answers wait up to a second each.
const PATIENCE: Duration = Duration::from_secs(120);

/// An SDK under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sdk {
    /// segment-analytics-python
    SegmentPython,
    /// @segment/analytics-node
    SegmentNode,
    /// @segment/analytics-next
    SegmentBrowser,
    /// rudder-sdk-python
    RudderPython,
    /// @rudderstack/rudder-sdk-node
    RudderNode,
}

impl Sdk {
    /// What its language can say.
    #[must_use]
    pub fn dialect(self) -> Dialect {
        let python = matches!(self, Self::SegmentPython | Self::RudderPython);
        Dialect { big_integers: python, zones: python, always_anonymous: self == Self::SegmentBrowser }
    }

    /// What it adds to an event.
    #[must_use]
    pub fn additions(self) -> Additions {
        let none = Additions {
            library: ("analytics-python", "2.4.0"),
            context: &[],
            page: &[],
            metadata: &[],
            fields: || json!({"integrations": {}}),
            page_copies: &[],
            screen_copies: &[],
            traits_in_context: false,
            own_clock_too: false,
        };
        match self {
            Self::SegmentPython => none,
            Self::SegmentNode => Additions {
                library: ("@segment/analytics-node", "3.1.0"),
                metadata: &["_metadata"],
                page_copies: &["category"],
                ..none
            },
            Self::SegmentBrowser => Additions {
                library: ("analytics.js", "next-1.84.3"),
                context: &["page", "userAgent", "userAgentData", "timezone"],
                page: &["path", "referrer", "search", "title", "url"],
                metadata: &["_metadata"],
                fields: || json!({"integrations": {"Segment.io": true}}),
                page_copies: &["category", "name"],
                ..none
            },
            Self::RudderPython => Additions {
                library: ("analytics-python", "2.1.9"),
                fields: || json!({"channel": "server", "integrations": {"All": true}}),
                traits_in_context: true,
                ..none
            },
            Self::RudderNode => Additions {
                library: ("analytics-node", "3.0.13"),
                metadata: &["_metadata"],
                fields: || json!({"channel": "server"}),
                traits_in_context: true,
                own_clock_too: true,
                ..none
            },
        }
    }

    fn needs(self) -> &'static [&'static str] {
        match self {
            Self::SegmentPython | Self::RudderPython => &["EC_SDK_PYTHON"],
            Self::SegmentNode | Self::RudderNode => &["EC_SDK_NODE", "EC_SDK_NODE_FOLDER"],
            Self::SegmentBrowser => &["EC_SDK_CHROMIUM", "EC_SDK_NODE_FOLDER"],
        }
    }
}

/// `Ok`, or why the SDK cannot be run here.
pub fn available(sdk: Sdk) -> Result<(), String> {
    match sdk.needs().iter().find(|name| std::env::var_os(name).is_none()) {
        None => Ok(()),
        Some(name) => Err(match std::env::var("EC_SDK_WHY_NOT") {
            Ok(why) => format!("{name} is not set: {why}"),
            Err(_) => format!("{name} is not set: run it with ./deploy/test"),
        }),
    }
}

/// Runs the driver of a server SDK with this file ([`crate::known_set::file`]). Returns the message ids by number of the event.
///
/// # Panics
/// When the driver fails, or says that an event was given up.
pub async fn send(sdk: Sdk, file: &str) -> HashMap<usize, String> {
    let folder = Folder::new("sdk");
    let path = folder.path().join("set.json");
    std::fs::write(&path, file).expect("a set can be written");
    let sdks = root().join("tests/sdks");
    let variable = |name: &str| std::env::var_os(name).unwrap_or_default();
    let mut command = match sdk {
        Sdk::SegmentPython | Sdk::RudderPython => {
            let mut python = Command::new(variable("EC_SDK_PYTHON"));
            let name = if sdk == Sdk::SegmentPython { "segment" } else { "rudder" };
            python.arg("-B").arg(sdks.join("python/send.py")).arg(name);
            python
        }
        Sdk::SegmentNode | Sdk::RudderNode => {
            let mut node = Command::new(variable("EC_SDK_NODE"));
            node.arg(sdks.join(if sdk == Sdk::SegmentNode { "node/segment.mjs" } else { "node/rudder.mjs" }));
            node
        }
        Sdk::SegmentBrowser => panic!("the browser SDK is run in a page"),
    };
    // A proxy of the machine's must not stand between the SDK and the test.
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    let child = command.arg(&path).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(PATIENCE, child).await.expect("the driver ends in time").expect("it can be run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the driver of {sdk:?} ended with {}:\n{errors}", output.status);
    message_ids(
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("the driver printed {line:?}: {e}"))),
    )
}

/// The ids by number, from what a driver says of each event: `{"n", "messageId"}`.
///
/// # Panics
/// When an event has two.
pub fn message_ids(said: impl Iterator<Item = Value>) -> HashMap<usize, String> {
    let mut ids = HashMap::new();
    for line in said {
        let n = line["n"].as_u64().and_then(|n| usize::try_from(n).ok()).expect("a driver names the event");
        let id = line["messageId"].as_str().expect("a driver names the message id").to_owned();
        let before = ids.insert(n, id.clone());
        assert!(before.is_none() || before.as_ref() == Some(&id), "event {n} was sent as {before:?} and as {id}");
    }
    ids
}
