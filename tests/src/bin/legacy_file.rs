//! `legacy_file --events N FILE`: writes a made-up store of the old server, for trying `worker import-legacy` at size.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Parser;
use tests::legacy_store::Shape;

/// Writes a store of the old server, made up.
#[derive(Parser)]
struct Arguments {
    /// How many events
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Of the random choices
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Spread over the last so many days
    #[arg(long, default_value_t = 30)]
    days: i64,
    /// One event in so many is odd
    #[arg(long, default_value_t = 50)]
    odd_every: u64,
    /// The file to write
    file: PathBuf,
}

#[expect(clippy::print_stdout, reason = "its result")]
fn main() -> std::io::Result<()> {
    let Arguments { events, seed, days, odd_every, file } = Arguments::parse();
    let mut out = BufWriter::new(File::create(&file)?);
    let written = Shape { seed, days, odd_every, ..Shape::recent(events) }.write(&mut out)?;
    out.flush()?;
    println!("{written:?}, {} MiB", std::fs::metadata(&file)?.len() >> 20);
    Ok(())
}
