//! `cargo xtask guest`: any command under a kernel that has IPVS.

use std::{ffi::OsString, io, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use holdfast_testkit::guest::{self, Guest, Kernel, Outcome};

use crate::stock;

/// What `cargo xtask guest` is told.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Which kernel: `user-mode` boots in seconds; `stock` is Debian's own, in qemu, with nftables, and slow
    #[arg(long, default_value_t, value_name = "KERNEL")]
    kernel: Kernel,

    /// How long the command may run, in seconds; then it is killed and the exit status is 124
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    timeout: u64,

    /// The guest's memory, in MiB
    #[arg(long, default_value_t = 1024, value_name = "MIB", value_parser = clap::value_parser!(u32).range(64..))]
    mem: u32,

    /// Set a variable in the command's environment (NAME=VALUE), or pass the caller's on (NAME)
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,

    /// A folder that the command may write to; everything else that it writes is gone afterwards
    #[arg(long, value_name = "FOLDER")]
    writable: Vec<PathBuf>,

    /// The command
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<OsString>,
}

/// Runs the command; its exit status is ours.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.kernel == Kernel::Stock {
        stock::ensure()?;
    }
    let mut guest = Guest::new(arguments.command.iter().cloned())
        .kernel(arguments.kernel)
        .timeout(Duration::from_secs(arguments.timeout))
        .memory(arguments.mem);
    for folder in &arguments.writable {
        guest = guest.writable(folder);
    }
    for variable in &arguments.env {
        guest = match variable.split_once('=') {
            Some((name, value)) => guest.env(name, value),
            None => {
                let value = std::env::var_os(variable)
                    .with_context(|| format!("--env {variable}: no such variable is set here"))?;
                guest.env(variable, value)
            }
        };
    }
    let outcome = guest.run(&mut io::stdout(), &mut io::stderr())?;
    if outcome == Outcome::TimedOut {
        eprintln!("xtask: the command was killed: it ran for more than {} s", arguments.timeout);
    }
    Ok(ExitCode::from(outcome.code()))
}

/// What `cargo xtask enter` is told.
#[derive(Debug, Args)]
pub(crate) struct EnterArguments {
    /// The command
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<OsString>,
}

/// Runs a command in the guest that was left up; its exit status is ours.
pub(crate) fn enter(arguments: &EnterArguments) -> Result<ExitCode> {
    let status = guest::enter(&arguments.command, None, &mut io::stdout(), &mut io::stderr())?;
    Ok(ExitCode::from(status))
}
