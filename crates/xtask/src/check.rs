//! `cargo xtask check`: everything that is judged without running a test.

use std::{
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result};

use crate::{cargo, layers, rfc};

/// The pure layer is built for this target, where it is installed, to show that it names no operating system.
const WASM: &str = "wasm32-unknown-unknown";

/// The pure crates that other programs may want there; what they stand on comes with them.
const WASM_CRATES: &[&str] =
    &["vrrp", "ipvs-ctl", "holdfast-health", "holdfast-config", "holdfast-engine"];

/// How a stage went.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    /// It could not be judged here, and why.
    Skipped(String),
}

type Stage = (&'static str, fn(&Workspace) -> Result<Verdict>);

/// What stages share.
struct Workspace {
    features: String,
}

/// Runs every stage, also after one failed; the summary is the last line.
pub(crate) fn run() -> Result<ExitCode> {
    let stages: &[Stage] = &[
        ("formatting", formatting),
        ("lints", lints),
        ("documentation", documentation),
        ("layers", layering),
        ("requirements of RFC 9568", requirements),
        ("dependencies", dependencies),
        ("pure layer for wasm", wasm),
    ];
    let context = Workspace { features: cargo::test_features(&cargo::metadata()?) };
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, stage) in stages {
        println!("{name}");
        let start = Instant::now();
        let verdict = stage(&context).unwrap_or_else(|error| {
            println!("  {error:#}");
            Verdict::Failed
        });
        let took = start.elapsed().as_secs();
        match verdict {
            Verdict::Passed => {
                passed += 1;
                println!("  ok ({took} s)");
            }
            Verdict::Failed => {
                failed += 1;
                println!("  FAILED ({took} s)");
            }
            Verdict::Skipped(why) => {
                skipped += 1;
                println!("  SKIPPED: {why}");
            }
        }
    }
    println!();
    let more = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
    println!("{passed} passed, {failed} failed{more}");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a command whose status is the verdict; what it says goes to the terminal.
fn judge(command: &mut Command) -> Result<Verdict> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    Ok(if status.success() { Verdict::Passed } else { Verdict::Failed })
}

fn formatting(_: &Workspace) -> Result<Verdict> {
    judge(cargo::cargo().args(["fmt", "--all", "--check"]))
}

fn lints(context: &Workspace) -> Result<Verdict> {
    let arguments = ["clippy", "--quiet", "--workspace", "--all-targets", "--features"];
    judge(cargo::cargo().args(arguments).args([&context.features, "--", "-D", "warnings"]))
}

fn documentation(context: &Workspace) -> Result<Verdict> {
    let arguments =
        ["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items", "--features"];
    judge(cargo::cargo().args(arguments).arg(&context.features).env("RUSTDOCFLAGS", "-D warnings"))
}

fn layering(_: &Workspace) -> Result<Verdict> {
    let problems = layers::problems()?;
    for problem in &problems {
        println!("  {problem}");
    }
    Ok(if problems.is_empty() { Verdict::Passed } else { Verdict::Failed })
}

fn requirements(_: &Workspace) -> Result<Verdict> {
    let problems = rfc::problems()?;
    for problem in &problems {
        println!("  {problem}");
    }
    Ok(if problems.is_empty() { Verdict::Passed } else { Verdict::Failed })
}

fn dependencies(_: &Workspace) -> Result<Verdict> {
    if !has_deny() {
        println!("  installing cargo-deny");
        let install = judge(cargo::cargo().args(["install", "--locked", "--quiet", "cargo-deny"]))?;
        if install != Verdict::Passed || !has_deny() {
            return Ok(Verdict::Skipped(
                "cargo-deny is not installed, and could not be: licences, bans, sources and advisories were not looked at"
                    .to_owned(),
            ));
        }
    }
    let rest = judge(cargo::cargo().args(["deny", "check", "bans", "licenses", "sources"]))?;
    if rest == Verdict::Failed {
        return Ok(Verdict::Failed);
    }
    let fetched = quiet(cargo::cargo().args(["deny", "fetch", "db"]));
    if !fetched {
        return Ok(Verdict::Skipped(
            "bans, licences and sources are good, but the advisory database could not be fetched: ADVISORIES WERE NOT \
             LOOKED AT"
                .to_owned(),
        ));
    }
    judge(cargo::cargo().args(["deny", "check", "advisories"]))
}

fn has_deny() -> bool {
    quiet(cargo::cargo().args(["deny", "--version"]))
}

fn wasm(_: &Workspace) -> Result<Verdict> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", WASM])
        .stdin(Stdio::null())
        .output()
        .context("cannot run rustc")?;
    let folder = String::from_utf8_lossy(&output.stdout);
    if !Path::new(folder.trim()).is_dir() {
        return Ok(Verdict::Skipped(format!(
            "the target is not installed: rustup target add {WASM}"
        )));
    }
    let mut command = cargo::cargo();
    command.args(["build", "--quiet", "--lib", "--no-default-features", "--target", WASM]);
    for name in WASM_CRATES {
        command.args(["--package", name]);
    }
    judge(&mut command)
}

/// Whether a command succeeds; what it says goes nowhere.
fn quiet(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
