//! `cargo xtask rfc`: whether the ledger `docs/rfc9568.md` is whole. A requirement that is obeyed names the files that do it, a test
//! for it and a test against its breach; one that is not says why. Every named file and test has to exist.
//!
//! It does not judge whether a test shows what its row claims: that is for whoever reads the row.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};

use crate::cargo;

/// The ledger, from the workspace's root.
const LEDGER: &str = "docs/rfc9568.md";

/// The columns of every table in the ledger that begins with the first of them.
const COLUMNS: [&str; 6] = ["id", "erratum", "requirement", "where", "tests for", "tests against"];

/// What stands where a requirement that is not obeyed would name its files; the reason follows.
const NOT_APPLICABLE: &str = "not applicable:";
const OPEN: &str = "open:";

/// How a requirement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Obeyed,
    NotApplicable,
    Open,
}

/// A row of the ledger.
#[derive(Debug)]
struct Row {
    line: usize,
    id: String,
    requirement: String,
    place: String,
    tests_for: Vec<String>,
    tests_against: Vec<String>,
}

impl Row {
    /// How it stands, and the reason where it needs one.
    fn standing(&self) -> (Standing, &str) {
        if let Some(reason) = self.place.strip_prefix(NOT_APPLICABLE) {
            (Standing::NotApplicable, reason.trim())
        } else if let Some(reason) = self.place.strip_prefix(OPEN) {
            (Standing::Open, reason.trim())
        } else {
            (Standing::Obeyed, "")
        }
    }
}

/// `cargo xtask rfc`.
pub(crate) fn run() -> Result<ExitCode> {
    let (rows, problems) = examine()?;
    for problem in &problems {
        println!("{problem}");
    }
    let count = |wanted| rows.iter().filter(|row| row.standing().0 == wanted).count();
    println!(
        "{LEDGER}: {} requirements: {} obeyed, {} not applicable, {} open; {} problems",
        rows.len(),
        count(Standing::Obeyed),
        count(Standing::NotApplicable),
        count(Standing::Open),
        problems.len()
    );
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is wrong with the ledger, one line each.
pub(crate) fn problems() -> Result<Vec<String>> {
    Ok(examine()?.1)
}

fn examine() -> Result<(Vec<Row>, Vec<String>)> {
    let root = cargo::root();
    let path = root.join(LEDGER);
    let ledger =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let rows = rows(&ledger)?;
    let tests = tests_below(&root)?;
    let problems = judge(&rows, &tests, |file| root.join(file).is_file());
    Ok((rows, problems))
}

/// The rows of the ledger's tables, in order.
///
/// # Errors
/// A table has other columns than the ledger's, or a row has more or fewer cells.
fn rows(ledger: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut inside = false;
    for (number, line) in ledger.lines().enumerate() {
        let line_number = number + 1;
        let Some(cells) = cells(line) else {
            inside = false;
            continue;
        };
        if !inside {
            inside = cells.first() == COLUMNS.first();
            if inside && cells != COLUMNS {
                bail!("{LEDGER}:{line_number}: the columns are {}", COLUMNS.join(", "));
            }
            continue;
        }
        let &[id, _erratum, requirement, place, tests_for, tests_against] = cells.as_slice() else {
            bail!("{LEDGER}:{line_number}: {} cells instead of {}", cells.len(), COLUMNS.len());
        };
        if id.starts_with('-') {
            continue;
        }
        rows.push(Row {
            line: line_number,
            id: id.to_owned(),
            requirement: requirement.to_owned(),
            place: place.to_owned(),
            tests_for: quoted(tests_for),
            tests_against: quoted(tests_against),
        });
    }
    Ok(rows)
}

/// The cells of a line of a table; none when it is no such line.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

/// What stands between backquotes.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn judge(rows: &[Row], tests: &BTreeSet<String>, is_file: impl Fn(&str) -> bool) -> Vec<String> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    if rows.is_empty() {
        problems.push(format!("{LEDGER} has no row"));
    }
    for row in rows {
        let mut say = |what: String| {
            problems.push(format!("{LEDGER}:{}: {}: {what}", row.line, row.id));
        };
        if !is_id(&row.id) {
            say("an id is a section and a number: 5.1.1.3-1".to_owned());
        }
        if !seen.insert(row.id.as_str()) {
            say("the id is there twice".to_owned());
        }
        if row.requirement.is_empty() {
            say("says nothing".to_owned());
        }
        let (standing, reason) = row.standing();
        if standing == Standing::Obeyed {
            let files = quoted(&row.place);
            if files.is_empty() {
                say(format!("names no file, and is neither `{NOT_APPLICABLE}` nor `{OPEN}`"));
            }
            for file in files.iter().filter(|file| !is_file(file)) {
                say(format!("there is no file {file}"));
            }
            for (kind, named) in [("for", &row.tests_for), ("against", &row.tests_against)] {
                if named.is_empty() {
                    say(format!("no test {kind} it"));
                }
            }
        } else if reason.is_empty() {
            say("gives no reason".to_owned());
        }
        for test in row.tests_for.iter().chain(&row.tests_against) {
            if !tests.contains(test) {
                say(format!("there is no test {test}"));
            }
        }
    }
    problems
}

