//! What the daemon refuses to start with: the exit status, the words, and that nothing was touched.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_integration::{Director, Programs, saved_table};
use holdfast_testkit::lab::{Lab, Node, Output, Topology, VIP4, wait_until};
use serde_json::Value;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A configuration with which the daemon would start.
const GOOD: &str = "vrrp: {instances: {edge: {interface: eth0, vrid: 51, addresses: [10.77.0.10/24]}}}\n\
                    services: {web: {listen: tcp 10.77.0.10:80, forward: nat, real_servers: {web1: 10.77.0.21:80}}}\n";

/// A director's node whose kernel has somebody else's service, and one of ours with another weight.
fn lab() -> Result<Lab> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    lab.lb1().sh(
        "ipvsadm -A -t 10.77.0.10:9999 -s sh; ipvsadm -a -t 10.77.0.10:9999 -r 10.77.0.98:1 -m -w 9\n\
         ipvsadm -A -t 10.77.0.10:80 -s lc; ipvsadm -a -t 10.77.0.10:80 -r 10.77.0.21:80 -m -w 7",
    )?;
    Ok(lab)
}

/// The kernel's table and every address of a node.
fn kernel(node: &Node) -> Result<(Vec<String>, String)> {
    let addresses = node.run(["ip", "-oneline", "address", "show"])?.stdout;
    // How long an address is valid still is no matter here.
    Ok((saved_table(node)?, addresses))
}

/// Runs the daemon, which must refuse with this status and leave the kernel alone; what it wrote to standard error.
fn refused(node: &Node, config: &str, before: &[&str], status: i32) -> Result<String> {
    let (was, there) = (kernel(node)?, node.folder().join("control.sock").exists());
    let Output { stdout, stderr, code } = Director::refusal(node, config, before)?;
    ensure!(code == status, "status {code}: {stdout}{stderr}");
    ensure!(kernel(node)? == was, "the kernel was touched");
    ensure!(node.folder().join("control.sock").exists() == there, "the socket came or went");
    Ok(stderr)
}

/// As [`refused`] with exit status 1: one line, which has all of these parts.
fn refused_in_one_sentence(
    node: &Node,
    config: &str,
    before: &[&str],
    parts: &[&str],
) -> Result<()> {
    let stderr = refused(node, config, before, 1)?;
    ensure!(stderr.starts_with("holdfastd: ") && stderr.lines().count() == 1, "{stderr}");
    for part in parts {
        ensure!(stderr.contains(part), "{part:?} is not in {stderr:?}");
    }
    Ok(())
}

/// Runs `holdfast check` on a node for its configuration.
fn check(node: &Node, more: &[&str]) -> Result<Output> {
    let programs = Programs::find()?;
    let file = node.folder().join("holdfast.yaml");
    let mut argv = vec![programs.holdfast.into_os_string(), "check".into(), file.into()];
    argv.extend(["--node", "lb1"].iter().chain(more).map(Into::into));
    node.try_run(argv)
}

/// Each with the codes that it must be refused with.
const INVALID: &[(&str, &[&str])] = &[
    ("", &["HF0004"]),
    ("services: [", &["HF0101"]),
    ("node: lb1\n\tvrrp: {}\n", &["HF01"]),
    ("service: {}\nservices: {}\n", &["HF0201"]),
    ("services: {web: {listen: tcp 10.77.0.10:80, forward: 7}}\n", &["HF0202"]),
    ("services: {web: {listen: tcp 10.77.0.10, forward: nat}}\n", &["HF0305"]),
    (
        "services: {web: {listen: tcp 10.77.0.10:80, forward: nat}, a: {listen: tcp 10.77.0.10:80, forward: nat}}\n",
        &["HF0507"],
    ),
    (
        "services: {web: {listen: tcp 10.77.0.10:80, forward: direct, real_servers: {web1: 10.77.0.21:8080}}}\n",
        &["HF0504"],
    ),
    ("services: {web: {listen: tcp 10.77.0.10:80, forward: nat, scheduler: mh}}\n", &["HF0503"]),
    (
        "services: {web: {listen: tcp 10.77.0.10:80, forward: nat, scheduler: roundrobin}}\n",
        &["HF0501"],
    ),
    (
        "services: {web: {listen: tcp 10.77.0.10:80, forward: nat, real_servers: {web1: \"[fd00::1]:80\"}}}\n",
        &["HF0505"],
    ),
    (
        "vrrp: {instances: {edge: {interface: eth0, vrid: 0, addresses: [10.77.0.10/24]}}}\n",
        &["HF0301"],
    ),
    (
        "vrrp: {instances: {edge: {interface: eth0, vrid: 51, interval: 1, addresses: [10.77.0.10/24]}}}\n",
        &["HF0302"],
    ),
    ("daemon: {control: {group: hf-no-such-group}}\nservices: {}\n", &["HF0705"]),
    (
        "daemon: {scripts: {user: hf-no-such-user}}\nservices: {web: {listen: tcp 10.77.0.10:80, forward: nat, \
         check: {exec: {command: [/bin/true]}}, real_servers: {web1: 10.77.0.21:80}}}\n",
        &["HF0704"],
    ),
    (
        "daemon: {scripts: {user: root}}\nservices: {web: {listen: tcp 10.77.0.10:80, forward: nat, \
         check: {exec: {command: [/bin/true]}}, real_servers: {web1: 10.77.0.21:80}}}\n",
        &["HF0708"],
    ),
    (
        "daemon: {scripts: {user: nobody}}\nservices: {web: {listen: tcp 10.77.0.10:80, forward: nat, \
         checks: [{exec: {command: [/hf/none]}}, {exec: {command: [/etc/passwd]}}], real_servers: {web1: 10.77.0.21:80}}}\n",
        &["HF0706", "HF0707"],
    ),
    // All at once, from five corners of the file.
    (
        "daemon: {http: {listen: nowhere}}\nvrrp:\n  instances:\n    edge: {interface: eth0, vrid: 512, prioritty: 1, addresses: [10.77.0.300/24]}\n\
         services:\n  web: {listen: tcp 10.77.0.10:80, forward: nat, real_servers: {web1: 10.77.0.21:80, web2: 10.77.0.21:80}}\n",
        &["HF0303", "HF0301", "HF0201", "HF0508"],
    ),
];

