//! The heartbeat of a session: signs of life, and bringing what is owned towards the fair share.

use std::time::Duration;

use tokio::time::Instant;

use super::buffer::Buffer;
use super::owner::End;
use super::session::{Session, positions};
use super::{leases, share};
use crate::metrics;
use crate::status::State;

/// Between signs of life: a tenth of the lease, but not longer than this.
const LONGEST_INTERVAL: Duration = Duration::from_millis(500);

impl Session<'_> {
    /// Shows a sign of life, and brings what is owned towards the fair share.
    pub(super) async fn heartbeat(&mut self) -> Result<(), End> {
        self.heartbeat_due = Instant::now() + (self.me.lease / 10).min(LONGEST_INTERVAL);
        self.follow_layout().await?;
        // Positions advance even when no message held anything for this owner.
        if self.buffer.read_to.is_some() {
            self.flush().await?;
        }
        if let Some(lock) = &mut self.lock {
            self.me.locked = lock.is_held().await;
            if !self.me.locked {
                return Err(End::Again("database", "the session lock's connection is gone".to_owned()));
            }
        }
        let mine = positions(leases::renew(&mut self.database, &self.me).await?);
        if mine != self.owned && !self.owned.is_empty() {
            metrics::partitions_changed("lost", self.owned.len().saturating_sub(mine.len()));
            return Err(End::Again("fence", "partitions changed hands".to_owned()));
        }
        let live = leases::live(&mut self.database, &self.me).await?;
        let target = share::target(self.owner.layout.partitions_of(self.owner.lane.number).count(), live);
        let before = self.owned.clone();
        self.owned = mine;
        if self.owned.len() < target {
            let claimed = leases::claim(&mut self.database, &self.me, target - self.owned.len()).await?;
            metrics::partitions_changed("claimed", claimed.len());
            self.owned.extend(positions(claimed));
        }
        if self.owned != before {
            tracing::info!(owner = self.owner.name, partitions = ?self.owned.keys(), live, "partitions taken");
            self.buffer = Buffer::default();
            self.reader = None;
            self.reader_due = Instant::now();
        }
        self.give_back_surplus(target).await?;
        metrics::owned(&self.owner.name, self.owned.len());
        self.show_lag();
        if self.reader.is_some() || self.owned.is_empty() {
            self.owner.board.set(&self.owner.name, State::Working(self.owned.len()));
            metrics::halted(false);
        }
        Ok(())
    }

    /// Gives back what is beyond the fair share, after a short grace: workers often start or stop together.
    async fn give_back_surplus(&mut self, target: usize) -> Result<(), End> {
        let owned: Vec<i32> = self.owned.keys().copied().collect();
        let surplus = share::surplus(&owned, target);
        self.beyond_share = if surplus.is_empty() { 0 } else { self.beyond_share + 1 };
        if self.beyond_share < 2 {
            return Ok(());
        }
        self.flush().await?;
        leases::release(&mut self.database, &self.me, &surplus).await?;
        self.owned.retain(|partition, _| !surplus.contains(partition));
        self.beyond_share = 0;
        metrics::partitions_changed("released", surplus.len());
        tracing::info!(owner = self.owner.name, partitions = ?surplus, "partitions given back");
        Ok(())
    }
}
