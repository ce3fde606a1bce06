//! The other nodes of the pair: what the status shows of them, and a command that is given to all of them.

use std::fmt::Write as _;
use std::sync::Arc;

use holdfast_control::{
    Change, Client, Difference, NodeReport, NodesReport, PeerNode, RequestError,
};
use tokio::task::JoinSet;

use crate::args;
use crate::failure::Failure;
use crate::output::{Answer, to_answer};
use crate::render;
use crate::server::{self, Unfinished};
use crate::table::{Table, shown};
use crate::times::age;

/// The other nodes, a line each, and what to do where one is not as it should be; nothing where there is none.
pub(crate) fn nodes(nodes: &[PeerNode]) -> String {
    if nodes.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["NODE", "STATE", "SINCE", "SEEN", "VERSION", "ADDRESS"]);
    for node in nodes {
        table.row([
            node.name.clone(),
            node.state.replace('_', " "),
            age(node.since_s),
            node.seen_s_ago.map_or_else(|| "never".to_owned(), |ago| format!("{} ago", age(ago))),
            node.version.clone().unwrap_or_else(|| "-".to_owned()),
            node.address.clone(),
        ]);
    }
    let mut text = format!("\n{}", table.render(0));
    for node in nodes {
        let name = &node.name;
        for Difference { part, names, count } in &node.differs {
            let more = match count.saturating_sub(names.len()) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let (what, todo) = match part.as_str() {
                "runtime_changes" => (
                    "run-time changes",
                    "compare `holdfast diff` of both; say them again with `--all-nodes`",
                ),
                part => (part, "give both the same file, and reload both"),
            };
            let (what, names) = (shown(what), shown(&names.join(", ")));
            let _ = writeln!(text, "! {name} differs in {what} ({names}{more}): {todo}");
        }
        match (node.state.as_str(), &node.error) {
            ("unreachable", Some(error)) => {
                let error = shown(error);
                let _ = writeln!(text, "! {name} can't be asked what it has: {error}");
            }
            ("other_version", _) => {
                let _ = writeln!(
                    text,
                    "! {name} runs another version, and nothing is compared until both run the same"
                );
            }
            _ => {}
        }
    }
    text
}

/// Gives `verb` to this node and all others at once: what became of it on each.
pub(crate) async fn everywhere(client: &Client, verb: args::Server) -> Result<Answer, Failure> {
    let known = client.nodes().await?;
    if known.peers.is_empty() {
        return Err(Failure::Failed(format!(
            "{} knows no other node: `daemon.pair` names none (docs/pair.md); without `--all-nodes` it is done here alone",
            known.node
        )));
    }
    let mut clients = vec![(known.node.clone(), client.clone())];
    for peer in known.peers {
        clients.push((peer.name.clone(), client.through(&peer.name)?));
    }
    let (verb, mut asked) = (Arc::new(verb), JoinSet::new());
    for (place, (node, client)) in clients.into_iter().enumerate() {
        let verb = Arc::clone(&verb);
        asked.spawn(async move { (place, node, server::carry_out(&client, &verb).await) });
    }
    let mut outcomes = Vec::new();
    while let Some(done) = asked.join_next().await {
        outcomes.push(done.map_err(|fault| Failure::Failed(fault.to_string()))?);
    }
    outcomes.sort_by_key(|(place, ..)| *place);
    let outcomes = outcomes.into_iter().map(|(_, node, outcome)| (node, outcome)).collect();
    concluded(outcomes)
}

/// What became of the command on each node, and whether that is all that was to be done.
fn concluded(outcomes: Vec<(String, Result<Change, Unfinished>)>) -> Result<Answer, Failure> {
    let (mut late, mut usage) = (false, None);
    let mut nodes = Vec::new();
    for (node, outcome) in outcomes {
        let report = match outcome {
            Ok(change) => {
                let (changed, change) = (change.changed, Some(change));
                NodeReport { node, applied: true, changed, change, ..NodeReport::default() }
            }
            Err(Unfinished::Waiting { change, why, late: may_come }) => {
                late |= may_come;
                let (changed, error, change) = (change.changed, Some(why), Some(*change));
                NodeReport { node, applied: true, changed, error, change, ..NodeReport::default() }
            }
            Err(Unfinished::NotDone(failed)) => not_done(node, failed, &mut usage),
        };
        nodes.push(report);
    }
    if let Some(usage) = usage {
        return Err(Failure::Usage(usage));
    }
    let complete = nodes.iter().all(|node| node.applied && node.error.is_none());
    let report = NodesReport { complete, nodes };
    let answer = to_answer(&report, table)?;
    if complete {
        return Ok(answer);
    }
    let late = late && report.nodes.iter().all(|node| node.applied);
    Err(Failure::Incomplete { answer, sentence: how_to_finish(&report), late })
}

