//! `cargo xtask demo`: the whole path, shown on a real kernel. The demo itself is a program of `integration/`.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use holdfast_testkit::guest::Guest;

use crate::{
    cargo,
    kernel::{Choice, Place},
    setup,
};

/// What `cargo xtask demo` is told.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    kernel: Choice,

    /// Write the events to this file, as JSON lines
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Leave the lab up, and say how to enter it
    #[arg(long)]
    keep: bool,

    /// How long the demo may take in the guest, in seconds
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    timeout: u64,

    /// Further arguments of the demo itself
    #[arg(last = true, value_name = "ARGUMENT")]
    rest: Vec<OsString>,
}

/// Builds and runs the demo; its exit status is ours.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure()?;
    let place = arguments.kernel.decide()?;
    cargo::build(&[
        "build",
        "-p",
        "holdfastd",
        "-p",
        "holdfast",
        "-p",
        "holdfast-integration",
        "--bins",
    ])?;
    let binaries = cargo::debug_folder(&cargo::metadata()?);
    let mut argv = vec![binaries.join("demo").into_os_string()];
    let mut record_folder = None;
    if let Some(file) = &arguments.record {
        let (folder, file) = record_path(file)?;
        argv.extend(["--record".into(), file.into_os_string()]);
        record_folder = Some(folder);
    }
    if arguments.keep {
        argv.push("--keep".into());
    }
    argv.extend(arguments.rest.iter().cloned());
    match place {
        Place::Host => on_host(&argv, &binaries),
        Place::Guest => {
            let mut guest = Guest::new(argv)
                .env("HOLDFAST_BIN_DIR", &binaries)
                .env("HOLDFAST_GUEST", "1")
                .timeout(Duration::from_secs(arguments.timeout));
            if let Some(folder) = record_folder {
                guest = guest.writable(folder);
            }
            in_guest(guest, arguments.keep)
        }
    }
}

/// The record's folder, and its path from anywhere.
fn record_path(file: &Path) -> Result<(PathBuf, PathBuf)> {
    let Some(name) = file.file_name() else {
        bail!("--record {}: that names no file", file.display());
    };
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    };
    let folder = folder
        .canonicalize()
        .with_context(|| format!("--record {}: its folder is not there", file.display()))?;
    let path = folder.join(name);
    Ok((folder, path))
}

fn on_host(argv: &[OsString], binaries: &Path) -> Result<ExitCode> {
    // It dies with us, should we be killed.
    let status = Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "--"])
        .args(argv)
        .env("HOLDFAST_BIN_DIR", binaries)
        .status()
        .context("cannot run the demo")?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}

fn in_guest(guest: Guest, keep: bool) -> Result<ExitCode> {
    let guest = if keep {
        guest.keep(|folder| {
            println!();
            println!("The guest stays up until you press Ctrl-C here. In another terminal:");
            println!("  cargo xtask enter -- COMMAND        (guest {})", folder.display());
        })
    } else {
        guest
    };
    let outcome = guest.run(&mut io::stdout(), &mut io::stderr())?;
    Ok(ExitCode::from(outcome.code()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_s_folder_must_be_there() {
        let folder = std::env::temp_dir().canonicalize().unwrap();
        let (parent, path) = record_path(&folder.join("x.jsonl")).unwrap();
        assert_eq!((parent, path), (folder.clone(), folder.join("x.jsonl")));
        let (parent, _) = record_path(Path::new("x.jsonl")).unwrap();
        assert_eq!(parent, std::env::current_dir().unwrap().canonicalize().unwrap());
        let error = record_path(Path::new("/nowhere/at/all/x")).unwrap_err();
        assert_eq!(error.to_string(), "--record /nowhere/at/all/x: its folder is not there");
        assert!(record_path(Path::new("/")).is_err());
    }
}
