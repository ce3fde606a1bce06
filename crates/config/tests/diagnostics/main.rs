//! Every diagnostic as the user reads it. A case is a configuration with the code that it must have; what is printed is a
//! snapshot, and every code of the file's stages has a case.

mod attributes;
mod cases;
mod checks;
mod ipvs;
mod policy;
mod services;
mod tracking;
mod vrrp;

use std::collections::BTreeSet;

use cases::all;
use holdfast_config::{Code, Environment, Severity, parse};

#[test]
fn every_case_is_reported_as_its_snapshot_says() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _guard = settings.bind_to_scope();
    let mut wrong = vec![];
    for (code, name, text) in all() {
        let outcome = parse("holdfast.yaml", text, &Environment::new("lb1"));
        let found = outcome.diagnostics.iter().any(|found| found.code.as_str() == code);
        let refused = Code::find(code).unwrap().severity() == Severity::Error;
        if !found || outcome.config.is_none() != refused {
            wrong.push(format!("{code} {name}:\n{}", outcome.render(false)));
            continue;
        }
        let file = format!("{code} {name}").replace([' ', '\''], "_");
        insta::assert_snapshot!(file, outcome.render(false));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_has_a_case() {
    // Made by size alone, by `holdfast server add`, and by the host's stage: they have tests of their own.
    let elsewhere =
        [Code::TooLarge, Code::TooMany, Code::TooManyAddresses, Code::DuplicateServerName];
    let cases: BTreeSet<_> = all().filter_map(|(code, _, _)| Code::find(code)).collect();
    for code in Code::ALL {
        let host = code.as_str().starts_with("HF07");
        assert!(host || elsewhere.contains(code) || cases.contains(code), "{code} has no case");
    }
}

#[test]
fn sizes_have_limits() {
    let codes = |text: &str| -> Vec<_> {
        let outcome = parse("f", text, &Environment::new("lb1"));
        outcome.diagnostics.iter().map(|found| found.code).collect()
    };
    assert_eq!(codes(&"#".repeat(holdfast_config::MAX_BYTES + 1)), [Code::TooLarge]);
    let instance = |addresses: String| {
        format!("vrrp: {{instances: {{a: {{interface: e, vrid: 1, addresses: [{addresses}]}}}}}}")
    };
    let ipv6: Vec<_> = (1..=91).map(|n| format!("'fe80::{n:x}/64'")).collect();
    assert_eq!(codes(&instance(ipv6[..90].join(","))), []);
    assert_eq!(codes(&instance(ipv6.join(","))), [Code::TooManyAddresses]);
    let ipv4: Vec<_> = (1..=256).map(|n| format!("10.0.{}.{}/16", n / 250, n % 250 + 1)).collect();
    assert_eq!(codes(&instance(ipv4[..255].join(","))), []);
    assert_eq!(codes(&instance(ipv4.join(","))), [Code::TooMany]);
    let checks = "{tcp: {}},".repeat(17);
    let checks =
        format!("services: {{a: {{listen: tcp 10.0.0.1:1, forward: nat, checks: [{checks}]}}}}");
    assert_eq!(codes(&checks), [Code::TooMany]);
}

#[test]
fn more_problems_than_anyone_reads_are_counted() {
    let text: String = (0..5000).map(|n| format!("unknown{n}: 1\n")).collect();
    let outcome = parse("f", &text, &Environment::new("lb1"));
    assert_eq!(outcome.diagnostics.len(), 1001);
    let last = outcome.diagnostics.last().unwrap();
    assert_eq!(last.message, "4000 problems more are not shown");
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_text() {
    let text = "\
node: lb 1
vrrp:
  instances:
    edge: {interface: eth0, vrid: 0, priority: 256, addresses: [192.0.2.10/24]}
services:
  web:
    listen: tcp 192.0.2.10:80
    scheduler: roundrobin
    forward: direct
    check: {tcp: {}, interval: 2}
    real_servers: {web1: 10.0.0.11:8080, web2: 10.0.0.12:80, web3: {address: 10.0.0.12:80, wieght: 2}}
";
    let outcome = parse("holdfast.yaml", text, &Environment::new("lb1"));
    let codes: Vec<_> = outcome.diagnostics.iter().map(|found| found.code.as_str()).collect();
    assert_eq!(
        codes,
        ["HF0205", "HF0301", "HF0301", "HF0501", "HF0302", "HF0504", "HF0508", "HF0201"]
    );
    assert_eq!(holdfast_config::summary(&outcome.diagnostics).unwrap(), "8 errors");
}

#[test]
fn json_has_the_place_the_path_and_the_help() {
    let text = "services:\n  web:\n    listen: tcp 192.0.2.10:80\n    forward: direct\n    real_servers: {a: 10.0.0.1:81}\n";
    let outcome = parse("holdfast.yaml", text, &Environment::new("lb1"));
    let json = serde_json::to_value(&outcome.diagnostics).unwrap();
    let first = &json[0];
    assert_eq!(first["code"], "HF0504");
    assert_eq!(first["severity"], "error");
    assert_eq!(first["file"], "holdfast.yaml");
    assert_eq!((&first["line"], &first["column"]), (&5.into(), &23.into()));
    assert_eq!(first["path"], "services.web.real_servers.a.address");
    assert_eq!(first["labels"].as_array().unwrap().len(), 3);
    assert!(first["help"][0].as_str().unwrap().contains("10.0.0.1:80"));
    let line = outcome.diagnostics[0].to_string();
    assert!(line.starts_with("holdfast.yaml:5:23: error[HF0504]: "), "{line}");
}

#[test]
fn colours_change_nothing_but_escapes() {
    let outcome = parse("f", "nod: 1\n", &Environment::new("lb1"));
    assert!(outcome.render(true).contains("\u{1b}["));
    assert!(!outcome.render(false).contains('\u{1b}'));
}

/// However long it is: it is beyond the range, as any other whole number that is.
#[test]
fn a_whole_number_of_any_length_is_one() {
    let problems = |weight: &str| {
        let text = format!(
            "services: {{web: {{listen: 'tcp 192.0.2.10:80', forward: nat, real_servers: {{a: {{address: '10.0.0.1:80', weight: {weight}}}}}}}}}\n"
        );
        let outcome = parse("holdfast.yaml", &text, &Environment::new("lb1"));
        let codes: Vec<_> = outcome.diagnostics.iter().map(|one| one.code.as_str()).collect();
        (codes.join(" "), outcome.render(false))
    };
    for long in [
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "99999999999999999999",
        "170141183460469231731687303715884105727",
        "170141183460469231731687303715884105728",
        "9999999999999999999999999999999999999999999999999",
    ] {
        let (codes, shown) = problems(long);
        assert_eq!(codes, "HF0301", "{shown}");
        let said = format!("`weight` must be 0 to 2147483647, got {long}\n");
        assert!(shown.contains(&said), "{shown}");
    }
    for other in ["1.5", "1e3", ".inf", "-.5"] {
        let (codes, shown) = problems(other);
        assert_eq!(codes, "HF0202", "{shown}");
        assert!(shown.contains("without a point or an exponent"), "{shown}");
    }
}
