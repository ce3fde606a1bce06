//! Whole configurations, as people have them: what they become, what the report says, and that nothing is left out.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use holdfast_import::{Import, Library, Options, Outcome, import};

/// The fixtures' folder.
struct Fixtures;

impl Library for Fixtures {
    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        fs::read(path).map_err(|error| error.to_string())
    }

    fn matching(&self, _: &str, pattern: &str) -> Result<Vec<String>, String> {
        Ok(if pattern == "conf.d/*.conf" { vec!["conf.d/a.conf".to_owned()] } else { vec![] })
    }
}

fn converted(name: &str) -> Import {
    import(name, &Fixtures, &Options { id: "lb1".to_owned() })
}

/// All that a person sees of a conversion.
fn whole(import: &Import) -> String {
    let mut text = String::new();
    for line in &import.report {
        assert!(!line.notes.iter().any(|note| note.contains("nothing looked at")), "{line:?}");
        writeln!(text, "{}:{} {:?}: {}", line.file, line.line, line.outcome, line.statement)
            .unwrap();
        for note in &line.notes {
            writeln!(text, "    {note}").unwrap();
        }
    }
    for problem in &import.problems {
        let (file, line, column) = (&problem.file, problem.line, problem.column);
        writeln!(text, "{file}:{line}:{column}: {} ({})", problem.message, problem.help).unwrap();
    }
    if let Some(configuration) = &import.configuration {
        writeln!(text, "---\n{configuration}").unwrap();
    }
    text
}

#[test]
fn a_pair_with_trackers_routes_and_scripts() {
    insta::assert_snapshot!(whole(&converted("pair.conf")));
}

#[test]
fn virtual_servers_with_every_check() {
    insta::assert_snapshot!(whole(&converted("servers.conf")));
}

#[test]
fn includes_definitions_conditions_and_loops() {
    insta::assert_snapshot!(whole(&converted("language.conf")));
}

#[test]
fn every_problem_of_a_broken_file_has_its_place() {
    let found = converted("broken.conf");
    assert_eq!(found.configuration, None);
    insta::assert_snapshot!(whole(&found));
}

#[test]
fn no_report_and_no_comment_shows_a_password() {
    for name in ["pair.conf", "servers.conf"] {
        let found = converted(name);
        let told = format!("{:?} {:?}", found.report, found.problems);
        assert!(!told.contains("verysecret") && !told.contains("secret\""), "{told}");
        let configuration = found.configuration.unwrap();
        let comments = configuration.lines().filter(|line| line.trim_start().starts_with('#'));
        assert!(!comments.clone().any(|line| line.contains("verysecr")));
    }
}

#[test]
fn what_a_person_has_to_decide_stands_in_the_configuration() {
    let found = converted("pair.conf");
    let configuration = found.configuration.unwrap();
    assert!(configuration.contains("    # pair.conf:"), "{configuration}");
    assert!(found.report.iter().any(|line| line.outcome == Outcome::NotConverted));
}

/// One file without a name.
struct Text(&'static str);

impl Library for Text {
    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Ok(self.0.as_bytes().to_vec())
    }

    fn matching(&self, _: &str, _: &str) -> Result<Vec<String>, String> {
        Ok(vec![])
    }
}

#[test]
fn a_reversed_weight_is_taken_while_up_as_keepalived_has_it() {
    let text = "vrrp_script s {\n script /bin/true\n}\nvrrp_instance v {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress {\n 192.0.2.1\n }\n \
                track_script {\n s weight 20 reverse\n }\n}\n";
    let found = import("keepalived.conf", &Text(text), &Options { id: "lb1".to_owned() });
    let configuration = found.configuration.unwrap();
    assert!(configuration.contains("{tracker: s, weight: -20, reverse: true}"), "{configuration}");
}
