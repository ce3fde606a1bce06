//! `cargo xtask test`: every test of the workspace.
//!
//! One build makes them all. Those that only compute run on the host; those whose target requires the feature
//! `kernel-tests` run on a kernel with IPVS, each binary in a guest of its own where this machine has none; of these, the
//! ones that their package's `metadata.holdfast.network-tests` names need no IPVS and run in this machine's namespaces,
//! where it lets root make some; those that require `guest-tests` start guests themselves. Those that require
//! `stock-kernel-tests` run on this machine's kernel or, where that has no IPVS, on Debian's own in one guest for all; where that
//! can't be, they are counted as skipped, with the reason.

use std::{
    collections::VecDeque,
    fs,
    path::Path,
    process::{ExitCode, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use cargo_metadata::{Artifact, Metadata, Target};
use clap::Args;

use crate::{
    cargo::{self, GUEST_TESTS, KERNEL_TESTS, STOCK_KERNEL_TESTS},
    job::{Job, Report},
    kernel::{Choice, Place},
    libtest::Tally,
    setup, stock,
};

/// How many test binaries run at the same time, at most. Each guest keeps a core busy.
const AT_ONCE: usize = 2;

/// What `cargo xtask test` is told.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    kernel: Choice,

    /// How long one test binary may run, in seconds
    #[arg(long, default_value_t = 1800, value_name = "SECONDS")]
    timeout: u64,

    /// Run only tests whose names contain this
    filter: Option<String>,
}

/// What a test target needs to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing.
    Unit,
    /// A kernel with IPVS, and root.
    Kernel,
    /// A distribution's kernel, with IPVS and nftables, and root: the guest's won't do.
    StockKernel,
    /// Root and network namespaces.
    Network,
    /// The host, to start guests on.
    Guest,
}

impl Kind {
    fn of(required_features: &[String], without_ipvs: bool) -> Self {
        let requires = |feature: &str| required_features.iter().any(|name| name == feature);
        match (requires(KERNEL_TESTS), requires(GUEST_TESTS)) {
            _ if requires(STOCK_KERNEL_TESTS) => Self::StockKernel,
            (true, _) if without_ipvs => Self::Network,
            (true, _) => Self::Kernel,
            (false, true) => Self::Guest,
            (false, false) => Self::Unit,
        }
    }
}

/// Runs everything; the summary is the last line.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure()?;
    // Also where this machine's kernel will do: the tests of the guest runner boot it.
    let ready = stock::ensure();
    let place = arguments.kernel.decide()?;
    let metadata = cargo::metadata()?;
    let _lock = cargo::lock(&metadata)?;
    let logs = cargo::fresh_folder(&metadata, "test")?;
    let binaries = cargo::debug_folder(&metadata);

    println!("Building");
    let places = Places { kernel: place, network: arguments.kernel.decide_for_networks() };
    let Jobs { units, kernels, stock } = build(&metadata, arguments, places)?;

    let mut sum = Tally::default();
    println!("Testing on the host: {} binaries, then the documentation's examples", units.len());
    sum += run_all(units, &logs, &binaries);
    sum += doctests(&metadata, arguments.filter.as_deref(), &logs)?;
    let (on, many) = match place {
        Place::Host => ("this machine's kernel", 1),
        Place::Guest => ("the guest's kernel", AT_ONCE),
    };
    let here = kernels.iter().filter(|job| job.place == Place::Host).count();
    println!(
        "Testing on {on}: {} binaries, {many} at a time ({here} of them in this machine's namespaces)",
        kernels.len()
    );
    sum += run_at_once(kernels, many, &logs, &binaries);
    sum += stock_kernel(stock, arguments.filter.as_deref(), &logs, &binaries, ready)?;

    println!("Logs: {}", logs.display());
    println!();
    println!("{sum}");
    if sum.executed() == 0 {
        println!("No test ran.");
    }
    let good = sum.failed == 0 && sum.executed() > 0;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What there is to run.
