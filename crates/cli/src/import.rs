//! `holdfast import`: a keepalived.conf to a configuration, and a report of every statement.

mod library;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use holdfast_import::{Import, Line, Options, Outcome, Problem, import};

use crate::args::Import as Arguments;
use crate::args::Output;
use crate::failure::Failure;
use crate::output::Answer;
use crate::table::shown;

/// Converts the file. Its problems are printed here; without any, the answer is the configuration, and the report goes to standard error
/// (with `--write`, to standard output).
pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<Answer, Failure> {
    let id = arguments.id.clone().unwrap_or_else(holdfast_host::short_host_name);
    let name = arguments.file.to_string_lossy();
    let found = import(&name, &library::Disk, &Options { id });
    let json = serde_json::json!({
        "configuration": found.configuration,
        "statements": tally(&found.report),
        "report": found.report,
        "problems": found.problems,
    });
    let Some(configuration) = found.configuration.as_deref() else {
        match output {
            Output::Table => tell(&problems(&found.problems)),
            // A reader that went away has seen enough.
            Output::Json => drop(writeln!(io::stdout(), "{json:#}")),
        }
        return Err(Failure::InvalidConfiguration);
    };
    let report = report(&found);
    let table = match &arguments.write {
        None => {
            if output == Output::Table {
                tell(&report);
            }
            configuration.to_owned()
        }
        Some(path) => {
            // A password may be in it, and what is there already is somebody's work.
            let written = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .and_then(|mut file| file.write_all(configuration.as_bytes()));
            written
                .map_err(|error| Failure::Failed(format!("write {}: {error}", path.display())))?;
            report
        }
    };
    Ok(Answer { table, json })
}

/// Nobody is left to tell when standard error is closed.
fn tell(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}

/// How many statements have which outcome.
fn tally(report: &[Line]) -> BTreeMap<&'static str, usize> {
    let all = [Outcome::Exact, Outcome::Different, Outcome::NotConverted, Outcome::Wrong];
    let count = |outcome| report.iter().filter(|line| line.outcome == outcome).count();
    let tally = all.map(|outcome| (key(outcome), count(outcome)));
    tally.into_iter().chain([("all", report.len())]).collect()
}

const fn key(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Exact => "exact",
        Outcome::Different => "different",
        Outcome::NotConverted => "not_converted",
        Outcome::Wrong => "wrong",
    }
}

/// The report for people: a line for each statement, its notes below it, and the sums.
pub(crate) fn report(import: &Import) -> String {
    let mut text = String::new();
    for Line { file, line, statement, outcome, notes } in &import.report {
        let statement = shown(statement);
        let _infallible = writeln!(text, "{file}:{line}: {}: {statement}", outcome.words());
        for note in notes {
            let _infallible = writeln!(text, "    {}", shown(note));
        }
    }
    let tally = tally(&import.report);
    let of = |key| tally.get(key).copied().unwrap_or_default();
    let _infallible = writeln!(
        text,
        "{} statements: {} exact, {} different, {} not converted",
        of("all"),
        of("exact"),
        of("different"),
        of("not_converted"),
    );
    text
}

/// The problems for people.
pub(crate) fn problems(problems: &[Problem]) -> String {
    let mut text = String::new();
    for Problem { file, line, column, message, help } in problems {
        let _infallible = writeln!(text, "{file}:{line}:{column}: error: {}", shown(message));
        if !help.is_empty() {
            let _infallible = writeln!(text, "    help: {}", shown(help));
        }
    }
    let count = problems.len();
    let s = if count == 1 { "" } else { "s" };
    let _infallible = writeln!(text, "{count} problem{s}; nothing was converted");
    text
}