/// The report of a node on which the command is not known to hold; what makes no sense on any node goes to `usage`.
fn not_done(node: String, failed: Failed, usage: &mut Option<String>) -> NodeReport {
    let (code, why, unknown) = match failed {
        Failed::Refused(code, why) => (code, why, false),
        Failed::Asking(why) => (NODE_UNREACHABLE.to_owned(), why, false),
        Failed::Silent(code, why) => (code, why, true),
        Failed::Usage(why) => {
            usage.get_or_insert(why);
            return NodeReport { node, ..NodeReport::default() };
        }
    };
    let (code, error) = (Some(code), Some(why));
    NodeReport { node, unknown, code, error, ..NodeReport::default() }
}

/// Where it was done and where not, and what to do now.
fn how_to_finish(report: &NodesReport) -> String {
    let names = |of: fn(&NodeReport) -> bool| -> String {
        let found = report.nodes.iter().filter(|node| of(node));
        shown(&found.map(|node| node.node.as_str()).collect::<Vec<_>>().join(", "))
    };
    let done = names(|node| node.applied);
    let open = names(|node| !node.applied && !node.unknown);
    let unknown = names(|node| node.unknown);
    if unknown.is_empty() {
        return match (done.is_empty(), open.is_empty()) {
            (_, true) => {
                "it holds on every node; what was waited for has not come on all of them".to_owned()
            }
            (true, false) => format!("it was done on no node: not on {open}"),
            (false, false) => format!(
                "it was done on {done} and not on {open}: when the reason is gone, say the same again (where it was done nothing changes), or take it back"
            ),
        };
    }
    let mut text = match done.is_empty() {
        true => String::new(),
        false => format!("it was done on {done}; "),
    };
    if !open.is_empty() {
        let _ = write!(text, "it was not done on {open}; ");
    }
    let _ = write!(
        text,
        "whether it was done on {unknown} is not known, because the answer was lost: say the same again (where it was done nothing changes)"
    );
    text
}

fn table(report: &NodesReport) -> String {
    let mut table = Table::new(["NODE", "RESULT", "WHAT"]);
    for node in &report.nodes {
        let result = match (node.applied, node.changed, &node.error) {
            (false, ..) if node.unknown => "UNKNOWN",
            (false, ..) => "NOT DONE",
            (true, _, Some(_)) => "waiting",
            (true, true, None) => "done",
            (true, false, None) => "already so",
        };
        let what = node.change.as_ref().map(|change| {
            let note = change.note.as_ref().map_or_else(String::new, |note| format!("; {note}"));
            render::changed(change) + &note
        });
        let what = node.error.clone().or(what).unwrap_or_default();
        table.row([node.node.clone(), result.to_owned(), what]);
    }
    table.render(0)
}

/// Why a command is not known to have been carried out on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The node refused it: the problem's code, and why.
    Refused(String, String),
    /// It was not asked.
    Asking(String),
    /// It was asked, and its answer was lost: it may have done it. The code of how, and why.
    Silent(String, String),
    /// It makes no sense on any node.
    Usage(String),
}

/// The code of a node that was not asked, and of one whose answer was lost; the daemon that passes requests on has the same.
const NODE_UNREACHABLE: &str = "node_unreachable";
const NODE_SILENT: &str = "node_silent";

/// The code of a daemon that ended before it could tell what became of a command.
pub(crate) const ANSWER_LOST: &str = "answer_lost";