#[derive(Debug, Default)]
struct Jobs {
    /// On the host.
    units: Vec<Job>,
    /// On a kernel with IPVS, or in namespaces.
    kernels: Vec<Job>,
    /// On a stock kernel, which this machine's is not.
    stock: Vec<Job>,
}

/// Builds the tests and the programs that they start.
fn build(metadata: &Metadata, arguments: &Arguments, places: Places) -> Result<Jobs> {
    let features = cargo::test_features(metadata);
    let artifacts = cargo::build(&["test", "--workspace", "--no-run", "--features", &features])?;
    // Without xtask, which would replace itself.
    cargo::build(&[
        "build",
        "--workspace",
        "--exclude",
        "xtask",
        "--bins",
        "--features",
        &features,
    ])?;
    let mut jobs = Jobs::default();
    for artifact in artifacts.into_iter().filter(|artifact| artifact.profile.test) {
        let Some((name, kind, job_place)) = identify(metadata, &artifact, places) else { continue };
        let Some(program) = artifact.executable else { continue };
        let mut words = Vec::new();
        if kind != Kind::Unit {
            words.push("--test-threads=1".to_owned());
        }
        words.extend(arguments.filter.clone());
        let cwd = artifact.manifest_path.parent().context("a manifest is in no folder")?;
        let job = Job {
            name,
            program: program.into_std_path_buf(),
            arguments: words,
            cwd: cwd.as_std_path().to_owned(),
            place: job_place,
            // One that was built to need a kernel and has no test is a mistake, unless a filter left them out.
            may_be_empty: kind == Kind::Unit || arguments.filter.is_some(),
            timeout: Duration::from_secs(arguments.timeout),
        };
        match kind {
            Kind::Unit => jobs.units.push(job),
            Kind::StockKernel if places.kernel == Place::Guest => jobs.stock.push(job),
            Kind::Kernel | Kind::StockKernel | Kind::Network | Kind::Guest => {
                jobs.kernels.push(job);
            }
        }
    }
    jobs.units.sort_by(|a, b| a.name.cmp(&b.name));
    jobs.kernels.sort_by(|a, b| a.name.cmp(&b.name));
    jobs.stock.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(jobs)
}

/// Where tests run that can't run anywhere.
#[derive(Debug, Clone, Copy)]
struct Places {
    kernel: Place,
    network: Place,
}

/// The name, kind and place of a test binary.
fn identify(
    metadata: &Metadata,
    artifact: &Artifact,
    places: Places,
) -> Option<(String, Kind, Place)> {
    let package = metadata.packages.iter().find(|package| package.id == artifact.package_id)?;
    let is_it = |target: &&Target| {
        target.name == artifact.target.name && target.kind == artifact.target.kind
    };
    let target = &artifact.target;
    let networks = package.metadata.pointer("/holdfast/network-tests");
    let networks = networks.and_then(|names| names.as_array());
    let without_ipvs = networks.is_some_and(|names| names.iter().any(|name| *name == *target.name));
    let kind = Kind::of(&package.targets.iter().find(is_it)?.required_features, without_ipvs);
    let what = match (target.is_lib(), target.is_bin()) {
        (true, _) => "unit".to_owned(),
        (false, true) => format!("bin {}", target.name),
        (false, false) => target.name.clone(),
    };
    let place = match kind {
        Kind::Kernel => places.kernel,
        Kind::Network => places.network,
        Kind::Unit | Kind::Guest | Kind::StockKernel => Place::Host,
    };
    Some((format!("{} {what}", package.name), kind, place))
}

fn run_all(jobs: Vec<Job>, logs: &Path, binaries: &Path) -> Tally {
    run_at_once(jobs, AT_ONCE, logs, binaries)
}

