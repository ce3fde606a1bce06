//! `holdfast diff` and `holdfast export`: what commands have changed against the configuration's file.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use holdfast_control::{Client, Exported, RuntimeChange, RuntimeChanges};

use crate::args;
use crate::failure::Failure;
use crate::output::{Answer, to_answer};
use crate::table::Table;
use crate::times::{age, utc};

/// What commands have changed. With `--exit-code` it fails by [`Failure::Changes`] where they have.
pub(crate) async fn diff(client: &Client, diff: &args::Diff) -> Result<Answer, Failure> {
    let found = client.changes().await?;
    let answer = to_answer(&found, render_changes)?;
    if diff.exit_code && !found.changes.is_empty() {
        return Err(Failure::Changes(answer));
    }
    Ok(answer)
}

/// A configuration with them. What is not in it goes to standard error: standard output is the file.
pub(crate) async fn export(client: &Client) -> Result<Answer, Failure> {
    let exported = client.export().await?;
    for sentence in &exported.left_out {
        // Nobody is left to tell when it is closed.
        drop(writeln!(io::stderr(), "note: {sentence}"));
    }
    to_answer(&exported, |Exported { text, .. }| text.clone())
}

fn render_changes(found: &RuntimeChanges) -> String {
    let RuntimeChanges { changes, journal_problem } = found;
    let mut table = Table::default();
    for change in changes {
        table.row([
            format!("{} {}/{}", sign(&change.kind), change.service, change.server),
            change.address.clone(),
            what(change),
            by(change),
            utc(change.at),
        ]);
    }
    let mut text = table.render(2);
    if changes.is_empty() {
        text.push_str("nothing differs from the configuration's file\n");
    }
    for change in changes {
        if let Some(why) = &change.dormant {
            let _ = writeln!(text, "! {}/{} does not hold: {why}", change.service, change.server);
        }
    }
    if let Some(problem) = journal_problem {
        let _ = writeln!(text, "! {problem}");
    }
    text
}

fn sign(kind: &str) -> &'static str {
    match kind {
        "added" => "+",
        "removed" => "-",
        _ => "~",
    }
}

/// What was changed: `weight 1 → 5`, `added, weight 1, lease 30s, ends in 12s`.
fn what(change: &RuntimeChange) -> String {
    let mut text = change.kind.clone();
    match (&change.from, &change.to) {
        (Some(from), Some(to)) => drop(write!(text, " {from} → {to}")),
        (None, Some(to)) => drop(write!(text, ", {to}")),
        (Some(_) | None, None) => {}
    }
    if let Some(lease) = change.lease_ms {
        let _ = write!(text, ", lease {}", age(lease / 1000));
    }
    if let Some(left) = change.lease_ends_in_s {
        let _ = write!(text, ", ends in {}", age(left));
    }
    if change.ephemeral {
        text.push_str(" (ephemeral)");
    }
    text
}

/// Who did it, and why: `by alice "kernel upgrade"`.
fn by(change: &RuntimeChange) -> String {
    let mut text = change.who.as_ref().map_or_else(String::new, |who| format!("by {who}"));
    if let Some(reason) = &change.reason {
        let space = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{space}{reason:?}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_line_with_who_why_and_when() {
        let change = |server: &str, kind: &str| RuntimeChange {
            service: "web".to_owned(),
            server: server.to_owned(),
            address: "10.0.0.11:80".to_owned(),
            kind: kind.to_owned(),
            who: Some("alice".to_owned()),
            at: 1_700_000_000,
            ..RuntimeChange::default()
        };
        let to = |text: &str| Some(text.to_owned());
        let found = RuntimeChanges {
            changes: vec![
                RuntimeChange { from: to("1"), to: to("50% of 4"), ..change("web1", "weight") },
                RuntimeChange {
                    reason: to("kernel upgrade"),
                    ephemeral: true,
                    ..change("web1", "drain")
                },
                RuntimeChange {
                    to: to("weight 1"),
                    lease_ms: Some(30_000),
                    lease_ends_in_s: Some(12),
                    who: None,
                    ..change("web3", "added")
                },
                RuntimeChange { dormant: to("no service `web`"), ..change("web2", "removed") },
            ],
            journal_problem: None,
        };
        assert_eq!(
            render_changes(&found),
            "  ~ web/web1  10.0.0.11:80  weight 1 → 50% of 4                      by alice                   2023-11-14T22:13:20Z
  ~ web/web1  10.0.0.11:80  drain (ephemeral)                        by alice \"kernel upgrade\"  2023-11-14T22:13:20Z
  + web/web3  10.0.0.11:80  added, weight 1, lease 30s, ends in 12s                             2023-11-14T22:13:20Z
  - web/web2  10.0.0.11:80  removed                                  by alice                   2023-11-14T22:13:20Z
! web/web2 does not hold: no service `web`
"
        );
        let nothing = render_changes(&RuntimeChanges::default());
        assert_eq!(nothing, "nothing differs from the configuration's file\n");
    }
}
