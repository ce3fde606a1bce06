//! `holdfast doctor`: what on this host would keep the daemon from working, whether it runs or not. It changes nothing.

mod fate;
mod kernel;
mod network;
mod process;

use std::path::Path;

use holdfast_config::{Config, Severity};
use holdfast_control::{Client, RequestError, Status, chain};
use serde::Serialize;

use crate::args;
use crate::failure::Failure;
use crate::output::{Answer, to_answer};
use crate::table::Table;

/// So many of a kind have a line.
const NAMED_MAX: usize = 5;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grade {
    /// As it should be.
    Ok,
    /// Worth a look.
    Warn,
    /// It would not work so.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) grade: Grade,
    /// What it is about, in a word.
    pub(crate) area: &'static str,
    /// What was found.
    pub(crate) found: String,
    /// What to do; none where nothing is to be done.
    pub(crate) help: Option<String>,
}

impl Finding {
    fn ok(area: &'static str, found: impl Into<String>) -> Self {
        Self { grade: Grade::Ok, area, found: found.into(), help: None }
    }

    fn warn(area: &'static str, found: impl Into<String>, help: impl Into<String>) -> Self {
        Self { grade: Grade::Warn, area, found: found.into(), help: Some(help.into()) }
    }

    fn fail(area: &'static str, found: impl Into<String>, help: impl Into<String>) -> Self {
        Self { grade: Grade::Fail, area, found: found.into(), help: Some(help.into()) }
    }
}

/// A line for each of the first [`NAMED_MAX`] of `all`, and one for the rest, as bad as they are: `look` shows them.
fn first<T>(
    all: impl IntoIterator<Item = T>,
    line: impl Fn(T) -> Finding,
    look: &str,
) -> Vec<Finding> {
    let mut all = all.into_iter();
    let mut findings: Vec<Finding> = all.by_ref().take(NAMED_MAX).map(line).collect();
    let more = all.count();
    if let Some(last) = findings.last().filter(|_| more > 0) {
        let (grade, area, found) = (last.grade, last.area, format!("and {more} more"));
        findings.push(Finding { grade, area, found, help: Some(look.to_owned()) });
    }
    findings
}

/// The whole report.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Whether nothing keeps the daemon from working.
    healthy: bool,
    findings: Vec<Finding>,
}

/// One of each grade.
#[cfg(test)]
pub(crate) fn example() -> Report {
    let findings = vec![
        Finding::ok("rights", "root"),
        Finding::warn("limits", "1024 descriptors", "`LimitNOFILE=`"),
        Finding::fail("ipvs", "IPVS does not answer", "`modprobe ip_vs`"),
    ];
    Report { healthy: false, findings }
}

/// Looks at everything. Exit 1 where something would not work.
pub(crate) async fn run(client: &Client, doctor: &args::Doctor) -> Result<Answer, Failure> {
    let mut findings = Vec::new();
    let Daemon { running, status } = daemon(client, &mut findings).await;
    let config = configuration(&doctor.file, doctor.node.as_deref(), &mut findings);
    let config = config.as_ref();
    findings.push(process::rights());
    findings.extend(process::others());
    findings.extend(process::limits(config));
    findings.extend(kernel::ipvs(config));
    findings.extend(kernel::firewall(config));
    if let Some(config) = config {
        findings.extend(kernel::sysctls(config));
        findings.extend(network::interfaces(config));
        findings.extend(network::addresses(config, running));
        match &status {
            Some(status) => findings.extend(fate::channels(config, status)),
            None if running => {}
            None => {
                findings.extend(network::ports(config));
                findings.extend(fate::ports(config));
            }
        }
    }
    let healthy = findings.iter().all(|finding| finding.grade != Grade::Fail);
    let answer = to_answer(&Report { healthy, findings }, render)?;
    if healthy { Ok(answer) } else { Err(Failure::Unhealthy(answer)) }
}

/// Whether there is a daemon, and what it says of itself; none where it does not.
struct Daemon {
    running: bool,
    status: Option<Status>,
}