impl From<RequestError> for Failed {
    fn from(error: RequestError) -> Self {
        if let RequestError::Refused(problem) = error {
            return match problem.code.as_str() {
                NODE_SILENT | ANSWER_LOST => Self::Silent(problem.code, problem.detail),
                _ => Self::Refused(problem.code, problem.detail),
            };
        }
        let why = holdfast_control::chain(&error);
        let asked = matches!(
            error,
            RequestError::Timeout(_) | RequestError::Lost(_) | RequestError::Answer(_)
        );
        match asked {
            true => Self::Silent(
                NODE_SILENT.to_owned(),
                format!(
                    "{why}: whether it was done is not known; said again, it changes nothing where it was done"
                ),
            ),
            false => Self::Asking(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(changed: bool) -> Change {
        let (service, server) = ("web".to_owned(), "web1".to_owned());
        Change { changed, service, server, now: None, note: None }
    }

    fn refused(code: &str, why: &str) -> Result<Change, Unfinished> {
        Err(Unfinished::NotDone(Failed::Refused(code.to_owned(), why.to_owned())))
    }

    fn told(outcomes: [Result<Change, Unfinished>; 2]) -> (String, Option<(String, bool)>) {
        let nodes = ["lb1", "lb2"].map(str::to_owned).into_iter().zip(outcomes).collect();
        match concluded(nodes) {
            Ok(answer) => (answer.table, None),
            Err(Failure::Incomplete { answer, sentence, late }) => {
                (answer.table, Some((sentence, late)))
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_report_says_of_each_node_what_became_of_it_and_how_to_finish() {
        let (table, end) = told([Ok(change(true)), Ok(change(false))]);
        assert_eq!(end, None);
        assert!(table.contains("lb1   done        web/web1 removed"), "{table}");
        assert!(table.contains("lb2   already so"), "{table}");
        let (table, end) =
            told([Ok(change(true)), refused("node_unreachable", "connect to lb2: refused")]);
        assert!(table.contains("lb2   NOT DONE  connect to lb2: refused"), "{table}");
        let (sentence, late) = end.unwrap();
        assert!(sentence.starts_with("it was done on lb1 and not on lb2: ") && !late, "{sentence}");
        let nobody = || refused("no_such_service", "no service `web`");
        let (_, end) = told([nobody(), nobody()]);
        assert_eq!(end.unwrap().0, "it was done on no node: not on lb1, lb2");
        let waiting = Err(Unfinished::Waiting {
            change: Box::new(change(true)),
            why: "not up".to_owned(),
            late: true,
        });
        let (table, end) = told([Ok(change(true)), waiting]);
        assert!(table.contains("lb2   waiting  not up"), "{table}");
        assert!(end.unwrap().1, "late, and nothing else");
    }

    /// It writes to this node's terminal.
    #[test]
    fn what_another_node_says_moves_no_cursor() {
        let (table, _) =
            told([refused("bad_server", "no\u{1b}[2J\u{9b}2J\n\r server"), Ok(change(true))]);
        let escaped = "lb1   NOT DONE  no\u{fffd}[2J\u{fffd}2J\u{fffd}\u{fffd} server\n";
        assert!(table.contains(escaped), "{table:?}");
        let difference = Difference {
            part: "services".to_owned(),
            names: vec!["web\u{1b}[1A".to_owned()],
            count: 1,
        };
        let peer = PeerNode {
            name: "lb2".to_owned(),
            state: "unreachable".to_owned(),
            error: Some("gone\u{7}".to_owned()),
            version: Some("1\u{1b}c".to_owned()),
            differs: vec![difference],
            ..PeerNode::default()
        };
        let text = nodes(&[peer]);
        assert!(!text.replace('\n', "").contains(char::is_control), "{text:?}");
    }

    #[test]
    fn a_lost_answer_is_neither_done_nor_not_done() {
        let lost = |code: &str| {
            let (code, why) = (code.to_owned(), "no answer within 8s".to_owned());
            Err(Unfinished::NotDone(Failed::Silent(code, why)))
        };
        let silent = || lost("node_silent");
        let (table, end) = told([Ok(change(true)), silent()]);
        assert!(table.contains("lb2   UNKNOWN  no answer within 8s"), "{table}");
        let (sentence, late) = end.unwrap();
        let expected = "it was done on lb1; whether it was done on lb2 is not known, because the answer was lost: say the same again \
                        (where it was done nothing changes)";
        assert_eq!((sentence.as_str(), late), (expected, false));
        let (table, end) = told([refused("node_unreachable", "refused"), silent()]);
        assert!(table.contains("lb1   NOT DONE  refused"), "{table}");
        let (sentence, _) = end.unwrap();
        assert!(
            sentence.starts_with("it was not done on lb1; whether it was done on lb2"),
            "{sentence}"
        );
        // For programs it has the code of the problem, and is no success and no failure.
        for code in ["node_silent", "answer_lost"] {
            let nodes = vec![("lb1".to_owned(), Ok(change(false))), ("lb2".to_owned(), lost(code))];
            let Err(Failure::Incomplete { answer, .. }) = concluded(nodes) else { panic!() };
            let other = &answer.json["nodes"][1];
            assert_eq!((&other["unknown"], &other["applied"]), (&true.into(), &false.into()));
            assert_eq!(other["code"], code);
            assert!(answer.json["nodes"][0].get("unknown").is_none());
        }
    }

    #[test]
    fn what_comes_of_a_request_decides_whether_anything_is_known() {
        let problem = |code: &str| holdfast_control::Problem {
            code: code.to_owned(),
            detail: "why".to_owned(),
            title: "t".to_owned(),
            status: 504,
            diagnosis: None,
        };
        let failed = |error: RequestError| Failed::from(error);
        assert_eq!(
            failed(RequestError::Refused(problem("node_silent"))),
            Failed::Silent("node_silent".to_owned(), "why".to_owned())
        );
        assert_eq!(
            failed(RequestError::Refused(problem("answer_lost"))),
            Failed::Silent("answer_lost".to_owned(), "why".to_owned()),
            "the daemon of this node, or the one of another, ended meanwhile"
        );
        assert!(matches!(
            failed(RequestError::Refused(problem("unavailable"))),
            Failed::Refused(..)
        ));
        for error in [
            RequestError::Timeout(std::time::Duration::from_secs(10)),
            RequestError::Lost("closed".to_owned()),
        ] {
            let Failed::Silent(code, why) = failed(error) else { panic!("it may have been done") };
            assert_eq!(code, "node_silent");
            assert!(why.contains("whether it was done is not known"), "{why}");
        }
        assert!(matches!(failed(RequestError::Name("..".to_owned())), Failed::Asking(_)));
    }
}
