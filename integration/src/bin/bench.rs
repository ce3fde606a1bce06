//! `cargo xtask bench`: measures this daemon and keepalived side by side, in namespaces of this machine. See
//! [`holdfast_integration::bench`].

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its terminal")]

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use holdfast_integration::bench::{self, Plan, ROWS};

/// Measures VRRP: this daemon and keepalived side by side.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Options {
    /// What is measured [default: everything].
    #[arg(long, value_delimiter = ',', value_name = "ROW,…")]
    rows: Vec<String>,
    /// How often each failure is brought about [default: 10; with --quick 3].
    #[arg(long, value_name = "N")]
    runs: Option<usize>,
    /// Fewer runs.
    #[arg(long)]
    quick: bool,
    /// How long each program is watched on a busy machine, in seconds or minutes: `30s`, `10m`.
    #[arg(long, value_parser = duration, default_value = "1m", value_name = "DURATION")]
    soak: Duration,
    /// Where every sample goes, as JSON [default: bench-vrrp.json beside this program].
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything could be measured.
fn run(options: &Options) -> Result<bool> {
    let rows = match options.rows.as_slice() {
        [] => ROWS.map(str::to_owned).to_vec(),
        rows => rows.to_vec(),
    };
    let runs = options.runs.unwrap_or(if options.quick { 3 } else { 10 }).max(1);
    let plan = Plan { rows, runs, soak: options.soak };
    plan.check()?;
    let json = match &options.json {
        Some(json) => json.clone(),
        None => std::env::current_exe()
            .context("where is this program?")?
            .with_file_name("bench-vrrp.json"),
    };
    let report = bench::run(&plan, |report| {
        let text = serde_json::to_string_pretty(&report.json())?;
        fs::write(&json, text).with_context(|| format!("cannot write {}", json.display()))
    })?;
    println!("{}", report.markdown());
    eprintln!("bench: every sample is in {}", json.display());
    Ok(report.is_whole())
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time such as 30s or 10m");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_not_a_number| wrong())?;
    match unit {
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err(wrong()),
    }
}