#[test]
fn an_invalid_configuration_is_refused_whole_by_both_programs_in_the_same_words() -> Result<()> {
    let lab = lab()?;
    let lb1 = lab.lb1();
    for (config, codes) in INVALID {
        let by_daemon = refused(lb1, config, &[], 78).with_context(|| (*config).to_owned())?;
        let by_check = check(lb1, &[])?;
        ensure!(by_check.code == 78, "{config:?}: status {}", by_check.code);
        assert_eq!(by_daemon, by_check.stderr, "{config:?}");
        assert_eq!(by_check.stdout, "", "{config:?}");
        for code in *codes {
            ensure!(
                by_daemon.contains(&format!("error[{code}")),
                "{code} for {config:?}:\n{by_daemon}"
            );
        }
        let last = by_daemon.lines().last().unwrap_or_default();
        ensure!(last.contains("holdfast.yaml") && last.contains("error"), "{by_daemon}");
    }
    Ok(())
}

#[test]
fn check_says_the_same_as_json_and_leaves_the_host_out_when_told() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let lb1 = lab.lb1();
    let no_group = format!("daemon: {{control: {{group: hf-no-such-group}}}}\n{GOOD}");
    // An interface may come yet, a group does not.
    for (text, status, code) in
        [(no_group, 78, "HF0705"), (GOOD.replace("eth0", "eth7"), 0, "HF0701")]
    {
        lb1.write("holdfast.yaml", &text)?;
        let found = check(lb1, &["-o", "json"])?;
        assert_eq!(found.code, status, "{found:?}");
        let found: Value = serde_json::from_str(&found.stdout)?;
        assert_eq!(
            (&found["valid"], &found["diagnostics"][0]["code"]),
            (&(status == 0).into(), &code.into())
        );
    }
    lb1.write(
        "holdfast.yaml",
        &format!("daemon: {{control: {{group: hf-no-such-group}}}}\n{GOOD}"),
    )?;
    let offline = check(lb1, &["--offline"])?;
    assert_eq!(offline.code, 0, "{offline:?}");
    lb1.write("holdfast.yaml", GOOD)?;
    let good = check(lb1, &[])?;
    assert_eq!(good.code, 0, "{good:?}");
    ensure!(good.stdout.contains("valid for node lb1: 1 VRRP instances, 1 services"), "{good:?}");
    Ok(())
}

