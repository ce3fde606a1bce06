//! `holdfast top` beside a service at work: the kernel's counters come through the daemon, and a daemon that goes away is waited for.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_integration::{Director, Load, Programs};
use holdfast_testkit::lab::{Lab, Nginx, Topology, VIP4, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A `holdfast -o json top` that runs, and its lines.
struct Top {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Top {
    fn start(director: &Director) -> Result<Self> {
        let mut child = Command::new(Programs::find()?.holdfast)
            .arg("--socket")
            .arg(director.socket())
            .args(["-o", "json", "top", "--interval", "100ms"])
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("it has an output")?;
        Ok(Self { child, lines: BufReader::new(output).lines() })
    }

    /// Reads on until a line has something under `key`; each line is an object.
    fn until(&mut self, key: &str) -> Result<Value> {
        loop {
            let line = self.lines.next().context("it goes on")??;
            let value: Value = serde_json::from_str(&line)?;
            if let Some(found) = value.get(key).filter(|found| !found.is_null()) {
                return Ok(found.clone());
            }
        }
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_service_at_work_is_shown_and_a_daemon_that_goes_away_is_waited_for() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(2))?;
    for web in lab.webs() {
        web.hold_vip(VIP4.into())?;
    }
    let _webs = lab.webs().map(|web| Nginx::start(web, 80)).collect::<Result<Vec<_>>>()?;
    lab.lb1().sh(&format!("ip address add {VIP4}/24 dev eth0"))?;
    let config = format!(
        "daemon: {{state: {}}}\nipvs: {{poll: 250ms}}\nservices:\n  idle:\n    listen: tcp {VIP4}:81\n    forward: direct\n    \
         real_servers: {{web1: 10.77.0.21}}\n  web:\n    listen: tcp {VIP4}:80\n    scheduler: rr\n    forward: direct\n    \
         real_servers: {{web1: 10.77.0.21, web2: 10.77.0.22}}\n",
        lab.lb1().folder().join("state").display()
    );
    let mut director = Director::start(lab.lb1(), &config)?;
    let _load = Load::start(lab.client(), (VIP4, 80).into(), Duration::from_millis(20));

    let busiest = wait_until(LIMIT, "connections a second", || {
        let shown: Value =
            serde_json::from_str(&director.cli(&["-o", "json", "top", "--once"]).ok()?).ok()?;
        let busiest = shown.pointer("/view/services/0")?.clone();
        let of = |key: &str| busiest.pointer(&format!("/traffic/{key}")).and_then(Value::as_u64);
        let at_work = of("connections_per_s")? > 0 && of("bytes_in_per_s")? > 0;
        (at_work && of("connections")? > 20).then_some(busiest)
    })?;
    ensure!(busiest.get("name") == Some(&"web".into()), "the busiest stands first: {busiest}");
    let shares: Vec<u64> = ["/servers/0", "/servers/1"]
        .iter()
        .filter_map(|one| busiest.pointer(&format!("{one}/traffic/connections"))?.as_u64())
        .collect();
    ensure!(shares.len() == 2 && shares.iter().all(|share| *share > 5), "{busiest}");
    let text = director.cli(&["top", "--once"])?;
    ensure!(text.contains("CONN/S") && text.contains("2/2 up"), "{text}");

    let mut top = Top::start(&director)?;
    top.until("view")?;
    director.kill()?;
    top.until("problem")?;
    director.restart()?;
    top.until("view")?;
    kill(Pid::from_raw(top.child.id().try_into()?), Signal::SIGINT)?;
    let status = top.child.wait()?;
    ensure!(status.success(), "it ends as it is asked: {status}");
    Ok(())
}
