//! Which layout is in force: how users are cut into partitions, and these dealt to lanes.
//!
//! Before the first repartition the streams say it, which the first worker made by its settings; from then on the database does,
//! because there it changes in the transaction that replaces the positions. [`crate::attach`] compares both.

use async_nats::jetstream::Context;
use shared::domain::layout::Layout;
use shared::runtime::settings::pipeline::Pipeline;
use shared::stream::lanes::{self, Lane};
use sqlx::PgConnection;

use crate::attach::AttachError;

/// The layout of the last repartition. `None`: there was none.
pub async fn recorded(database: &mut PgConnection) -> Result<Option<Layout>, sqlx::Error> {
    let row: Option<(i32, i32, i32)> = sqlx::query_as(
        "/* layout.recorded */ SELECT epoch, partitions, lanes FROM layouts WHERE taken_at IS NOT NULL ORDER BY epoch DESC LIMIT 1",
    )
    .fetch_optional(database)
    .await?;
    Ok(row.map(|(epoch, partitions, lanes)| Layout {
        epoch: u32::try_from(epoch).unwrap_or(0),
        partitions: narrow(partitions.into()),
        lanes: narrow(lanes.into()),
    }))
}

/// The layout in force; that of the settings when nothing was made yet.
pub async fn in_force(
    database: &mut PgConnection,
    jetstream: &Context,
    settings: &Pipeline,
) -> Result<Layout, AttachError> {
    if let Some(layout) = recorded(database).await? {
        return Ok(layout);
    }
    // In this order: positions are recorded after the first lane's stream was made, so whoever sees positions sees that stream.
    let (partitions, lanes): (i64, i64) =
        sqlx::query_as("/* layout.in_force */ SELECT (SELECT count(*) FROM partitions), (SELECT count(*) FROM lanes)")
            .fetch_one(database)
            .await?;
    let stream = lanes::state(jetstream, &Lane::new(&settings.stream_prefix, 0)).await?;
    // One that is not ours has none, and is refused with a reason of its own.
    let of_stream = stream.map(|stream| stream.layout).filter(|layout| layout.partitions > 0);
    if let Some(layout) = of_stream.filter(|layout| layout.epoch == 0) {
        return Ok(layout);
    }
    // The stream is lost, or of a repartition that this restored database knows nothing of.
    let of_database = (lanes > 0).then(|| Layout::first(narrow(partitions), narrow(lanes)));
    Ok(of_database.or(of_stream).unwrap_or(settings.first_layout))
}

fn narrow(n: i64) -> u16 {
    u16::try_from(n).unwrap_or(0)
}

/// Where a lane begins under a new layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Which lane.
    pub lane: Lane,
    /// The identity of its stream.
    pub generation: String,
    /// Everything up to this message is processed, or given up.
    pub seq: i64,
    /// The batch id of that message, if it is known.
    pub batch_id: Option<String>,
}

/// Locks all positions, in the order in which a worker that leaves locks them; forgets who works, as they come anew. Gives back where
/// each partition stands, with its lane.
pub async fn lock(transaction: &mut PgConnection) -> Result<Vec<(i32, i64)>, sqlx::Error> {
    sqlx::query("/* layout.lock.workers */ DELETE FROM workers").execute(&mut *transaction).await?;
    sqlx::query_as("/* layout.lock.partitions */ SELECT lane, last_seq FROM partitions ORDER BY partition FOR UPDATE")
        .fetch_all(transaction)
        .await
}

/// Replaces all positions by those of a layout, without owners, so that whoever holds a partition is fenced out; the books count from
/// there. In the transaction that has [`lock`]ed them, which must be the owner's of the schema.
pub async fn replace(transaction: &mut PgConnection, layout: Layout, starts: &[Start]) -> Result<(), sqlx::Error> {
    sqlx::query("/* layout.replace.partitions */ DELETE FROM partitions").execute(&mut *transaction).await?;
    sqlx::query("/* layout.replace.lanes */ DELETE FROM lanes").execute(&mut *transaction).await?;
    for start in starts {
        let number = start.lane.number;
        sqlx::query("/* layout.replace.lanes.2 */ INSERT INTO lanes (lane, stream, generation, trimmed_to, audited_to) VALUES ($1, $2, $3, $4, $4)")
            .bind(i32::from(number))
            .bind(&start.lane.stream)
            .bind(&start.generation)
            .bind(start.seq)
            .execute(&mut *transaction)
            .await?;
        let partitions: Vec<i32> = layout.partitions_of(number).map(i32::from).collect();
        sqlx::query(
            "/* layout.replace.partitions.2 */ INSERT INTO partitions (partition, lane, last_seq, last_batch_id, counted_from) SELECT p, $1, $2, $3, $2 FROM unnest($4::int[]) p",
        )
        .bind(i32::from(number))
        .bind(start.seq)
        .bind(start.batch_id.as_deref())
        .bind(&partitions)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("/* layout.replace.ledger */ UPDATE ledger SET settled = read, first_seq = $1 + 1 WHERE partition = ANY($2)")
            .bind(start.seq)
            .bind(&partitions)
            .execute(&mut *transaction)
            .await?;
    }
    // Of partitions that are no more.
    sqlx::query(
        "/* layout.replace.ledger.2 */ UPDATE ledger SET settled = read WHERE settled <> read AND partition >= $1",
    )
    .bind(i32::from(layout.partitions))
    .execute(transaction)
    .await?;
    Ok(())
}

/// Puts a layout in force that the streams have already; those after it never were, as the streams know.
pub async fn set(transaction: &mut PgConnection, layout: Layout) -> Result<(), sqlx::Error> {
    let epoch = i32::try_from(layout.epoch).unwrap_or(i32::MAX);
    sqlx::query("/* layout.set.layouts */ DELETE FROM layouts WHERE epoch > $1 OR finished_at IS NULL")
        .bind(epoch)
        .execute(&mut *transaction)
        .await?;
    if epoch > 0 {
        sqlx::query(
            "/* layout.set.layouts.2 */ INSERT INTO layouts (epoch, partitions, lanes, lanes_before, taken_at, finished_at)
             VALUES ($1, $2, $3, $3, clock_timestamp(), clock_timestamp())
             ON CONFLICT (epoch) DO NOTHING",
        )
        .bind(epoch)
        .bind(i32::from(layout.partitions))
        .bind(i32::from(layout.lanes))
        .execute(transaction)
        .await?;
    }
    Ok(())
}