#[test]
fn a_configuration_that_cannot_be_read_is_one_sentence() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let (lb1, programs) = (lab.lb1(), Programs::find()?);
    for file in ["/hf/none.yaml", "/proc"] {
        let daemon = programs.holdfastd.as_os_str();
        let by_daemon = lb1.try_run([daemon, "--config".as_ref(), file.as_ref()])?;
        let by_check =
            lb1.try_run([programs.holdfast.as_os_str(), "check".as_ref(), file.as_ref()])?;
        for output in [by_daemon, by_check] {
            assert_eq!(output.code, 1, "{output:?}");
            assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
            ensure!(
                output.stderr.contains(&format!("read the configuration {file}: ")),
                "{output:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_second_daemon_on_the_same_socket_is_refused_and_the_first_works_on() -> Result<()> {
    let lab = lab()?;
    let lb1 = lab.lb1();
    let first = Director::start(lb1, GOOD)?;
    first.wait_instance("edge", "active", LIMIT)?;
    wait_until(LIMIT, "the address", || lb1.has_address(VIP4.into()).ok()?.then_some(()))?;
    // What the first one does at its start it must have done: what the second one touches is looked for.
    wait_until(LIMIT, "the table", || first.status().ok()?.ipvs?.in_sync_s_ago.map(drop))?;
    let socket = first.socket().display().to_string();
    refused_in_one_sentence(
        lb1,
        GOOD,
        &[],
        &[&socket, "another holdfastd's", "stop that one first"],
    )?;
    assert_eq!(first.instance("edge")?.state, "active");
    Ok(())
}

#[test]
fn a_stale_socket_is_replaced_and_anything_else_is_left_alone() -> Result<()> {
    let lab = lab()?;
    let lb1 = lab.lb1();
    let socket = lb1.folder().join("control.sock");
    let left_alone: [&str; 2] = ["is something else than a socket", "control.sock"];
    fs::write(&socket, "precious\n")?;
    refused_in_one_sentence(lb1, GOOD, &[], &left_alone)?;
    assert_eq!(fs::read_to_string(&socket)?, "precious\n");
    fs::remove_file(&socket)?;
    fs::create_dir(&socket)?;
    refused_in_one_sentence(lb1, GOOD, &[], &left_alone)?;
    fs::remove_dir(&socket)?;
    // A link is none, wherever it leads.
    std::os::unix::fs::symlink("/run/hf-elsewhere", &socket)?;
    refused_in_one_sentence(lb1, GOOD, &[], &left_alone)?;
    fs::remove_file(&socket)?;

    drop(UnixListener::bind(&socket)?);
    ensure!(socket.exists(), "a listener leaves its file behind");
    let director = Director::start(lb1, GOOD)?;
    director.status()?;
    Ok(())
}

#[test]
fn a_missing_capability_is_named() -> Result<()> {
    let lab = lab()?;
    let lb1 = lab.lb1();
    let raw = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"];
    let means = ["run as root, or grant it"];
    refused_in_one_sentence(lb1, GOOD, &raw, &[&["CAP_NET_RAW (VRRP"], &means[..]].concat())?;
    let admin = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
    // Without services it is the addresses that need it.
    let vrrp = GOOD.lines().next().unwrap_or_default();
    for config in [GOOD, vrrp] {
        refused_in_one_sentence(lb1, config, &admin, &[&["CAP_NET_ADMIN"], &means[..]].concat())?;
    }
    Ok(())
}

#[test]
fn an_http_address_that_is_taken_or_not_ours_is_refused() -> Result<()> {
    let lab = lab()?;
    let lb1 = lab.lb1();
    let _taken = lb1.enter(|| TcpListener::bind("0.0.0.0:9650"))??;
    let with = |address: &str| format!("daemon: {{http: {{listen: \"{address}\"}}}}\n{GOOD}");
    let taken = ["10.77.0.11:9650", "daemon.http.listen", "Address already in use"];
    refused_in_one_sentence(lb1, &with("10.77.0.11:9650"), &[], &taken)?;
    let foreign = ["10.77.0.99:9651", "daemon.http.listen", "Cannot assign requested address"];
    refused_in_one_sentence(lb1, &with("10.77.0.99:9651"), &[], &foreign)?;
    Ok(())
}

#[test]
fn a_socket_folder_that_cannot_be_made_is_refused() -> Result<()> {
    let lab = lab()?;
    let (lb1, programs) = (lab.lb1(), Programs::find()?);
    let config = lb1.write("holdfast.yaml", GOOD)?;
    let was = kernel(lb1)?;
    let output = lb1.try_run([
        programs.holdfastd.as_os_str(),
        "--node".as_ref(),
        "lb1".as_ref(),
        "--config".as_ref(),
        config.as_os_str(),
        "--socket".as_ref(),
        "/proc/holdfast/control.sock".as_ref(),
    ])?;
    assert_eq!((output.code, output.stderr.lines().count()), (1, 1), "{output:?}");
    ensure!(
        output.stderr.contains("create the control socket's folder /proc/holdfast"),
        "{output:?}"
    );
    assert_eq!(kernel(lb1)?, was);
    Ok(())
}

#[test]
fn usage_errors_of_the_daemon_end_with_status_2() -> Result<()> {
    let programs = Programs::find()?;
    for words in [&["--confg", "x"][..], &["--log-format", "xml"], &["extra"]] {
        let output = Command::new(&programs.holdfastd).args(words).output()?;
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
    }
    Ok(())
}
