//! `holdfast plan` and `holdfast reload`: what another configuration changes, before and after.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use holdfast_config::MAX_BYTES;
use holdfast_control::reload::{Change, Drift, Plan, Reloaded};
use holdfast_control::{Client, Problem, RequestError, chain};

use crate::args::{self, Output};
use crate::failure::Failure;
use crate::output::{Answer, to_answer};
use crate::table::Table;

/// What a reload would change. With `--exit-code` it fails by [`Failure::Changes`] where it would.
pub(crate) async fn plan(
    client: &Client,
    plan: &args::Plan,
    output: Output,
) -> Result<Answer, Failure> {
    let text = plan.file.as_deref().map(read).transpose()?;
    let found = client.plan(text).await.map_err(|error| refusal(error, output))?;
    warn(&found.warnings);
    let answer = to_answer(&found, render_plan)?;
    if plan.exit_code && !(found.changes.is_empty() && found.drift.is_empty()) {
        return Err(Failure::Changes(answer));
    }
    Ok(answer)
}

/// Has the daemon read its file again.
pub(crate) async fn reload(client: &Client, output: Output) -> Result<Answer, Failure> {
    let reloaded = client.reload().await.map_err(|error| refusal(error, output))?;
    warn(&reloaded.warnings);
    to_answer(&reloaded, render_reloaded)
}

/// The file's text, of no more bytes than a configuration may have.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| {
        Failure::Failed(format!("read the configuration {}: {}", path.display(), chain(&error)))
    };
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = Vec::new();
    if path == Path::new("-") {
        io::Read::read_to_end(&mut io::Read::take(io::stdin(), limit), &mut text)
            .map_err(failed)?;
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        io::Read::read_to_end(&mut io::Read::take(file, limit), &mut text).map_err(failed)?;
    }
    if text.len() > MAX_BYTES {
        let path = path.display();
        let sentence = format!("the configuration {path} has more than {MAX_BYTES} bytes");
        return Err(Failure::Failed(sentence));
    }
    Ok(text)
}

/// An invalid configuration is printed like a compiler's report, or as JSON.
fn refusal(error: RequestError, output: Output) -> Failure {
    let RequestError::Refused(Problem { diagnosis: Some(diagnosis), .. }) = error else {
        return error.into();
    };
    match output {
        // Nobody is left to tell when it is closed, here and below.
        Output::Table => drop(io::stderr().write_all(diagnosis.report.as_bytes())),
        Output::Json => {
            let diagnostics = diagnosis.diagnostics;
            let json = serde_json::json!({ "valid": false, "diagnostics": diagnostics });
            drop(writeln!(io::stdout(), "{json:#}"));
        }
    }
    Failure::InvalidConfiguration
}

fn warn(warnings: &str) {
    drop(io::stderr().write_all(warnings.as_bytes()));
}

fn render_plan(plan: &Plan) -> String {
    let Plan { changes, drift, problems, needs_restart, .. } = plan;
    let mut text = lines(changes, drift, Tense::Will);
    for problem in problems {
        let _ = writeln!(text, "! {problem}");
    }
    if changes.is_empty() && drift.is_empty() {
        text.push_str(match problems.is_empty() {
            true => "nothing to change, and the kernel's table is as it should be\n",
            false => "nothing to change, but the kernel's table is not as it should be\n",
        });
        return text;
    }
    let count = |sign: &str| changes.iter().filter(|change| change.sign == sign).count();
    let _ = writeln!(
        text,
        "{} to change, {} to add, {} to remove, {} drifted",
        count("change"),
        count("add"),
        count("remove"),
        drift.len()
    );
    if *needs_restart {
        text.push_str("! a reload would be refused: what says `restart needed` can't be changed while the daemon runs\n");
    }
    text
}