/// Runs jobs on this many threads, telling of each when it is done.
fn run_at_once(jobs: Vec<Job>, many: usize, logs: &Path, binaries: &Path) -> Tally {
    let sum = Mutex::new(Tally::default());
    let jobs = Mutex::new(VecDeque::from(jobs));
    std::thread::scope(|scope| {
        for _ in 0..many {
            scope.spawn(|| {
                loop {
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(job) = job else { break };
                    let report = job.run(logs, binaries);
                    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                    *sum += report.tally;
                    // Under the lock, so that reports don't mix.
                    tell(&job.name, &report);
                }
            });
        }
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what needs a stock kernel, or counts it as skipped where there can be none.
fn stock_kernel(
    jobs: Vec<Job>,
    filter: Option<&str>,
    logs: &Path,
    binaries: &Path,
    ready: Result<()>,
) -> Result<Tally> {
    let mut sum = Tally::default();
    let mut wanted = Vec::new();
    for job in jobs {
        let tally = job.list()?;
        // A filter may have left nothing that is worth a boot.
        if tally.skipped == 0 {
            continue;
        }
        if let Some(obstacle) = stock::obstacle() {
            println!(
                "  SKIPPED {}: {tally}: it needs a kernel with IPVS and nftables, and {obstacle} (CONTRIBUTING.md)",
                job.name
            );
            sum += tally;
            continue;
        }
        wanted.push(job);
    }
    if !wanted.is_empty() {
        println!("Testing on a stock kernel: {} binaries in one guest, which boots", wanted.len());
        sum += stock::run(wanted, filter, logs, binaries, ready, tell);
    }
    Ok(sum)
}

fn tell(name: &str, report: &Report) {
    let took = report.took.as_millis();
    let verdict = if report.has_failed() { "FAILED" } else { "ok" };
    println!("  {verdict:<6} {name}: {} ({}.{} s)", report.tally, took / 1000, took % 1000 / 100);
    if report.has_failed() {
        print!("{}", report.show());
        if let Some(trouble) = &report.trouble {
            println!("    {name}: {trouble}");
        }
    }
}

/// The examples in the documentation: only cargo can run those.
fn doctests(metadata: &Metadata, filter: Option<&str>, logs: &Path) -> Result<Tally> {
    let start = Instant::now();
    let features = cargo::test_features(metadata);
    let mut command = cargo::cargo();
    command.args(["test", "--workspace", "--doc", "--no-fail-fast", "--features", &features]);
    let output = command
        .args(filter)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .context("cannot run cargo")?;
    let log = logs.join("documentation.log");
    let mut text = output.stdout;
    let tally = Tally::of(&String::from_utf8_lossy(&text));
    text.extend_from_slice(&output.stderr);
    fs::write(&log, text).with_context(|| format!("cannot write {}", log.display()))?;
    let mut tally = tally.unwrap_or_default();
    let mut trouble = None;
    if !output.status.success() && tally.failed == 0 {
        tally.failed = 1;
        trouble = Some(format!("cargo test --doc: {}", output.status));
    }
    let report = Report { tally, trouble, took: start.elapsed(), log };
    tell("documentation", &report);
    Ok(report.tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn required_features_say_where_a_test_runs() {
        let of = |features: &[&str], without_ipvs| {
            let features: Vec<_> = features.iter().map(|&feature| feature.to_owned()).collect();
            Kind::of(&features, without_ipvs)
        };
        let kind = |features: &[&str]| of(features, false);
        assert_eq!(of(&["kernel-tests"], true), Kind::Network);
        assert_eq!(of(&[], true), Kind::Unit);
        assert_eq!(kind(&[]), Kind::Unit);
        assert_eq!(kind(&["client"]), Kind::Unit);
        assert_eq!(kind(&["client", "kernel-tests"]), Kind::Kernel);
        assert_eq!(kind(&["guest-tests"]), Kind::Guest);
        assert_eq!(kind(&["stock-kernel-tests"]), Kind::StockKernel);
    }
}
