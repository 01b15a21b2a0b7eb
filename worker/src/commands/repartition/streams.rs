//! What a repartition does to the streams. Each step may be done again.

use std::time::Duration;

use async_nats::jetstream::Context;
use shared::domain::layout::Layout;
use shared::runtime::settings::pipeline::Pipeline;
use shared::stream::lanes::{self, Lane, StreamState};
use shared::stream::{StreamError, seal};

use super::plan::{Plan, Starts};
use crate::Problem;
use crate::jobs::trim;
use crate::layout::Start;

/// Between attempts to publish a barrier.
const PAUSE: Duration = Duration::from_millis(500);
/// Attempts: a stream that is full is trimmed meanwhile, a cluster elects a leader.
const ATTEMPTS: u32 = 120;

/// The lanes of the layout before and those that come, by number.
pub fn all_lanes(prefix: &str, before: Layout, plan: &Plan) -> Vec<Lane> {
    let lanes = before.lanes.max(plan.next.lanes);
    Lane::all(prefix, Layout { lanes, ..before })
}

/// A lane's stream, which must be there.
pub async fn state(jetstream: &Context, lane: &Lane) -> Result<StreamState, Problem> {
    lanes::state(jetstream, lane).await?.ok_or_else(|| {
        format!("stream {} does not exist any more: `worker check` says what is wrong", lane.stream).into()
    })
}

/// Makes the lanes that come, closed.
pub async fn make_new(jetstream: &Context, settings: &Pipeline, before: Layout, plan: &Plan) -> Result<(), Problem> {
    for lane in Lane::all(&settings.stream_prefix, plan.next).into_iter().skip(usize::from(before.lanes)) {
        if let Some(found) = lanes::state(jetstream, &lane).await? {
            if found.sealed && found.layout == plan.next {
                continue;
            }
            if found.messages > 0 {
                return Err(format!(
                    "stream {} is in the way: it is of {} and holds {} messages. It belongs to no lane of the layout in force; delete it if nobody needs it",
                    lane.stream, found.layout, found.messages
                )
                .into());
            }
            delete(jetstream, &lane).await?;
        }
        lanes::create_sealed(jetstream, &lane, settings, plan.next).await?;
    }
    Ok(())
}

/// Closes all lanes of the layout before.
pub async fn seal(jetstream: &Context, prefix: &str, before: Layout) -> Result<(), Problem> {
    for lane in Lane::all(prefix, before) {
        if !state(jetstream, &lane).await?.sealed {
            seal::seal(jetstream, &lane).await?;
        }
    }
    Ok(())
}

/// Ends each lane with a barrier.
pub async fn end(client: &async_nats::Client, jetstream: &Context, lanes: &[Lane]) -> Result<Starts, Problem> {
    let mut starts = Starts::new();
    for lane in lanes {
        let mut attempts = 0;
        let barrier = loop {
            match seal::barrier(client, lane).await {
                Ok(barrier) => break barrier,
                Err(why) if attempts < ATTEMPTS => {
                    attempts += 1;
                    tracing::warn!("trying again: {why}");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(why) => return Err(why.into()),
            }
        };
        starts.push(Start {
            lane: lane.clone(),
            generation: state(jetstream, lane).await?.generation,
            seq: i64::try_from(barrier.seq)?,
            batch_id: Some(barrier.batch_id),
        });
    }
    Ok(starts)
}

/// Is each barrier still the last message of its lane?
pub async fn is_ended(jetstream: &Context, starts: &Starts) -> Result<bool, Problem> {
    for start in starts {
        if i64::try_from(state(jetstream, &start.lane).await?.last_seq)? != start.seq {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Opens the lanes of the next layout, the first one last: ingest goes by that one.
pub async fn open(jetstream: &Context, prefix: &str, next: Layout, barriers: &[(i32, i64)]) -> Result<(), Problem> {
    for lane in Lane::all(prefix, next).iter().rev() {
        shared::runtime::failpoint::reach("repartition::opening");
        let found = state(jetstream, lane).await?;
        if found.sealed {
            let barrier =
                barriers.iter().find(|(number, _)| *number == i32::from(lane.number)).map_or(0, |(_, at)| *at);
            seal::open(jetstream, lane, next, u64::try_from(barrier)?).await?;
        } else if found.layout != next {
            return Err(format!("stream {} was opened under {} by somebody else", lane.stream, found.layout).into());
        }
    }
    Ok(())
}

/// Opens the lanes of the layout before again, and deletes those that were to come.
pub async fn undo(jetstream: &Context, prefix: &str, before: Layout, plan: &Plan) -> Result<(), Problem> {
    for lane in Lane::all(prefix, plan.next).iter().skip(usize::from(before.lanes)) {
        if lanes::state(jetstream, lane).await?.is_some_and(|found| found.sealed) {
            delete(jetstream, lane).await?;
        }
    }
    for lane in Lane::all(prefix, before).iter().rev() {
        if state(jetstream, lane).await?.sealed {
            seal::unseal(jetstream, lane).await?;
        }
    }
    Ok(())
}

/// Removes what is left of the layout before: lanes that are no more, and messages up to the barriers, in steps that hold no publish up.
pub async fn clear(jetstream: &Context, prefix: &str, plan: &Plan) -> Result<(), Problem> {
    let former = Layout { lanes: plan.lanes_before, ..plan.next };
    for lane in Lane::all(prefix, former).iter().skip(usize::from(plan.next.lanes)) {
        if lanes::state(jetstream, lane).await?.is_some() {
            delete(jetstream, lane).await?;
        }
    }
    for lane in Lane::all(prefix, plan.next) {
        let found = state(jetstream, &lane).await?;
        trim::purge(jetstream, &lane, &found, found.barrier).await?;
    }
    Ok(())
}

async fn delete(jetstream: &Context, lane: &Lane) -> Result<(), Problem> {
    let doing = || format!("deleting stream {}", lane.stream);
    jetstream.delete_stream(&lane.stream).await.map_err(|e| StreamError::new(doing(), e))?;
    Ok(())
}
