//! What the documentation shows is what the program takes: every example and every YAML block is loaded, and the reference in
//! docs/configuration.md is that of the crate. `UPDATE_DOCS=1 cargo test -p holdfast-config` writes it anew.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

use holdfast_config::{Code, Environment, Severity, keys, parse};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

/// Loads `text` without a diagnostic, warnings included, on each node that it knows.
fn loads(name: &str, text: &str) {
    for node in ["lb1", "lb2"] {
        let outcome = parse(name, text, &Environment::new(node));
        assert!(outcome.diagnostics.is_empty(), "{}", outcome.render(false));
        assert!(outcome.config.is_some());
    }
}

#[test]
fn every_example_loads() {
    let files = files("examples", "yaml");
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        loads(&file.display().to_string(), &fs::read_to_string(&file).unwrap());
    }
}

#[test]
fn the_minimal_example_is_minimal() {
    let text = fs::read_to_string(root().join("examples/minimal.yaml")).unwrap();
    assert!(text.lines().filter(|line| !line.starts_with('#')).count() <= 15);
}

/// The fenced blocks of `text` whose info string begins with `yaml`, each with its line and info string.
fn yaml_blocks(text: &str) -> Vec<(usize, String, String)> {
    let mut blocks = vec![];
    let mut open: Option<(usize, String, String)> = None;
    for (index, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), open.take()) {
            (Some(_), Some(block)) => blocks.push(block),
            (Some(info), None) => open = Some((index + 2, info.trim().to_owned(), String::new())),
            (None, Some((first, info, text))) => open = Some((first, info, text + line + "\n")),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block that is not closed");
    blocks.retain(|(_, info, _)| info.starts_with("yaml"));
    blocks
}

#[test]
fn every_yaml_block_of_the_documentation_loads() {
    let readme = root().join("README.md");
    let documents = [files("docs", "md"), files("docs/checks", "md")].concat();
    let documents = documents.into_iter().chain(readme.exists().then_some(readme));
    for file in documents {
        for (line, info, text) in yaml_blocks(&fs::read_to_string(&file).unwrap()) {
            let name = format!("{}:{line}", file.display());
            match info.as_str() {
                "yaml" => loads(&name, &text),
                // A part of a file: at least YAML, and no key that does not exist.
                "yaml fragment" => {
                    let outcome = parse(&name, &text, &Environment::new("lb1"));
                    let broken = outcome.diagnostics.iter().any(|found| {
                        found.severity == Severity::Error && found.code < Code::UnknownKey
                    });
                    assert!(!broken, "{}", outcome.render(false));
                }
                other => panic!("{name}: write ```yaml or ```yaml fragment, not ```{other}"),
            }
        }
    }
}

/// A cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The heading under which a key stands: its first word, and the second of `vrrp`'s where that has keys of its own; checks have one.
fn heading(path: &str) -> String {
    let words: Vec<_> = path.split('.').collect();
    match words.as_slice() {
        ["vrrp", part @ ("instances" | "trackers" | "groups" | "interfaces" | "hooks"), ..] => {
            format!("vrrp.{part}")
        }
        ["services", "NAME", "check", ..] => "services.NAME.check".to_owned(),
        [top, ..] => (*top).to_owned(),
        [] => String::new(),
    }
}

fn key_tables() -> String {
    let mut text = String::new();
    let mut headings: Vec<String> = vec![];
    for key in keys() {
        let heading = heading(key.path);
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    for heading_of_table in headings {
        text.push_str(&format!("### `{heading_of_table}`\n\n"));
        text.push_str(
            "| Key | Form | Default | Values | Meaning | Source |\n|---|---|---|---|---|---|\n",
        );
        for key in keys().filter(|key| heading(key.path) == heading_of_table) {
            let cells = [key.kind, key.default, key.range, key.text, key.source].map(cell);
            text.push_str(&format!("| `{}` | {} |\n", key.path, cells.join(" | ")));
        }
        text.push('\n');
    }
    text
}

fn code_table() -> String {
    let mut text = "| Code | What | Why | What to do |\n|---|---|---|---|\n".to_owned();
    for code in Code::ALL {
        let warning = if code.severity() == Severity::Warning { " (warning)" } else { "" };
        let cells = [code.title(), code.why(), code.fix()].map(cell);
        text.push_str(&format!("| {code}{warning} | {} |\n", cells.join(" | ")));
    }
    text
}

/// `text` with what stands between the marks `name` replaced by `generated`.
fn replace(text: &str, name: &str, generated: &str) -> String {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let (head, rest) = text.split_once(&begin).expect("the begin mark");
    let (_, tail) = rest.split_once(&end).expect("the end mark");
    format!("{head}{begin}\n{}\n\n{end}{tail}", generated.trim_end())
}

#[test]
fn the_reference_is_up_to_date() {
    let path = root().join("docs/configuration.md");
    let text = fs::read_to_string(&path).unwrap();
    let wanted = replace(&replace(&text, "keys", &key_tables()), "codes", &code_table());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, wanted).unwrap();
    } else {
        assert!(
            text == wanted,
            "docs/configuration.md is not up to date: run `UPDATE_DOCS=1 cargo test -p holdfast-config --test docs`"
        );
    }
}
