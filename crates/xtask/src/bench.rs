//! `cargo xtask bench`: builds the programs and the measuring program for release, and runs the latter on this machine.
//!
//! VRRP needs no IPVS and is never measured in the guest: its one processor and its slow system calls would be what is measured. IPVS and
//! the health checks are measured there, beside others, because few machines have a kernel with it; the measuring program boots the guests.

use std::{
    ffi::OsString,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::{cargo, stock};

/// What can be measured.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Bench {
    /// This daemon and keepalived side by side: failover, cost, memory; `-- --help` says what can be chosen
    #[command(disable_help_flag = true)]
    Vrrp {
        /// Options for the measuring program: `--rows failover,scale --runs 10 --quick --soak 10m --json FILE`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
        options: Vec<OsString>,
    },
    /// This daemon and `holdfast ipvs` beside keepalived and ipvsadm: start, reload, restart, repair, memory; `-- --help` says what can be chosen
    #[command(disable_help_flag = true)]
    Ipvs {
        /// Options for the measuring program: `--rows cold,restart --runs 5 --kernel stock --json FILE`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
        options: Vec<OsString>,
    },
    /// This daemon's health checks beside keepalived's: processor time, punctuality, withdrawal, memory; `-- --help` says what can be chosen
    #[command(disable_help_flag = true)]
    Checks {
        /// Options for the measuring program: `--rows tcp1000,http1000 --runs 5 --json FILE`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
        options: Vec<OsString>,
    },
}

/// Builds and measures; the measuring program's exit status is ours.
pub(crate) fn run(bench: &Bench) -> Result<ExitCode> {
    let (row, options) = match bench {
        Bench::Vrrp { options } => ("vrrp", options),
        Bench::Ipvs { options } => ("ipvs", options),
        Bench::Checks { options } => ("checks", options),
    };
    if row == "vrrp" && !nix::unistd::geteuid().is_root() {
        bail!("network namespaces need root: run it as root");
    }
    // An option of the measuring program, which can't fetch it.
    if options.iter().any(|option| option == "stock" || option == "--kernel=stock") {
        stock::ensure()?;
    }
    // Apart from each other, so that the daemon is built with its own features alone.
    cargo::build(&["build", "--release", "-p", "holdfastd", "-p", "holdfast"])?;
    cargo::build(&["build", "--release", "-p", "holdfast-integration", "--bin", "bench"])?;
    let folder = cargo::metadata()?.target_directory.join("release").into_std_path_buf();
    // It dies with us, should we be killed, and takes its labs along.
    let status = Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "--"])
        .arg(folder.join("bench"))
        .arg(row)
        .args(options)
        .status()
        .context("cannot run the measuring program")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
