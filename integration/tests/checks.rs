//! Checks withdraw real servers from the kernel's table and bring them back; one director without VRRP, one network.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_control::Server;
use holdfast_integration::{Director, weights};
use holdfast_testkit::lab::{Lab, Nginx, Node, Topology, VIP6, wait_until};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// When checks run; they are patient, because the guest may be slow.
const WHEN: &str = "interval: 3s, fast_interval: 500ms, down_interval: 500ms, timeout: 2900ms, spread: 0s, rise: 2, fall: 2";

/// The same for commands: to start a program takes the guest longer.
const WHEN_EXEC: &str = "interval: 4s, fast_interval: 1s, down_interval: 1s, timeout: 3900ms, spread: 0s, rise: 1, fall: 2";

/// The service of all tests, as ipvsadm names it.
const SERVICE: &str = "-t 10.77.0.10:80";

fn service(check: &str, servers: &str) -> String {
    format!(
        "daemon: {{scripts: {{user: nobody}}}}\nservices:\n  web:\n    listen: tcp 10.77.0.10:80\n    forward: direct\n    \
         {check}\n    real_servers: {{{servers}}}\n"
    )
}

/// Waits until web1 is in `state` and the kernel has it with `weight`.
fn wait_web1(director: &Director, state: &str, weight: u32) -> Result<Server> {
    let server = director.wait_server("web", "web1", state, LIMIT)?;
    wait_weights(director.node(), &[("10.77.0.21:80", weight)])?;
    Ok(server)
}

fn wait_weights(node: &Node, expected: &[(&str, u32)]) -> Result<()> {
    let expected: BTreeMap<String, u32> =
        expected.iter().map(|(address, weight)| ((*address).to_owned(), *weight)).collect();
    wait_until(LIMIT, &format!("the kernel to have {expected:?}"), || {
        (weights(node, SERVICE).ok()? == expected).then_some(())
    })
    .with_context(|| format!("it has {:?}", weights(node, SERVICE)))
}

/// A program on a node that checks may run: `/bin/sh` reads it.
fn script(node: &Node, name: &str, text: &str) -> Result<PathBuf> {
    let path = node.write(name, &format!("#!/bin/sh\n{text}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// A file that a script's user may write.
fn writable(node: &Node, name: &str) -> Result<PathBuf> {
    let path = node.write(name, "")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
    Ok(path)
}

#[test]
fn a_tcp_check_withdraws_and_restores_and_status_says_why() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let web = Nginx::start(lab.web(1), 80)?;
    let config = service(&format!("check: {{tcp: {{}}, {WHEN}}}"), "web1: 10.77.0.21:80");
    let director = Director::start(lab.lb1(), &config)?;
    let up = wait_web1(&director, "up", 1)?;
    assert_eq!((up.reason.code.as_str(), up.effective_weight), ("L4OK", Some(1)));

    web.process().kill_group(nix::sys::signal::Signal::SIGKILL)?;
    let down = wait_web1(&director, "down", 0)?;
    assert_eq!((down.reason.code.as_str(), down.effective_weight), ("L4CON", Some(0)));
    ensure!(down.reason.sentence.contains("ECONNREFUSED"), "{}", down.reason.sentence);
    assert_eq!(down.checks.len(), 1);
    assert_eq!((down.checks[0].kind.as_str(), down.checks[0].state.as_str()), ("tcp", "down"));
    let shown = director.cli(&["status"])?;
    ensure!(
        shown.contains("L4CON") && shown.contains("! web1: ") && shown.contains("ECONNREFUSED"),
        "{shown}"
    );
    ensure!(shown.contains("up 0/1"), "{shown}");

    let _web = Nginx::start(lab.web(1), 80)?;
    wait_web1(&director, "up", 1)?;
    ensure!(director.cli(&["status"])?.contains("up 1/1"));
    Ok(())
}

/// The check goes to another port than the service's, and to the health page there.
#[test]
fn an_http_check_on_another_port_withdraws_at_503_and_restores() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let web = Nginx::start(lab.web(1), 8080)?;
    let check =
        format!("check: {{http: {{path: /health, port: 8080, host: web.example}}, {WHEN}}}");
    let director = Director::start(lab.lb1(), &service(&check, "web1: 10.77.0.21:80"))?;
    let up = wait_web1(&director, "up", 1)?;
    assert_eq!(up.reason.code, "L7OK");
    web.set_healthy(false)?;
    let down = wait_web1(&director, "down", 0)?;
    assert_eq!(down.reason.code, "L7STS");
    ensure!(down.reason.sentence.contains("503"), "{}", down.reason.sentence);
    web.set_healthy(true)?;
    wait_web1(&director, "up", 1)?;
    Ok(())
}

/// A server that accepts connections and says nothing is as good as none.
#[test]
fn a_silent_server_fails_an_http_check_and_passes_a_tcp_check() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    // The kernel takes connections into the backlog; nobody ever accepts one.
    let listener = lab.web(1).enter(|| TcpListener::bind("0.0.0.0:80"))??;
    // It is the check without an answer that this waits for: it is not patient.
    let checks = format!(
        "checks: [{{tcp: {{}}, {WHEN}}}, {{http: {{}}, interval: 1s, timeout: 950ms, spread: 0s, rise: 2, fall: 2}}]"
    );
    let director = Director::start(lab.lb1(), &service(&checks, "web1: 10.77.0.21:80"))?;
    let down = wait_web1(&director, "down", 0)?;
    assert_eq!(down.reason.code, "L7TOUT");
    let states: BTreeMap<_, _> =
        down.checks.iter().map(|check| (check.kind.as_str(), check.state.as_str())).collect();
    assert_eq!(states.get("http"), Some(&"down"));
    wait_until(LIMIT, "the tcp check to pass", || {
        let server = director.server("web", "web1").ok()??;
        server.checks.iter().any(|check| check.kind == "tcp" && check.state == "up").then_some(())
    })?;
    assert_eq!(director.server("web", "web1")?.context("web1")?.state, "down");
    drop(listener);
    Ok(())
}

