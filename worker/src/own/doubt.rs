//! A stream that seems to have lost messages: a gap, or only a node that does not know the latest?
//!
//! The node that leads a replicated stream and is cut off from the others notices after ten seconds; until then it answers with what it
//! has. So what looks like a gap is waited for first, and believed when it stays.

use std::time::Duration;

use shared::stream::StreamError;
use tokio::time::Instant;

use crate::attach::AttachError;

/// Longer than a node needs to notice that it was cut off.
const PATIENCE: Duration = Duration::from_secs(20);

/// What one owner has been told, over its sessions.
#[derive(Debug, Default)]
pub struct Doubt {
    since: Option<Instant>,
}

impl Doubt {
    /// Passes an answer on; a doubtful gap becomes something to wait for, and at last a gap.
    pub fn weigh<T>(&mut self, verified: Result<T, AttachError>, now: Instant) -> Result<T, AttachError> {
        match verified {
            Ok(state) => {
                self.since = None;
                Ok(state)
            }
            Err(AttachError::Doubtful(gap)) => {
                if now - *self.since.get_or_insert(now) < PATIENCE {
                    Err(AttachError::Stream(StreamError::new("checking the stream", AttachError::Doubtful(gap))))
                } else {
                    Err(AttachError::Gap(gap))
                }
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubtful_gap_is_waited_for_and_believed_when_it_stays() {
        let gap = || -> Result<(), _> { Err(AttachError::Doubtful("messages are missing".to_owned())) };
        let (start, mut doubt) = (Instant::now(), Doubt::default());
        let mut waits = |answer, after| matches!(doubt.weigh(answer, start + after), Err(AttachError::Stream(_)));
        assert!(waits(gap(), Duration::ZERO));
        assert!(!waits(Ok(()), PATIENCE / 2), "it was only behind");
        assert!(waits(gap(), PATIENCE), "this is another doubt");
        assert!(waits(gap(), PATIENCE * 2 - Duration::from_secs(1)));
        assert!(matches!(doubt.weigh(gap(), start + PATIENCE * 2), Err(AttachError::Gap(_))));
    }
}