async fn daemon(client: &Client, findings: &mut Vec<Finding>) -> Daemon {
    match client.status().await {
        Ok(status) => {
            let daemon = &status.daemon;
            let text = format!("holdfastd {} runs as node {}", daemon.version, daemon.node);
            findings.push(Finding::ok("daemon", text));
            let errors = status.ipvs.iter().flat_map(|ipvs| &ipvs.errors);
            let line = |error: &String| {
                Finding::fail("daemon", error.clone(), "`holdfast status` and the log say more")
            };
            findings.extend(first(errors, line, "`holdfast status`"));
            if let Some(fault) = status.sync.as_ref().and_then(|sync| sync.fault.as_ref()) {
                let text = format!("connections are not synchronised: {fault}");
                findings.push(Finding::fail("daemon", text, "`holdfast status`"));
            }
            for instance in &status.vrrp {
                if let Some(fault) = &instance.fault {
                    let text = format!("instance {} takes no part: {fault}", instance.name);
                    findings.push(Finding::fail("daemon", text, "`holdfast vrrp status`"));
                }
                let line = |problem: &String| {
                    let text = format!("instance {}: {problem}", instance.name);
                    Finding::warn("vrrp", text, "`holdfast vrrp status`")
                };
                findings.extend(first(&instance.problems, line, "`holdfast vrrp status`"));
            }
            Daemon { running: true, status: Some(status) }
        }
        Err(error @ RequestError::NotRunning { .. }) => {
            let text = format!("no holdfastd answers ({})", chain(&error));
            let help = "start it when nothing below says `fail`";
            findings.push(Finding::warn("daemon", text, help));
            Daemon { running: false, status: None }
        }
        Err(error) => {
            let help = "`journalctl -u holdfastd`, or its log, says more";
            findings.push(Finding::fail("daemon", chain(&error), help));
            Daemon { running: true, status: None }
        }
    }
}

/// The configuration, where it is valid.
fn configuration(file: &Path, node: Option<&str>, findings: &mut Vec<Finding>) -> Option<Config> {
    let path = file.display();
    let outcome = match holdfast_host::check(file, node, false) {
        Ok(outcome) => outcome,
        Err(error) => {
            let help = "name another file: `holdfast doctor FILE`";
            findings.push(Finding::warn("configuration", chain(&error), help));
            return None;
        }
    };
    for found in &outcome.diagnostics {
        let text = found.to_string();
        let help =
            format!("`holdfast check {path}` shows the line; `holdfast explain {}`", found.code);
        findings.push(match found.severity {
            Severity::Error => Finding::fail("configuration", text, help),
            Severity::Warning => Finding::warn("configuration", text, help),
        });
    }
    if let Some(config) = &outcome.config {
        let text = format!("{path} is valid for node {}", config.node);
        findings.push(Finding::ok("configuration", text));
    }
    outcome.config
}

fn render(report: &Report) -> String {
    let mut table = Table::default();
    for Finding { grade, area, found, help } in &report.findings {
        let word = match grade {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Fail => "FAIL",
        };
        let help = help.as_ref().map_or_else(String::new, |help| format!(": {help}"));
        table.row([word.to_owned(), (*area).to_owned(), format!("{found}{help}")]);
    }
    let count = |grade| report.findings.iter().filter(|one| one.grade == grade).count();
    let (warned, failed) = (count(Grade::Warn), count(Grade::Fail));
    format!(
        "{}{}\n",
        table.render(0),
        match (failed, warned) {
            (0, 0) => "nothing keeps the daemon from working".to_owned(),
            (0, _) => format!("nothing keeps the daemon from working; {warned} to look at"),
            (_, _) => format!("{failed} that would not work, {warned} to look at"),
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_of_a_kind_the_rest_is_counted() {
        let line = |number: i32| Finding::warn("vrrp", format!("problem {number}"), "help");
        assert_eq!(first(1..=5, line, "look").len(), 5);
        let findings = first(1..=12, line, "`holdfast status`");
        let last = findings.last().unwrap();
        assert_eq!(findings.len(), 6);
        assert_eq!(*last, Finding::warn("vrrp", "and 7 more", "`holdfast status`"));
        assert_eq!(first(1..1, line, "look"), []);
    }

    #[test]
    fn a_report_is_a_line_each_and_a_sum() {
        let findings = vec![
            Finding::ok("ipvs", "IPVS 1.2.1 answers"),
            Finding::warn("limits", "1024 descriptors", "raise LimitNOFILE="),
            Finding::fail("others", "keepalived runs (process 7)", "stop it"),
        ];
        let text = render(&Report { healthy: false, findings });
        assert_eq!(
            text,
            "ok    ipvs    IPVS 1.2.1 answers\n\
             warn  limits  1024 descriptors: raise LimitNOFILE=\n\
             FAIL  others  keepalived runs (process 7): stop it\n\
             1 that would not work, 1 to look at\n"
        );
    }
}