fn render_reloaded(reloaded: &Reloaded) -> String {
    let Reloaded { changes, generation, took_ms, .. } = reloaded;
    let mut text = lines(changes, &[], Tense::Did);
    let what = match changes.len() {
        0 => "nothing differs".to_owned(),
        1 => "1 change".to_owned(),
        number => format!("{number} changes"),
    };
    let _ = writeln!(text, "reloaded in {took_ms} ms: {what}, generation {generation}");
    text
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tense {
    Will,
    Did,
}

fn lines(changes: &[Change], drift: &[Drift], tense: Tense) -> String {
    let mut table = Table::default();
    for change in changes {
        let sign = match change.sign.as_str() {
            "add" => "+",
            "remove" => "-",
            _ => "~",
        };
        let key = change.key.as_deref().map_or_else(String::new, |key| format!("{key} "));
        let note = change.note.as_deref().map_or_else(String::new, |note| format!(" ({note})"));
        table.row([
            format!("{sign} {}", change.kind),
            change.name.clone(),
            format!("{key}{}", change.text),
            format!("impact: {}{note}", impact(change, tense)),
        ]);
    }
    for one in drift {
        let to = one.destination.as_deref().map_or_else(String::new, |to| format!(" {to}"));
        table.row([
            "= drift".to_owned(),
            "ipvs".to_owned(),
            format!("{}{to} {}", one.service, one.text),
            "changed by others, is repaired".to_owned(),
        ]);
    }
    table.render(2)
}

fn impact(change: &Change, tense: Tense) -> String {
    match (change.impact.as_str(), change.connections) {
        ("new_connections", _) => "new connections only".to_owned(),
        // `ipvs.foreign: remove`: others' services don't drain.
        ("connections", _) if change.kind == "ipvs" => {
            "cuts connections of services that are not ours".to_owned()
        }
        ("connections", None) => "drains".to_owned(),
        ("connections", Some(1)) => "drains 1 connection".to_owned(),
        ("connections", Some(number)) => format!("drains {number} connections"),
        ("peer_must_match", _) => "peer must match: the other nodes need it too".to_owned(),
        ("transition", _) if tense == Tense::Will => "VRRP transition possible".to_owned(),
        ("transition", _) => "VRRP transition".to_owned(),
        ("restart", _) => "restart needed".to_owned(),
        (other, _) => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_others_that_are_to_be_removed_do_not_drain() {
        let foreign = Change {
            sign: "change".to_owned(),
            kind: "ipvs".to_owned(),
            key: Some("foreign".to_owned()),
            text: "keep → remove".to_owned(),
            impact: "connections".to_owned(),
            ..Change::default()
        };
        let plan = render_plan(&Plan { changes: vec![foreign], ..Plan::default() });
        assert!(plan.contains("impact: cuts connections of services that are not ours"), "{plan}");
        assert!(!plan.contains("drains"), "{plan}");
    }

    #[test]
    fn a_plan_does_not_call_a_table_right_that_the_kernel_refuses() {
        let problems = vec!["service odd: the kernel has no scheduler `twos`".to_owned()];
        assert_eq!(
            render_plan(&Plan { problems, ..Plan::default() }),
            "! service odd: the kernel has no scheduler `twos`\nnothing to change, but the kernel's table is not as it should be\n"
        );
        let fine = render_plan(&Plan::default());
        assert_eq!(fine, "nothing to change, and the kernel's table is as it should be\n");
    }

    #[test]
    fn a_plan_is_a_line_for_each_change_and_a_sum() {
        let change = |sign: &str, kind: &str, name: &str, key: Option<&str>, text: &str| Change {
            sign: sign.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            key: key.map(str::to_owned),
            text: text.to_owned(),
            impact: "none".to_owned(),
            ..Change::default()
        };
        let plan = Plan {
            changes: vec![
                Change {
                    impact: "new_connections".to_owned(),
                    ..change("change", "service", "web", Some("scheduler"), "wlc → mh")
                },
                change("add", "server", "web/web4", None, "10.0.0.14:80 weight 1"),
                Change {
                    impact: "connections".to_owned(),
                    connections: Some(3),
                    note: Some("a command has removed it already".to_owned()),
                    ..change("remove", "server", "web/web3", None, "10.0.0.13:80 weight 1")
                },
            ],
            drift: vec![Drift {
                service: "tcp 192.0.2.10:80".to_owned(),
                destination: Some("10.0.0.11:80".to_owned()),
                text: "weight 50, should be 100".to_owned(),
                kind: "weight".into(),
            }],
            ..Plan::default()
        };
        assert_eq!(
            render_plan(&plan),
            "  ~ service  web       scheduler wlc → mh                                       impact: new connections only
  + server   web/web4  10.0.0.14:80 weight 1                                    impact: none
  - server   web/web3  10.0.0.13:80 weight 1                                    impact: drains 3 connections (a command has removed it already)
  = drift    ipvs      tcp 192.0.2.10:80 10.0.0.11:80 weight 50, should be 100  changed by others, is repaired
1 to change, 1 to add, 1 to remove, 1 drifted
"
        );
    }
}
