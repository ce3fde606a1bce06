//! `holdfast`, the operator's command line: a thin client of the daemon's control socket, the check of a configuration, and, as
//! `holdfast ipvs` or under the name `ipvsadm`, the kernel's IPVS table.

mod args;
mod check;
mod check_run;
mod doctor;
mod events;
mod failure;
mod import;
mod ipvs;
#[cfg(test)]
mod json_tests;
mod log;
mod nodes;
mod output;
mod reload;
mod render;
mod runtime;
mod server;
mod service;
mod table;
mod times;
mod top;
mod vrrp;
mod whom;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use holdfast_control::Client;

use crate::args::{Arguments, Command, Output};
use crate::failure::Failure;
use crate::ipvs::Manner;
use crate::output::{Answer, to_answer};

fn main() -> ExitCode {
    let mut words = env::args_os();
    if let Some(manner) = words.next().as_deref().and_then(ipvs::called_ipvsadm) {
        return ipvs::run(manner, &words.collect::<Vec<_>>(), Output::Table);
    }
    let arguments = Arguments::parse();
    let output = arguments.output;
    if let Command::Ipvs { words } = &arguments.command {
        return ipvs::run(Manner::Holdfast(arguments.socket), words, output);
    }
    match run(arguments).and_then(|answer| print(&answer, output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Failure::Changes(answer)
            | Failure::Failing(answer)
            | Failure::Unhealthy(answer)
            | Failure::Incomplete { answer, .. } = &failure
                && let Err(failure) = print(answer, output)
            {
                return failure.exit_code();
            }
            if let Some(sentence) = failure.sentence() {
                // Nobody is left to tell when standard error is closed.
                drop(writeln!(io::stderr(), "holdfast: {sentence}"));
            }
            failure.exit_code()
        }
    }
}

fn run(arguments: Arguments) -> Result<Answer, Failure> {
    let client = Client::new(arguments.socket);
    match arguments.command {
        // It was carried out before; its exit codes are ipvsadm's.
        Command::Ipvs { .. } => Err(Failure::Usage("ipvs: nothing to do".to_owned())),
        Command::Check(check) => check::check(&check, arguments.output),
        Command::CheckRun(what) => block_on(check_run::run(&client, &what)),
        Command::Import(what) => import::run(&what, arguments.output),
        Command::Explain { subject } => check::explain(&subject),
        Command::Status => block_on(async { to_answer(&client.status().await?, render::status) }),
        Command::Top(top) => block_on(top::run(&client, &top, arguments.output)),
        Command::Events(events) => block_on(events::run(&client, &events, arguments.output)),
        Command::Doctor(doctor) => block_on(doctor::run(&client, &doctor)),
        Command::Log(verb) => block_on(log::run(&client, verb)),
        Command::Plan(plan) => block_on(reload::plan(&client, &plan, arguments.output)),
        Command::Reload => block_on(reload::reload(&client, arguments.output)),
        Command::Diff(diff) => block_on(runtime::diff(&client, &diff)),
        Command::Export => block_on(runtime::export(&client)),
        Command::Service(verb) => block_on(service::run(&client, verb)),
        Command::Server(verb) => block_on(server::run(&client, verb)),
        Command::Vrrp(verb) => block_on(vrrp::run(&client, verb)),
    }
}

fn block_on(
    conversation: impl Future<Output = Result<Answer, Failure>>,
) -> Result<Answer, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("start the runtime: {error}")))?
        .block_on(conversation)
}

/// Prints the answer at once. A reader that went away early (`| head`) is no failure.
fn print(answer: &Answer, output: Output) -> Result<(), Failure> {
    let text = match output {
        Output::Table => answer.table.clone(),
        // What was printed as it came is not said again.
        Output::Json if answer.json.is_null() => String::new(),
        Output::Json => format!("{:#}\n", answer.json),
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("write the answer: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