/// Whether it is the number of a section, a dash and a number.
fn is_id(id: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    id.split_once('-')
        .is_some_and(|(section, number)| section.split('.').all(is_number) && is_number(number))
}

/// The names of all tests in the workspace's sources.
fn tests_below(root: &Path) -> Result<BTreeSet<String>> {
    let mut tests = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in entries(&folder)? {
            let name = entry.file_name().map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_default();
            if entry.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(entry);
            } else if name.ends_with(".rs") {
                let source = fs::read_to_string(&entry)
                    .with_context(|| format!("cannot read {}", entry.display()))?;
                tests.extend(tests_of(&source));
            }
        }
    }
    Ok(tests)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = || format!("cannot read {}", folder.display());
    fs::read_dir(folder)
        .with_context(failed)?
        .map(|entry| Ok(entry.with_context(failed)?.path()))
        .collect()
}

/// The functions of a source that follow `#[test]`.
fn tests_of(source: &str) -> Vec<String> {
    let mut is_test = false;
    let mut tests = Vec::new();
    for line in source.lines().map(str::trim) {
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if is_test && let Some(name) = function(line) {
            tests.push(name.to_owned());
            is_test = false;
        }
    }
    tests
}

/// The name of the function that begins in this line.
fn function(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "| id | erratum | requirement | where | tests for | tests against |\n\
                        |---|---|---|---|---|---|\n";

    fn judged(body: &str) -> Vec<String> {
        let tests = ["one", "two"].map(str::to_owned).into();
        let rows = rows(&format!("{HEAD}{body}")).unwrap();
        judge(&rows, &tests, |file| file == "a.rs")
    }

    #[test]
    fn a_whole_row_is_good_and_so_is_a_reason() {
        let body = "| 5.1-1 | | \"MUST\" | `a.rs` | `one` | `one`, `two` |\n\
                    | 5.1-2 | 8298 | x | open: later | `one` | |\n\
                    | 5.1-3 | | x | not applicable: no such thing | | |\n";
        assert_eq!(judged(body), Vec::<String>::new());
    }

    #[test]
    fn a_row_without_both_kinds_of_tests_is_a_problem() {
        for body in ["| 5-1 | | x | `a.rs` | `one` | |\n", "| 5-1 | | x | `a.rs` | | `one` |\n"] {
            assert_eq!(judged(body).len(), 1, "{body}");
        }
    }

    #[test]
    fn what_is_named_has_to_exist() {
        assert!(judged("| 5-1 | | x | `a.rs` | `one` | `three` |\n")[0].contains("no test three"));
        assert!(judged("| 5-1 | | x | `b.rs` | `one` | `two` |\n")[0].contains("no file b.rs"));
        assert!(judged("| 5-1 | | x | open: later | `three` | |\n")[0].contains("no test three"));
    }

    #[test]
    fn an_excuse_without_a_reason_and_a_bad_id_are_problems() {
        assert!(judged("| 5-1 | | x | open: | | |\n")[0].contains("no reason"));
        assert!(judged("| 5-1 | | x | somewhere | `one` | `two` |\n")[0].contains("no file"));
        assert!(judged("| five | | x | `a.rs` | `one` | `two` |\n")[0].contains("an id is"));
        let twice = "| 5-1 | | x | `a.rs` | `one` | `two` |\n".repeat(2);
        assert!(judged(&twice)[0].contains("twice"));
        assert_eq!(judged("").len(), 1, "an empty ledger");
    }

    #[test]
    fn a_table_of_other_columns_is_an_error_and_other_tables_are_not_read() {
        assert!(rows("| id | where |\n|---|---|\n").is_err());
        assert!(rows(&format!("{HEAD}| 5-1 | | x |\n")).is_err());
        assert!(rows("| label | meaning |\n|---|---|\n| a | b |\n").unwrap().is_empty());
    }

    #[test]
    fn tests_are_found_by_their_attribute() {
        let source =
            "#[test]\nfn one() {}\nfn helper() {}\n    #[test]\n    #[ignore]\n    fn two(\n";
        assert_eq!(tests_of(source), ["one", "two"]);
        let source = "#[tokio::test(start_paused = true)]\nasync fn three() {}\n";
        assert_eq!(tests_of(source), ["three"]);
    }
}
