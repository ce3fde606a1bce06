//! What an answer that is lost is taken for, and that the document of the API is whole.

use std::collections::BTreeSet;

use holdfast_control::openapi::{OPERATIONS, Served};

use super::servers::command;
use super::*;

#[tokio::test]
async fn a_command_whose_answer_is_lost_may_have_been_done_and_one_that_nobody_took_was_not() {
    let words = || Command::Ready {
        service: "web".to_owned(),
        server: "web1".to_owned(),
        why: Why::default(),
    };
    // The director has it, and ends before it answers.
    let (requests, mut taken) = mpsc::channel(1);
    let (said, ()) = tokio::join!(command(&requests, Caller::default(), words()), async {
        assert!(matches!(taken.recv().await, Some(Request::Command { .. })));
    });
    let Err(Refusal(problem)) = said else { panic!("it was answered") };
    assert_eq!((problem.status, problem.code.as_str()), (504, "answer_lost"));
    assert!(problem.detail.contains("it is not known whether this was done"), "{problem:?}");
    // It waits in the queue of a director that is gone.
    let (requests, waiting) = mpsc::channel(1);
    let (said, ()) =
        tokio::join!(role(&requests, "edge".to_owned(), RoleVerb::Failover), async move {
            tokio::task::yield_now().await;
            drop(waiting);
        });
    let Err(Refusal(problem)) = said else { panic!("it was answered") };
    assert_eq!(problem.code, "answer_lost", "whether it was looked at is not known here");
    // There is no director.
    let said = command(&requests, Caller::default(), words()).await;
    let Err(Refusal(problem)) = said else { panic!("it was answered") };
    assert_eq!((problem.status, problem.code.as_str()), (503, "unavailable"));
    let (orders, mut taken) = mpsc::channel(1);
    let (said, ()) = tokio::join!(reload(State(orders)), async { drop(taken.recv().await) });
    let Err(Refusal(problem)) = said else { panic!("it was answered") };
    assert_eq!(problem.code, "answer_lost");
}

/// The paths and methods that the routers of this file have, by their text: axum does not tell.
fn routes(text: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for route in text.split(".route(\"").skip(1) {
        let (path, rest) = route.split_once('"').expect("a path in quotes");
        let path = path.replace("{*", "{");
        let ends = [".merge(", ".with_state", ".fallback", ";"];
        let end = ends.iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
        let methods = rest.get(..end).expect("the handlers");
        for (word, method) in [
            ("get(", "GET"),
            ("post(", "POST"),
            ("delete(", "DELETE"),
            ("put(", "PUT"),
            ("plan.layer", "GET"),
            ("plan.layer", "POST"),
            ("passed_on", "GET"),
            ("passed_on", "POST"),
            ("passed_on", "DELETE"),
        ] {
            if methods.contains(word) {
                found.insert((method.to_owned(), path.clone()));
            }
        }
    }
    found
}

/// A route in another file would be asked of nobody here.
#[test]
fn a_route_that_nobody_has_written_down_is_seen() {
    let code = include_str!("mod.rs");
    let (code, _) = code.split_once("#[cfg(test)]").expect("the code");
    let more = code.replacen(
        ".fallback(",
        ".route(\"/v1/secret/{name}\", get(secret).delete(forget)) .fallback(",
        1,
    );
    let new: Vec<_> = routes(&more).difference(&routes(code)).cloned().collect();
    let path = "/v1/secret/{name}".to_owned();
    assert_eq!(new, [("DELETE".to_owned(), path.clone()), ("GET".to_owned(), path)]);
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the source") {
            let path = entry.expect("the source").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs")
                && !path.ends_with("api/mod.rs")
            {
                let text = std::fs::read_to_string(&path).expect("the source");
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                assert!(!code.contains(".route(\"/"), "{} has routes", path.display());
            }
        }
    }
}

#[test]
fn every_handler_is_in_the_document_and_everything_in_the_document_has_a_handler() {
    let code = include_str!("mod.rs");
    let code = code.split("#[cfg(test)]").next().expect("the code");
    let (control, http) = code.split_once("pub(crate) fn read_only").expect("both routers");
    for (code, elsewhere) in [(control, Served::Http), (http, Served::Control)] {
        let documented: BTreeSet<_> = OPERATIONS
            .iter()
            .filter(|operation| operation.served != elsewhere)
            .map(|operation| (operation.method.to_owned(), operation.path.to_owned()))
            .collect();
        assert_eq!(routes(code), documented);
    }
}