#[test]
fn an_exec_check_withdraws_and_restores_and_its_words_are_the_reason() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let (lb1, pass) = (lab.lb1(), lab.lb1().folder().join("pass"));
    let program = script(
        lb1,
        "check",
        &format!("test -e {} || {{ echo no such page; exit 3; }}", pass.display()),
    )?;
    fs::write(&pass, "")?;
    let check = format!("check: {{exec: {{command: [{}]}}, {WHEN_EXEC}}}", program.display());
    let director = Director::start(lb1, &service(&check, "web1: 10.77.0.21:80"))?;
    let up = wait_web1(&director, "up", 1)?;
    assert_eq!(up.reason.code, "PROCOK");
    fs::remove_file(&pass)?;
    let down = wait_web1(&director, "down", 0)?;
    assert_eq!(down.reason.code, "PROCERR");
    let sentence = &down.reason.sentence;
    ensure!(sentence.contains("exit status 3") && sentence.contains("no such page"), "{sentence}");
    fs::write(&pass, "")?;
    wait_web1(&director, "up", 1)?;
    // A command that others could change, or that is gone, says nothing of the server: it stays what it is, and status says why.
    let says = |why: &str| {
        wait_until(LIMIT, why, || {
            let shown = director.cli(&["status"]).ok()?;
            let told = shown.lines().any(|line| {
                line.starts_with("! web1: its check exec says nothing: ") && line.contains(why)
            });
            told.then_some(())
        })
    };
    fs::set_permissions(&program, fs::Permissions::from_mode(0o777))?;
    says("is writable by group or others (mode 0777)")?;
    fs::remove_file(&program)?;
    says("no such file or directory (ENOENT)")?;
    wait_web1(&director, "up", 1)?;
    Ok(())
}

/// Whom a command runs as and what it is told: the unprivileged user without groups or capabilities, five variables, `/`.
#[test]
fn an_exec_check_runs_as_the_unprivileged_user_with_the_documented_environment() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let lb1 = lab.lb1();
    let (report, done) = (writable(lb1, "report")?, writable(lb1, "done")?);
    let text = format!(
        "{{ id -un; id -G; pwd; grep ^CapEff /proc/self/status; echo \"$@\"; tr '\\0' '\\n' </proc/$$/environ | sort; }} >{}\n\
         echo done >{}",
        report.display(),
        done.display()
    );
    let program = script(lb1, "check", &text)?;
    let check = format!(
        "check: {{exec: {{command: [{}, -v, \"a b\"]}}, interval: 1h, timeout: 30s, rise: 1}}",
        program.display()
    );
    let director = Director::start(lb1, &service(&check, "web1: \"10.77.0.21:80\""))?;
    wait_web1(&director, "up", 1)?;
    assert_eq!(fs::read_to_string(done)?, "done\n");
    let group = lb1.run(["id", "-g", "nobody"])?.stdout;
    let expected = [
        "nobody",
        group.trim(),
        "/",
        "CapEff:\t0000000000000000",
        "-v a b",
        "HOLDFAST_ADDRESS=10.77.0.21",
        "HOLDFAST_PORT=80",
        "HOLDFAST_SERVER=web1",
        "HOLDFAST_SERVICE=web",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ];
    let report = fs::read_to_string(report)?;
    assert_eq!(report.lines().collect::<Vec<_>>(), expected);
    Ok(())
}

