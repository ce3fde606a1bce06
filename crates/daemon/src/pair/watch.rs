//! Asks the other nodes, one after the interval at a time, whether they have the same, and says when that becomes another thing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use holdfast_control::{Difference, Fingerprint, Problem};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::fingerprint::differences;
use super::link::Link;
use super::nodes::{Nodes, State};
use super::talk::{self, Question, Unanswered};
use crate::api::{Requests, own_fingerprint};
use crate::events::{Events, News};

/// A change that comes to both nodes is seen on one of them first: what differs is looked at again after so long before it counts.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Watches all other nodes, each in a task of its own, until this is dropped.
pub(super) async fn watch(link: Arc<Link>, nodes: Nodes, requests: Requests, events: Events) {
    let mut watching = JoinSet::new();
    for (name, address) in link.peers.clone() {
        let (link, nodes) = (Arc::clone(&link), nodes.clone());
        let (requests, events) = (requests.clone(), events.clone());
        watching.spawn(async move {
            loop {
                let (state, version) = look(&link, &name, address, &nodes, &requests).await;
                if let Some(before) = nodes.saw(&name, state.clone(), version) {
                    tell(&name, &before, &state, &events);
                }
                sleep(link.interval).await;
            }
        });
    }
    while watching.join_next().await.is_some() {}
}

/// How a node stands now, and its version where it answered.
async fn look(
    link: &Link,
    name: &str,
    address: SocketAddr,
    nodes: &Nodes,
    requests: &Requests,
) -> (State, Option<String>) {
    let compared = compare(link, name, address, requests, false).await;
    let (differs, version) = match compared {
        Ok((State::Differs(_), version)) => {
            (!matches!(nodes.state(name), Some(State::Differs(_))), version)
        }
        Ok((state, version)) => return (state, Some(version)),
        Err(why) => return (State::Unreachable(why), None),
    };
    if differs {
        sleep(SECOND_LOOK).await;
    }
    match compare(link, name, address, requests, true).await {
        Ok((state, version)) => (state, Some(version)),
        Err(why) => (State::Unreachable(why), Some(version)),
    }
}

/// Compares the fingerprints, with the names of what differs where `names` says so.
async fn compare(
    link: &Link,
    name: &str,
    address: SocketAddr,
    requests: &Requests,
    names: bool,
) -> Result<(State, String), String> {
    let path = if names { "/v1/fingerprint?names=true" } else { "/v1/fingerprint" };
    let reply =
        talk::ask(link, name, address, Question::get(path)).await.map_err(Unanswered::why)?;
    let other = decode(reply.status, &reply.body)
        .map_err(|why| format!("ask {name} ({address}) for its fingerprint: {why}"))?;
    let own = own_fingerprint(requests, names).await.map_err(|refused| refused.detail)?;
    let version = other.version.clone();
    if own.version != version {
        return Ok((State::OtherVersion, version));
    }
    let found = differences(&own, &other);
    let state = if found.is_empty() { State::Equal } else { State::Differs(found) };
    Ok((state, version))
}

fn decode(status: StatusCode, body: &Bytes) -> Result<Fingerprint, String> {
    if !status.is_success() {
        return Err(match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => printable(&problem.detail, SENTENCE_MAX),
            Err(_) => format!("it answered {status}"),
        });
    }
    let mut said: Fingerprint = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    said.version = printable(&said.version, NAME_MAX);
    for objects in said.objects.values_mut() {
        objects.retain(|name, _| *name == printable(name, NAME_MAX));
    }
    Ok(said)
}

/// So many characters of a name, and of a sentence, are believed to another node: more, and what is no text, is kept from the log, the
/// status and whoever's terminal shows them.
const NAME_MAX: usize = 256;
const SENTENCE_MAX: usize = 500;

fn printable(text: &str, most: usize) -> String {
    text.chars()
        .take(most)
        .map(|one| if one.is_control() { char::REPLACEMENT_CHARACTER } else { one })
        .collect()
}

/// Says in the log and the events that a node stands otherwise.
fn tell(name: &str, before: &State, now: &State, events: &Events) {
    let (kind, text) = match now {
        State::Starting => return,
        State::Equal if *before == State::Starting => {
            tracing::info!(node = name, "the other node has the same configuration");
            return;
        }
        State::Equal => ("config.peer_equal", "has the same as this node again".to_owned()),
        State::Differs(differs) => ("config.peer_differs", format!("differs: {}", told(differs))),
        State::OtherVersion => {
            ("config.peer_version", "runs another version: nothing is compared".to_owned())
        }
        // Another reason is no other state.
        State::Unreachable(_) if matches!(before, State::Unreachable(_)) => return,
        State::Unreachable(why) => ("config.peer_unreachable", why.clone()),
    };
    match now {
        State::Equal | State::Starting => tracing::info!(node = name, "{text}"),
        State::Differs(_) | State::OtherVersion | State::Unreachable(_) => {
            tracing::warn!(node = name, why = text, "the pair is not as it should be");
        }
    }
    events.tell(News { kind: kind.to_owned(), subject: name.to_owned(), text, ..News::default() });
}

/// `services (dns, web), vrrp (edge)`.
fn told(differs: &[Difference]) -> String {
    let each = differs.iter().map(|Difference { part, names, count }| {
        let more = count.saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{} ({}{more})", part.replace('_', " "), names.join(", "))
    });
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_node_says_is_cut_and_has_no_control_characters() {
        let escape = "\u{1b}]0;x";
        let said = serde_json::json!({
            "node": "lb2", "version": escape, "generation": 1, "parts": {},
            "objects": {"services": {"web": "1", escape: "2", "n".repeat(300): "3"}},
        });
        let said = decode(StatusCode::OK, &Bytes::from(said.to_string())).unwrap();
        assert_eq!(said.version, "\u{fffd}]0;x");
        let names: Vec<_> = said.objects.get("services").unwrap().keys().collect();
        assert_eq!(names, ["web"]);
        let detail = "x".repeat(10_000);
        let problem = serde_json::json!({"title": "no", "status": 403, "code": "forbidden", "detail": detail});
        let why = decode(StatusCode::FORBIDDEN, &Bytes::from(problem.to_string())).unwrap_err();
        assert_eq!(why.len(), SENTENCE_MAX);
    }
}
