//! What the fuzz target does with any bytes: they are a keepalived.conf that may include itself and an empty file. Converting it never panics;
//! every statement has its line in the report; a configuration and a problem exclude each other, and a configuration is one that
//! Holdfast takes.
//!
//! `crates/import/tests/corpus.rs` includes this file and replays the committed corpus with the stable toolchain.

use holdfast_import::{Library, MAX_STATEMENTS, Options, Outcome, import};

struct One<'a>(&'a [u8]);

impl Library for One<'_> {
    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        Ok(if name == "keepalived.conf" { self.0.to_vec() } else { Vec::new() })
    }

    fn matching(&self, _: &str, pattern: &str) -> Result<Vec<String>, String> {
        match pattern {
            "missing" => Err("no such file".to_owned()),
            "*" => Ok(vec!["empty.conf".to_owned(), "keepalived.conf".to_owned()]),
            other => Ok(vec![other.to_owned()]),
        }
    }
}

/// Converts the bytes.
pub fn convert(bytes: &[u8]) {
    let found = import("keepalived.conf", &One(bytes), &Options { id: "lb1".to_owned() });
    assert_eq!(found.configuration.is_some(), found.problems.is_empty(), "{:?}", found.problems);
    // A line is a statement, or several where braces divide it.
    assert!(found.report.len() <= MAX_STATEMENTS + bytes.len());
    for line in &found.report {
        assert!(line.outcome != Outcome::NotConverted || !line.notes.is_empty(), "{line:?}");
        assert!(
            !line.notes.iter().any(|note| note == "nothing looked at this statement"),
            "{line:?}"
        );
        assert!(line.outcome != Outcome::Wrong || !found.problems.is_empty(), "{line:?}");
    }
    for problem in &found.problems {
        assert!(problem.line >= 1 && problem.column >= 1, "{problem:?}");
    }
}