/// No connection goes to a server whose first check has not finished: this one goes on until the test says so.
#[test]
fn a_server_starts_down_until_its_first_pass() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let (lb1, go) = (lab.lb1(), lab.lb1().folder().join("go"));
    let program =
        script(lb1, "check", &format!("until test -e {}; do sleep 0.1; done", go.display()))?;
    let check = format!(
        "check: {{exec: {{command: [{}]}}, interval: 1h, timeout: 30m, rise: 3}}",
        program.display()
    );
    let director = Director::start(lb1, &service(&check, "web1: 10.77.0.21:80"))?;
    let starting = wait_web1(&director, "starting", 0)?;
    assert_eq!((starting.reason.code.as_str(), starting.effective_weight), ("INI", Some(0)));
    assert_eq!(director.service("web")?.up, 0);
    fs::write(&go, "")?;
    wait_web1(&director, "up", 1)?;
    Ok(())
}

#[test]
fn both_of_two_checks_must_pass() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let web = Nginx::start(lab.web(1), 80)?;
    let (lb1, pass) = (lab.lb1(), lab.lb1().folder().join("pass"));
    let program = script(lb1, "check", &format!("exec test -e {}", pass.display()))?;
    let checks = format!(
        "checks: [{{http: {{path: /health}}, {WHEN}}}, {{exec: {{command: [{}]}}, {WHEN_EXEC}}}]",
        program.display()
    );
    let director = Director::start(lb1, &service(&checks, "web1: 10.77.0.21:80"))?;
    assert_eq!(wait_web1(&director, "down", 0)?.reason.code, "PROCERR");
    fs::write(&pass, "")?;
    wait_web1(&director, "up", 1)?;
    web.set_healthy(false)?;
    assert_eq!(wait_web1(&director, "down", 0)?.reason.code, "L7STS");
    fs::remove_file(&pass)?;
    wait_until(LIMIT, "both checks to fail", || {
        let server = director.server("web", "web1").ok()??;
        server.checks.iter().all(|check| check.state == "down").then_some(())
    })?;
    // One that passes again is not enough.
    web.set_healthy(true)?;
    wait_until(LIMIT, "the http check to pass", || {
        let server = director.server("web", "web1").ok()??;
        server.checks.iter().any(|check| check.state == "up").then_some(())
    })?;
    let down = wait_until(LIMIT, "the reason to be the check's that still fails", || {
        let server = director.server("web", "web1").ok()??;
        (server.reason.code == "PROCERR").then_some(server)
    })?;
    assert_eq!((down.state.as_str(), down.effective_weight), ("down", Some(0)));
    fs::write(&pass, "")?;
    wait_web1(&director, "up", 1)?;
    Ok(())
}

/// web1 has the service's check, web2 its own, web3 an empty list of its own: none, so it is always up.
#[test]
fn a_server_may_have_checks_of_its_own() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(2))?;
    let webs = lab.webs().map(|web| Nginx::start(web, 80)).collect::<Result<Vec<_>>>()?;
    let servers = format!(
        "web1: 10.77.0.21:80, web2: {{address: 10.77.0.22:80, check: {{http: {{path: /health}}, {WHEN}}}}}, \
         web3: {{address: 10.77.0.99:80, checks: []}}"
    );
    let director =
        Director::start(lab.lb1(), &service(&format!("check: {{tcp: {{}}, {WHEN}}}"), &servers))?;
    let expect =
        |web1, web2| [("10.77.0.21:80", web1), ("10.77.0.22:80", web2), ("10.77.0.99:80", 1)];
    wait_weights(lab.lb1(), &expect(1, 1))?;
    for web in &webs {
        web.set_healthy(false)?;
    }
    director.wait_server("web", "web2", "down", LIMIT)?;
    wait_weights(lab.lb1(), &expect(1, 0))?;
    webs[0].process().kill_group(nix::sys::signal::Signal::SIGKILL)?;
    director.wait_server("web", "web1", "down", LIMIT)?;
    wait_weights(lab.lb1(), &expect(0, 0))?;
    assert_eq!(director.server("web", "web3")?.context("web3")?.checks, []);
    Ok(())
}

#[test]
fn checks_work_over_ipv6() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let web = Nginx::start(lab.web(1), 80)?;
    let address = format!("[{}]:80", lab.web(1).ip6());
    let config = format!(
        "services:\n  web: {{listen: \"tcp [{VIP6}]:80\", forward: direct, check: {{http: {{path: /health}}, {WHEN}}}, \
         real_servers: {{web1: \"{address}\"}}}}\n"
    );
    let director = Director::start(lab.lb1(), &config)?;
    let kernel = |weight: u32| {
        wait_until(LIMIT, &format!("a weight of {weight}"), || {
            let found = weights(lab.lb1(), &format!("-t [{VIP6}]:80")).ok()?;
            (found.get(&address) == Some(&weight)).then_some(())
        })
    };
    director.wait_server("web", "web1", "up", LIMIT)?;
    kernel(1)?;
    web.set_healthy(false)?;
    director.wait_server("web", "web1", "down", LIMIT)?;
    kernel(0)?;
    ensure!(!lab.lb1().has_address(IpAddr::V6(VIP6))?, "nobody configured the address");
    Ok(())
}

