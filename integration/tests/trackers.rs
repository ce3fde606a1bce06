//! What a daemon tracks moves its roles, and its hooks are told every change in its order.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_integration::Director;
use holdfast_testkit::lab::{Lab, Node, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

/// Waits until the hooks have written these lines, and no others.
fn wait_told(log: &Path, lines: &[&str]) {
    let expected: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let told = || fs::read_to_string(log).unwrap_or_default();
    let wait = wait_until(LIMIT, "the hooks", || (told() == expected).then_some(()));
    wait.unwrap_or_else(|error| panic!("{error}: {:?}, not {expected:?}", told()));
}

/// A folder that hooks may write into, and a hook that writes its arguments to a file there, named for the instance.
fn hook(node: &Node) -> (PathBuf, PathBuf) {
    let said = node.folder().join("said");
    fs::create_dir(&said).unwrap();
    fs::set_permissions(&said, Permissions::from_mode(0o777)).unwrap();
    let script = format!("#!/bin/sh\necho \"$@\" >>{}/$2\n", said.display());
    let hook = node.write("hook", &script).unwrap();
    fs::set_permissions(&hook, Permissions::from_mode(0o755)).unwrap();
    (said, hook)
}

/// Three instances, of which each tracks something of its own.
fn config(lab: &Lab, hook: &Path, maintenance: &Path) -> String {
    let (web4, web6) = (lab.web(1).ip4(), lab.web(2).ip6());
    format!(
        "daemon: {{scripts: {{user: nobody}}}}
vrrp:
  hooks: [{{command: [{hook}]}}]
  trackers:
    maintenance: {{file: {{path: {maintenance}}}}}
    web4: {{reach: {{address: {web4}, by: neighbour, interface: eth0}}, interval: 500ms, timeout: 450ms}}
    web6: {{reach: {{address: \"{web6}\"}}, interval: 500ms, timeout: 450ms}}
  instances:
    file: {{interface: eth0, vrid: 1, priority: 100, interval: 100ms, addresses: [10.77.0.10/24], track: [maintenance]}}
    v4: {{interface: eth0, vrid: 2, priority: 100, interval: 100ms, addresses: [10.77.0.9/24], track: [web4]}}
    v6: {{interface: eth0, vrid: 2, priority: 100, interval: 100ms, addresses: [\"fe80::9/64\"], track: [web6]}}
",
        hook = hook.display(),
        maintenance = maintenance.display(),
    )
}

#[test]
fn a_number_in_a_file_and_an_address_that_answers_move_an_instance_and_its_hooks_are_told() {
    let lab = Lab::new().unwrap();
    let lb1 = lab.lb1();
    let (said, hook) = hook(lb1);
    let maintenance = lb1.folder().join("maintenance");
    let config = config(&lab, &hook, &maintenance);
    let mut director = Director::start(lb1, &config).unwrap();
    let told = |instance: &str, states: &[&str]| {
        let lines: Vec<String> =
            states.iter().map(|state| format!("INSTANCE {instance} {state} 100")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        wait_told(&said.join(instance), &lines);
    };
    let began = |instance: &str| {
        let wait = wait_until(LIMIT, "MASTER", || {
            let log = fs::read_to_string(said.join(instance)).unwrap_or_default();
            log.contains("MASTER").then_some(log)
        });
        wait.unwrap().lines().map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect()
    };
    let mut all = Vec::new();
    for (instance, down, up) in [
        (
            "file",
            Box::new(|| fs::write(&maintenance, "1\n").unwrap()) as Box<dyn Fn()>,
            Box::new(|| fs::remove_file(&maintenance).unwrap()) as Box<dyn Fn()>,
        ),
        (
            "v4",
            Box::new(|| lab.link_down(lab.web(1)).unwrap()),
            Box::new(|| lab.link_up(lab.web(1)).unwrap()),
        ),
        (
            "v6",
            Box::new(|| lab.link_down(lab.web(2)).unwrap()),
            Box::new(|| lab.link_up(lab.web(2)).unwrap()),
        ),
    ] {
        let mut states: Vec<String> = began(instance);
        let mut add = |more: &[&str]| {
            states.extend(more.iter().map(|&state| state.to_owned()));
            told(instance, &states.iter().map(String::as_str).collect::<Vec<_>>());
        };
        down();
        add(&["FAULT"]);
        up();
        add(&["BACKUP", "MASTER"]);
        all.push((instance, states));
    }
    director.stop().unwrap();
    for (instance, mut states) in all {
        states.push("STOP".to_owned());
        told(instance, &states.iter().map(String::as_str).collect::<Vec<_>>());
    }
}
