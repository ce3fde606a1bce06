//! Hooks of real daemons: what they are told and in which order, and that one which hangs holds up neither the protocol nor the stop.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use holdfast_integration::Director;
use holdfast_integration::duo::{Duo, wait_all};
use holdfast_integration::pair::{INSTANCES, LIMIT, Roles, lab};
use holdfast_testkit::lab::{Lab, Node, wait_until};
use serde_json::Value;

/// A hook on a node, and the folder that it writes to: for each subject a file with a line of arguments and a line of JSON each time.
#[derive(Debug)]
struct Recorder {
    command: PathBuf,
    said: PathBuf,
}

impl Recorder {
    fn new(node: &Node) -> Self {
        let said = node.folder().join("said");
        fs::create_dir(&said).unwrap();
        fs::set_permissions(&said, fs::Permissions::from_mode(0o777)).unwrap();
        let script = format!(
            "#!/bin/sh\nread -r json\nprintf '%s\\n%s\\n' \"$*\" \"$json\" >>{}/$2\n",
            said.display()
        );
        Self { command: program(node, "record", &script), said }
    }

    /// What was told of a subject: the arguments and the JSON.
    fn told(&self, subject: &str) -> Vec<(String, Value)> {
        let text = fs::read_to_string(self.said.join(subject)).unwrap_or_default();
        // What a hook is still at is not told yet.
        let text = text.get(..text.rfind('\n').map_or(0, |end| end + 1)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let pairs = lines.chunks_exact(2);
        pairs
            .filter_map(|pair| match pair {
                [arguments, json] => {
                    Some(((*arguments).to_owned(), serde_json::from_str(json).unwrap()))
                }
                _ => None,
            })
            .collect()
    }

    /// Waits until these words were told of a subject since `from`, and no others.
    fn wait_words(&self, subject: &str, from: usize, words: &[&str]) {
        let mut last = Vec::new();
        wait_until(LIMIT, "the hooks", || {
            let told = self.told(subject).into_iter().skip(from);
            last = told.map(|(arguments, _)| arguments).collect();
            let said = last.iter().map(|line| line.split(' ').nth(2).unwrap());
            said.eq(words.iter().copied()).then_some(())
        })
        .unwrap_or_else(|error| {
            panic!("{error}: {subject}: {last:#?} since {from}, not {words:?}")
        });
    }
}

fn program(node: &Node, name: &str, script: &str) -> PathBuf {
    let path = node.write(name, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The configuration of `roles` with further keys of `vrrp`, and scripts that run as nobody.
fn config(roles: &Roles<'_>, vrrp: &str) -> String {
    let vrrp = roles.config().replacen("vrrp:\n", &format!("vrrp:\n{vrrp}"), 1);
    format!("daemon: {{scripts: {{user: nobody}}}}\n{vrrp}")
}

fn recorded(lab: &Lab) -> (Recorder, String) {
    let recorder = Recorder::new(lab.lb1());
    let number = lab.lb1().write("number", "0").unwrap();
    let roles =
        Roles { lb1: "priority: 150, track: [{tracker: number, weight: 1}]", ..Roles::LB1_FIRST };
    let events = "[active, backup, fault, stop, priority, lower_priority]";
    let vrrp = format!(
        "  trackers: {{number: {{file: {{path: {}}}}}}}\n  hooks: [{{command: [{}], on: {events}}}]\n  \
         groups: {{both: {{instances: [v4, v6], hooks: [{{command: [{}]}}]}}}}\n",
        number.display(),
        recorder.command.display(),
        recorder.command.display(),
    );
    (recorder, config(&roles, &vrrp))
}

/// The daemon on lb1 has the hook; lb2 is the same without.
fn start(lab: Lab, config: &str) -> Duo {
    let without = config.lines().filter(|line| !line.contains("  hooks:"));
    let without: Vec<_> = without.map(|line| line.split(", hooks:").next().unwrap()).collect();
    let without = without.join("\n").replace("instances: [v4, v6]", "instances: [v4, v6]}}");
    let lb1 = Director::start(lab.lb1(), config).unwrap();
    wait_all(&lb1, "active").unwrap();
    let lb2 = Director::start(lab.lb2(), &without).unwrap();
    Duo { lb1, lb2, lab }
}

#[test]
fn every_change_of_instances_and_their_group_is_told_in_order_as_words_and_as_json() {
    let lab = lab().unwrap();
    let (recorder, config) = recorded(&lab);
    let mut duo = start(lab, &config);
    duo.wait_lb1().unwrap();
    let both = |from: usize, words: &[&str]| {
        INSTANCES.iter().for_each(|name| recorder.wait_words(name, from, words));
    };
    both(0, &["BACKUP", "MASTER"]);
    recorder.wait_words("both", 0, &["BACKUP", "MASTER"]);
    duo.lab.lb1().write("number", "20").unwrap();
    both(2, &["MASTER_PRIORITY"]);
    duo.lab.lb1().write("number", "-60").unwrap();
    duo.wait_lb2().unwrap();
    both(3, &["MASTER_PRIORITY", "BACKUP"]);
    duo.lab.lb1().write("number", "-254").unwrap();
    // A fault takes no weight along: 150 again.
    both(5, &["FAULT", "BACKUP_PRIORITY"]);
    recorder.wait_words("both", 2, &["BACKUP", "FAULT"]);
    duo.lab.lb1().write("number", "0").unwrap();
    duo.wait_lb1().unwrap();
    duo.lb1.stop().unwrap();
    for name in INSTANCES.into_iter().chain(["both"]) {
        wait_until(LIMIT, "the last word", || {
            let told = recorder.told(name);
            told.last().filter(|(words, _)| words.contains(" STOP ")).map(drop)
        })
        .unwrap();
    }
    for name in INSTANCES {
        let told = recorder.told(name);
        let (arguments, json) = told.get(1).unwrap();
        assert_eq!(*arguments, format!("INSTANCE {name} MASTER 150"));
        check_instance(json, name);
        let (arguments, json) = told.last().unwrap();
        assert_eq!(*arguments, format!("INSTANCE {name} STOP 150"));
        assert_eq!((&json["event"], &json["state"]), (&"stop".into(), &"stop".into()));
        let times: Vec<u64> =
            told.iter().map(|(_, json)| json["at_ms"].as_u64().unwrap()).collect();
        assert!(times.is_sorted(), "{times:?}");
    }
    let told = recorder.told("both");
    let (arguments, json) = told.last().unwrap();
    assert_eq!(arguments, "GROUP both STOP 0");
    assert_eq!(
        (&json["kind"], &json["instances"]),
        (&"group".into(), &serde_json::json!(["v4", "v6"]))
    );
    assert_eq!(json.get("priority"), None);
}

fn check_instance(json: &Value, name: &str) {
    for (key, value) in [
        ("version", Value::from(1)),
        ("kind", "instance".into()),
        ("name", name.into()),
        ("event", "active".into()),
        ("keepalived", "MASTER".into()),
        ("state", "active".into()),
        ("priority", 150.into()),
        ("node", "lb1".into()),
        ("interface", "eth0".into()),
        ("vrid", 51.into()),
        ("family", if name == "v4" { "ipv4" } else { "ipv6" }.into()),
    ] {
        assert_eq!(json.get(key), Some(&value), "{key} in {json:#}");
    }
    let addresses = json["addresses"].as_array().unwrap();
    assert_eq!(addresses.len(), if name == "v4" { 1 } else { 2 }, "{json:#}");
}

/// When a split heals, the better one hears the other's last word.
#[test]
fn who_hears_a_lower_priority_is_told_so() {
    let lab = lab().unwrap();
    let recorder = Recorder::new(lab.lb1());
    let hook =
        format!("  hooks: [{{command: [{}], on: lower_priority}}]\n", recorder.command.display());
    let duo = start(lab, &config(&Roles::LB1_FIRST, &hook));
    duo.wait_lb1().unwrap();
    duo.lab.isolate(&[duo.lab.lb1(), duo.lab.lb2()]).unwrap();
    wait_all(&duo.lb2, "active").unwrap();
    duo.lab.join(&[duo.lab.lb1(), duo.lab.lb2()]).unwrap();
    duo.wait_lb1().unwrap();
    for name in INSTANCES {
        wait_until(LIMIT, "MASTER_RX_LOWER_PRI", || {
            let told = recorder.told(name);
            let (arguments, _) = told.first()?;
            assert_eq!(*arguments, format!("INSTANCE {name} MASTER_RX_LOWER_PRI 150"));
            Some(())
        })
        .unwrap();
    }
}

/// Who is called at night sees on one screen that a hook failed, for whom, and the first line of what it said.
#[test]
fn a_hook_that_fails_is_in_the_status_with_what_it_was_told_and_what_it_said() {
    let lab = lab().unwrap();
    let script = "#!/bin/sh\necho 'the switch does not answer' >&2\necho more\nexit 3\n";
    let hook = program(lab.lb1(), "switch", script);
    let vrrp = format!("  hooks: [{{command: [{}], on: [active]}}]\n", hook.display());
    let lb1 = Director::start(lab.lb1(), &config(&Roles::LB1_FIRST, &vrrp)).unwrap();
    wait_all(&lb1, "active").unwrap();
    let start = format!("! hook {} ", hook.display());
    let line = wait_until(LIMIT, "the failure to be in the status", || {
        let status = lb1.cli(&["status"]).ok()?;
        status.lines().find(|line| line.starts_with(&start)).map(str::to_owned)
    });
    let line = line.unwrap_or_else(|error| panic!("{error}: {}", lb1.process().log_tail()));
    assert!(line.contains("\"INSTANCE v") && line.contains(" MASTER 150\" failed "), "{line}");
    assert!(line.ends_with("exit status 3: the switch does not answer"), "{line}");
}

/// Every hook of both nodes hangs for ten minutes: nobody misses an advertisement, and roles move as if there were none.
#[test]
fn a_hook_that_hangs_delays_neither_the_protocol_nor_the_stop() {
    let lab = lab().unwrap();
    let config = |node: &Node| {
        let begun = node.folder().join("begun");
        fs::create_dir(&begun).unwrap();
        fs::set_permissions(&begun, fs::Permissions::from_mode(0o777)).unwrap();
        let script = format!("#!/bin/sh\n: >{}/$2.$3\nexec sleep 600\n", begun.display());
        let hook = program(node, "hang", &script);
        let vrrp = format!("  hooks: [{{command: [{}], timeout: 10m}}]\n", hook.display());
        (config(&Roles::LB1_FIRST, &vrrp), begun)
    };
    let ((first, begun), (second, _)) = (config(lab.lb1()), config(lab.lb2()));
    let lb1 = Director::start(lab.lb1(), &first).unwrap();
    let lb2 = Director::start(lab.lb2(), &second).unwrap();
    let mut duo = Duo { lb1, lb2, lab };
    duo.wait_lb1().unwrap();
    wait_begun(&begun, "BACKUP");
    duo.ensure_at_rest(&duo.lb1).unwrap();
    duo.lab.link_down(duo.lab.lb1()).unwrap();
    wait_all(&duo.lb2, "active").unwrap();
    duo.lab.link_up(duo.lab.lb1()).unwrap();
    duo.wait_lb1().unwrap();
    duo.ensure_at_rest(&duo.lb1).unwrap();
    // The first hook still hangs, and the others wait behind it.
    assert_eq!(fs::read_dir(&begun).unwrap().count(), INSTANCES.len());
    duo.lb1.stop().unwrap();
    wait_all(&duo.lb2, "active").unwrap();
    for name in INSTANCES {
        assert_eq!(duo.lb2.instance(name).unwrap().reason, "active_released");
    }
}

fn wait_begun(begun: &Path, word: &str) {
    for name in INSTANCES {
        wait_until(LIMIT, "the hook to begin", || {
            begun.join(format!("{name}.{word}")).exists().then_some(())
        })
        .unwrap();
    }
}