/// Remembered clients of a persistent service would be sent to a server of weight 0: one that is down leaves the table.
#[test]
fn a_persistent_service_loses_a_server_that_is_down_altogether() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let web = Nginx::start(lab.web(1), 80)?;
    let check =
        format!("persistence: {{timeout: 5m}}\n    check: {{http: {{path: /health}}, {WHEN}}}");
    let director = Director::start(lab.lb1(), &service(&check, "web1: 10.77.0.21:80"))?;
    wait_web1(&director, "up", 1)?;
    web.set_healthy(false)?;
    let down = director.wait_server("web", "web1", "down", LIMIT)?;
    assert_eq!(down.effective_weight, None);
    wait_weights(lab.lb1(), &[])?;
    web.set_healthy(true)?;
    wait_web1(&director, "up", 1)?;
    Ok(())
}

/// What a person writes into a file counts at once, and a number is a weight.
#[test]
fn a_file_takes_a_server_out_weighs_it_and_takes_it_back() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let folder = lab.lb1().folder().join("servers");
    fs::create_dir(&folder)?;
    let file = folder.join("web1");
    // What the kernel does not tell would be seen after a minute.
    let check = format!(
        "check: {{file: {{path: \"{}/{{server}}\"}}, interval: 1m, timeout: 5s}}",
        folder.display()
    );
    let director = Director::start(lab.lb1(), &service(&check, "web1: 10.77.0.21:80"))?;
    let up = wait_web1(&director, "up", 1)?;
    ensure!(up.reason.sentence.contains("it is not there"), "{}", up.reason.sentence);
    let say = |words: &str| -> Result<()> {
        let draft = folder.join("draft");
        fs::write(&draft, words)?;
        Ok(fs::rename(&draft, &file)?)
    };
    say("down # a disk\n")?;
    let down = wait_web1(&director, "down", 0)?;
    ensure!(down.reason.sentence.ends_with("it says down: a disk"), "{}", down.reason.sentence);
    say("7\n")?;
    let up = wait_web1(&director, "up", 7)?;
    let advice = up.advice.context("a weight")?;
    assert_eq!((advice.weight, advice.percent, advice.wish.as_str()), (7, 100, "ready"));
    say("drain\n")?;
    wait_weights(director.node(), &[("10.77.0.21:80", 0)])?;
    assert_eq!(director.server("web", "web1")?.context("web1")?.state, "up");
    say("ready 50%\n")?;
    wait_weights(director.node(), &[("10.77.0.21:80", 1)])?;
    fs::remove_file(&file)?;
    director.wait_server("web", "web1", "up", LIMIT)?;
    let events = director.cli(&["events"])?;
    ensure!(events.contains("its agent says drain after ready"), "{events}");
    Ok(())
}

/// A check of two services counts for both, and trying it by hand for nothing.
#[test]
fn a_check_of_two_services_counts_for_both_and_is_tried_by_hand() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let web = Nginx::start(lab.web(1), 80)?;
    let check = "check: {http: {path: /health, headers: {x-token: hunter2}}, interval: 3s, fast_interval: 500ms, down_interval: 500ms, timeout: 2900ms, spread: 0s, rise: 1, fall: 2}";
    let two = service(check, "web1: 10.77.0.21:80")
        + &format!(
            "  shop:\n    listen: tcp 10.77.0.10:81\n    forward: nat\n    {check}\n    real_servers: {{web1: 10.77.0.21:80}}\n"
        );
    let director = Director::start(lab.lb1(), &two)?;
    for service in ["web", "shop"] {
        director.wait_server(service, "web1", "up", LIMIT)?;
    }
    let run = director.cli(&["check-run", "web/web1"])?;
    for words in ["run by the daemon", "pass after", "> GET /health HTTP/1.1", "< HTTP/1.1 200 OK"]
    {
        ensure!(run.contains(words), "{words} is not in {run}");
    }
    ensure!(run.contains("x-token: (hidden)") && !run.contains("hunter2"), "{run}");
    web.set_healthy(false)?;
    for service in ["web", "shop"] {
        director.wait_server(service, "web1", "down", LIMIT)?;
    }
    let (code, said, _) = director.try_cli(&["-o", "json", "check-run", "shop", "web1"])?;
    let run: serde_json::Value = serde_json::from_str(&said)?;
    assert_eq!((code, run["trials"][0]["verdict"].as_str()), (1, Some("fail")), "{said}");
    let (code, _, said) = director.try_cli(&["check-run", "web", "web9"])?;
    ensure!(code == 1 && said.contains("has no server `web9`"), "{code} {said}");
    Ok(())
}
