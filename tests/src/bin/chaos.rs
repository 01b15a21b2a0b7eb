//! `deploy/chaos` runs this: strikes the pipeline with faults by a seed, prints a table, and fails when anything was lost or doubled, or when
//! a pipeline that is broken on purpose was not caught.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use tests::chaos::controls::Broken;
use tests::chaos::fault::Fault;
use tests::chaos::report::{Report, head};
use tests::chaos::{run, schedule};
use tests::load::seed;

#[derive(Parser)]
#[command(
    name = "chaos",
    about = "Strikes a pipeline under load with faults, and judges whether anything was lost or doubled"
)]
struct Arguments {
    /// The schedule follows from it; without one it is new each time.
    #[arg(long)]
    seed: Option<u64>,
    /// How long all strikes take together, roughly.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Only these, by name or number of the fault matrix, with commas.
    #[arg(long, value_delimiter = ',')]
    faults: Vec<String>,
    /// Leave the negative controls out.
    #[arg(long)]
    no_controls: bool,
    /// Print the schedule and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Where the result is written as JSON.
    #[arg(long, default_value = "target/chaos.json")]
    json: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let faults = match chosen(&arguments.faults) {
        Ok(faults) => faults,
        Err(problem) => {
            eprintln!("chaos: {problem}");
            return ExitCode::FAILURE;
        }
    };
    let seed = arguments.seed.unwrap_or_else(seed);
    let runs = schedule::schedule(seed, arguments.minutes, &faults);
    let strikes: usize = runs.iter().map(|run| run.strikes.len()).sum();
    say(&format!("seed {seed}: {} runs, {strikes} strikes", runs.len()));
    if arguments.dry_run {
        runs.iter().for_each(|run| say(&format!("{run:?}")));
        return ExitCode::SUCCESS;
    }
    let controls: &[Broken] = if arguments.no_controls { &[] } else { &Broken::ALL };
    let report = strike_all(seed, arguments.minutes, &runs, controls);
    say(&format!("\n{}", report.text()));
    if let Err(error) = std::fs::write(&arguments.json, format!("{:#}\n", report.json())) {
        eprintln!("chaos: {} cannot be written: {error}", arguments.json.display());
        return ExitCode::FAILURE;
    }
    if report.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Does all runs and controls, with a bar on a terminal and a line for each in any case.
fn strike_all(seed: u64, minutes: u64, runs: &[schedule::Run], controls: &[Broken]) -> Report {
    let bar = ProgressBar::new((runs.len() + controls.len()) as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {elapsed_precise}") {
        bar.set_style(style);
    }
    let mut outcomes = Vec::new();
    say(&head());
    let mut done = |outcome: tests::chaos::report::Outcome, started: Instant| {
        bar.suspend(|| say(&format!("{}  ({} s)", outcome.line(), started.elapsed().as_secs())));
        bar.inc(1);
        outcomes.push(outcome);
    };
    for planned in runs {
        bar.set_message(planned.fault.facts().name);
        let started = Instant::now();
        done(run::run(planned), started);
    }
    for broken in controls {
        bar.set_message(broken.name());
        let started = Instant::now();
        done(broken.run(seed), started);
    }
    bar.finish_and_clear();
    Report { seed, minutes, outcomes }
}

fn chosen(names: &[String]) -> Result<Vec<Fault>, String> {
    if names.is_empty() {
        return Ok(Fault::ALL.to_vec());
    }
    let mut faults = Vec::new();
    for name in names {
        let before = faults.len();
        faults.extend(Fault::ALL.into_iter().filter(|f| f.facts().name == name || f.facts().row.to_string() == *name));
        if faults.len() == before {
            let known: Vec<_> = Fault::ALL.iter().map(|fault| fault.facts().name).collect();
            return Err(format!("there is no fault {name:?}; there are {} and the rows 1 to 28", known.join(", ")));
        }
    }
    Ok(faults)
}

#[expect(clippy::print_stdout, reason = "what a command prints is its result")]
fn say(line: &str) {
    println!("{line}");
}
