//! The owners of this process: one per lane and flusher, for the layout in force. When it changes, all of them hand over and others
//! begin.
//!
//! The first layout is that of the settings; the first session that can look finds out which one is in force, and says so.

use shared::domain::layout::Layout;
use shared::stream::lanes::Lane;
use tokio::sync::watch;

use super::owner::{Assignment, Owner};

/// Runs owners until the stop. `owner` is what they have in common.
pub async fn work(owner: Assignment, mut layouts: watch::Receiver<Layout>) {
    while !owner.stop.is_stopping() {
        let layout = *layouts.borrow_and_update();
        let mut crew = tokio::task::JoinSet::new();
        for lane in Lane::all(&owner.settings.pipeline.stream_prefix, layout) {
            for flusher in 0..owner.settings.flushers {
                let name = format!("{}/{}.{flusher}", owner.settings.name, lane.number);
                crew.spawn(Owner { layout, lane: lane.clone(), name, common: owner.clone() }.run());
            }
        }
        while let Some(ended) = crew.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "an owner failed");
                owner.stop.fail();
            }
        }
        if !owner.stop.is_stopping() {
            let now = *layouts.borrow();
            tracing::warn!(before = %layout, %now, "another layout is in force (the first one is that of the settings): beginning anew");
        }
    }
}
