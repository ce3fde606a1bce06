//! The project's own tasks: `cargo xtask demo`, `test`, `check` and what they stand on. No other tool is assumed but Rust,
//! git and Debian 12; [`setup`] installs the rest.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its terminal")]

mod bench;
mod cargo;
mod check;
mod demo;
mod guest;
mod job;
mod kernel;
mod layers;
mod libtest;
mod rfc;
mod setup;
mod stock;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what is needed, build, and show the whole path on a real kernel
    Demo(demo::Arguments),
    /// Install what is needed, build, and run every test
    Test(test::Arguments),
    /// Measure this daemon and keepalived side by side, on this machine's kernel
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Formatting, lints, documentation, layers, dependencies
    Check,
    /// Run a command in a guest whose kernel has IPVS
    Guest(guest::Arguments),
    /// Run a command in the guest that `demo --keep` left up
    Enter(guest::EnterArguments),
    /// Remove the labs that `demo --keep` left in this machine's own kernel
    Sweep,
    /// Install Debian's packages that are missing, and fetch the stock kernel
    Setup,
    /// Check which crate depends on which
    Layers,
    /// Check that every requirement of RFC 9568 has its tests
    Rfc,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Test(arguments) => test::run(&arguments),
        Task::Bench(bench) => bench::run(&bench),
        Task::Check => check::run(),
        Task::Guest(arguments) => guest::run(&arguments),
        Task::Enter(arguments) => guest::enter(&arguments),
        Task::Sweep => {
            println!("{} removed", holdfast_testkit::lab::remove_kept());
            Ok(ExitCode::SUCCESS)
        }
        Task::Setup => setup::run(),
        Task::Layers => layers::run(),
        Task::Rfc => rfc::run(),
    };
    result.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
