//! `cargo xtask bench`: measures this daemon beside keepalived and ipvsadm. See [`holdfast_integration::bench`].

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its terminal")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use holdfast_integration::bench::report::Report;
use holdfast_integration::bench::{self, Plan, ROWS, checks, ipvs};
use holdfast_testkit::guest::Kernel;

#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Measures VRRP: this daemon and keepalived side by side, in namespaces of this machine
    Vrrp(Vrrp),
    /// Measures IPVS: this daemon and `holdfast ipvs` beside keepalived and ipvsadm, in guests
    Ipvs(Ipvs),
    /// Measures health checks: this daemon's beside keepalived's, in guests
    Checks(Ipvs),
}

#[derive(Debug, Args)]
struct Vrrp {
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

#[derive(Debug, Args)]
struct Ipvs {
    /// What is measured [default: everything].
    #[arg(long, value_delimiter = ',', value_name = "ROW,…")]
    rows: Vec<String>,
    /// How often each row is measured, each time in a guest that has just booted.
    #[arg(long, default_value_t = 5, value_name = "N")]
    runs: usize,
    /// The kernel of the guests: `user-mode`, or `stock`, Debian's own in qemu.
    #[arg(long, default_value_t, conflicts_with = "here", value_name = "KERNEL")]
    kernel: Kernel,
    /// Measure one round in the kernel that this program runs under, instead of in guests; needs root and ip_vs.
    #[arg(long)]
    here: bool,
    /// Which round that is: this daemon comes first in even ones.
    #[arg(long, default_value_t = 0, requires = "here", value_name = "N")]
    round: usize,
    /// Where every sample goes, as JSON [default: bench-ipvs.json beside this program].
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let result = match &Options::parse().what {
        What::Vrrp(options) => vrrp(options),
        What::Ipvs(options) => ipvs(options),
        What::Checks(options) => checks(options),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything could be measured.
fn vrrp(options: &Vrrp) -> Result<bool> {
    let runs = options.runs.unwrap_or(if options.quick { 3 } else { 10 }).max(1);
    let plan = Plan { rows: chosen(&options.rows, &ROWS), runs, soak: options.soak };
    plan.check()?;
    let json = place(options.json.as_deref(), "bench-vrrp.json")?;
    let report = bench::run(&plan, |report| save(report, &json))?;
    Ok(tell(&report, &json))
}

/// Whether everything could be measured.
fn ipvs(options: &Ipvs) -> Result<bool> {
    let rows = chosen(&options.rows, &ipvs::ROWS);
    ipvs::check(&rows)?;
    let json = place(options.json.as_deref(), "bench-ipvs.json")?;
    if options.here {
        return here(ipvs::here(&rows, options.round), ipvs::PEERS, &json);
    }
    let report =
        ipvs::run(options.kernel, &rows, options.runs.max(1), |report| save(report, &json))?;
    Ok(tell(&report, &json))
}

/// Whether everything could be measured.
fn checks(options: &Ipvs) -> Result<bool> {
    let rows = chosen(&options.rows, &checks::ROWS);
    checks::check(&rows)?;
    let json = place(options.json.as_deref(), "bench-checks.json")?;
    if options.here {
        return here(checks::here(&rows, options.round), "keepalived", &json);
    }
    let report =
        checks::run(options.kernel, &rows, options.runs.max(1), |report| save(report, &json))?;
    Ok(tell(&report, &json))
}

/// Hands on what one boot has measured, and prints it.
fn here(part: ipvs::Part, peers: &'static str, json: &Path) -> Result<bool> {
    let text = serde_json::to_string_pretty(&part)?;
    fs::write(json, text).with_context(|| format!("cannot write {}", json.display()))?;
    let mut report = Report::new(peers);
    report.take(part);
    println!("{}", report.markdown());
    Ok(report.is_whole())
}

fn chosen(rows: &[String], all: &[&str]) -> Vec<String> {
    if rows.is_empty() { all.iter().map(|row| (*row).to_owned()).collect() } else { rows.to_vec() }
}

fn place(json: Option<&Path>, name: &str) -> Result<PathBuf> {
    match json {
        Some(json) => Ok(json.to_owned()),
        None => Ok(std::env::current_exe().context("where is this program?")?.with_file_name(name)),
    }
}

fn save(report: &Report, json: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(&report.json())?;
    fs::write(json, text).with_context(|| format!("cannot write {}", json.display()))
}

fn tell(report: &Report, json: &Path) -> bool {
    println!("{}", report.markdown());
    eprintln!("bench: every sample is in {}", json.display());
    report.is_whole()
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
