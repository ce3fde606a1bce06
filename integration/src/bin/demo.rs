//! The demo: a pair of directors, real web servers, a client that never stops asking, and everything that goes wrong in a
//! minute. Exit 0 only when every assertion held.

#![expect(clippy::print_stdout, reason = "the demo is its narration")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::mem::ManuallyDrop;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use holdfast_integration::{Director, Downloads, Load, REQUEST_TIMEOUT, Samples, config};
use holdfast_testkit::lab::{Lab, Nginx, Topology, VIP4, wait_until};
use serde_json::{Value, json};

/// The client's pace: a request every 40 ms.
const PACE: Duration = Duration::from_millis(40);

/// 3 × Advertisement_Interval + Skew_Time of the backup: 3 s + (256 − 100) / 256 s (RFC 9568 §6.1).
const FAILOVER_BOUND: Duration = Duration::from_micros(3_609_375);

/// What the measurement itself may add: a request that was under way, and one that waits for its turn on a busy machine.
const MEASURING: Duration = Duration::from_secs(1);

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(20);

/// Shows a pair of directors through failures, in namespaces, and checks that it holds.
#[derive(Debug, Parser)]
#[command(name = "demo", version)]
struct Options {
    /// Leaves everything up at the end and says how to look at it.
    #[arg(long)]
    keep: bool,
    /// Writes what happens as JSON lines.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nFAILED  {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let mut story = Story::begin(options.record.as_deref().map(File::create).transpose()?);
    let lab = Lab::with(Topology::one_arm().webs(4))?;
    for web in lab.webs() {
        web.hold_vip(IpAddr::V4(VIP4))?;
    }
    let mut webs = lab.webs().map(|web| Nginx::start(web, 80)).collect::<Result<Vec<_>>>()?;
    let configuration = configuration(&lab);
    let mut lb1 = Director::start(lab.lb1(), &configuration)?;
    let lb2 = Director::start(lab.lb2(), &configuration)?;
    story.tell(
        "up",
        "2 directors, 4 web servers and a client, each in a namespace of its own",
        json!({}),
    )?;

    let load = elected(&mut story, &lab, &lb1, &lb2)?;
    server_fails(&mut story, &lab, &lb1, &load, &mut webs)?;
    server_is_added(&mut story, &lab, &lb1, &load)?;
    server_drains(&mut story, &lab, &lb1, &load)?;
    director_dies(&mut story, &lab, &mut lb1, &lb2, &load)?;
    director_returns(&mut story, &lab, &mut lb1, &lb2, &load)?;
    summarise(&mut story, &load.all())?;
    drop(load);
    if options.keep {
        keep(lab, &lb1, &lb2)?;
        // Their processes belong to the kept lab now.
        let _kept = ManuallyDrop::new((lb1, lb2, webs));
    }
    Ok(())
}

fn configuration(lab: &Lab) -> String {
    let servers: String =
        lab.webs().take(3).map(|web| format!("      {}: {}:80\n", web.name(), web.ip4())).collect();
    config(
        &format!(
            "    edge: {{interface: eth0, vrid: 51, priority: 150, addresses: [{VIP4}/24], per_node: {{lb2: {{priority: 100}}}}}}"
        ),
        &format!(
            "  web:\n    listen: tcp {VIP4}:80\n    scheduler: rr\n    forward: direct\n    \
             check: {{http: {{path: /health}}, interval: 500ms, timeout: 400ms, rise: 2, fall: 2}}\n    \
             real_servers:\n{servers}"
        ),
    )
}

/// (1) One node is active, and the kernel spreads connections over three servers.
fn elected(story: &mut Story, lab: &Lab, lb1: &Director, lb2: &Director) -> Result<Load> {
    let since = Instant::now();
    lb1.wait_instance("edge", "active", LIMIT)?;
    lb2.wait_instance("edge", "backup", LIMIT)?;
    for web in ["web1", "web2", "web3"] {
        lb1.wait_server("web", web, "up", LIMIT)?;
        lb2.wait_server("web", web, "up", LIMIT)?;
    }
    story.tell(
        "elected",
        &format!(
            "lb1 is active (priority 150), lb2 backup; {VIP4} after {}",
            seconds(since.elapsed())
        ),
        json!({"active": "lb1"}),
    )?;
    let load = Load::start(lab.client(), vip(), PACE);
    let from = load.now();
    wait_requests(&load, from, 30)?;
    let samples = load.since(from);
    ensure!(samples.failures() == 0, "{} of the first requests failed", samples.failures());
    story.tell(
        "spread",
        &format!("IPVS spreads {}", spread(&samples)),
        json!({"spread": spread(&samples)}),
    )?;
    for web in ["web1", "web2", "web3"] {
        ensure!(samples.answered_by(web) > 0, "{web} answered nothing");
    }
    Ok(load)
}

/// (2) A web server dies: its check withdraws it; it comes back and returns.
fn server_fails(
    story: &mut Story,
    lab: &Lab,
    lb1: &Director,
    load: &Load,
    webs: &mut [Nginx],
) -> Result<()> {
    let (since, from) = (Instant::now(), load.now());
    let web2 = webs.get_mut(1).context("web2")?;
    web2.process().kill_group(nix::sys::signal::Signal::SIGKILL)?;
    let down = lb1.wait_server("web", "web2", "down", LIMIT)?;
    let took = since.elapsed();
    let withdrawn = load.now();
    wait_requests(load, withdrawn, 20)?;
    let (during, after) = (load.since(from), load.since(withdrawn + REQUEST_TIMEOUT));
    ensure!(after.failures() == 0, "{} requests failed after web2 was withdrawn", after.failures());
    story.tell(
        "withdrawn",
        &format!("kill -9 web2: {}, withdrawn after {}; {} requests failed", down.reason.code, seconds(took), during.failures()),
        json!({"withdrawn_ms": millis(took), "failures": during.failures(), "code": down.reason.code}),
    )?;
    let since = Instant::now();
    *web2 = Nginx::start(lab.web(2), 80)?;
    lb1.wait_server("web", "web2", "up", LIMIT)?;
    let from = load.now();
    wait_until(LIMIT, "web2 to answer again", || {
        (load.since(from).answered_by("web2") > 0).then_some(())
    })?;
    story.tell(
        "restored",
        &format!("web2 is back: up and answering after {}", seconds(since.elapsed())),
        json!({}),
    )
}

/// (3) A fourth server is added while all goes on.
fn server_is_added(story: &mut Story, lab: &Lab, lb1: &Director, load: &Load) -> Result<()> {
    let (since, from) = (Instant::now(), load.now());
    let address = format!("{}:80", lab.web(4).ip4());
    lb1.cli(&["server", "add", "web", &address, "--name", "web4", "--wait", "15s"])?;
    let up = since.elapsed();
    wait_until(LIMIT, "web4 to answer", || {
        (load.since(from).answered_by("web4") > 0).then_some(())
    })?;
    story.tell(
        "added",
        &format!(
            "holdfast server add web {address}: first check passed after {}, and it answers",
            seconds(up)
        ),
        json!({"up_ms": millis(up)}),
    )?;
    ensure!(load.since(from).failures() == 0, "requests failed while web4 was added");
    Ok(())
}

/// (4) A server drains: no new connections, none broken.
fn server_drains(story: &mut Story, lab: &Lab, lb1: &Director, load: &Load) -> Result<()> {
    let mut downloads = Downloads::start(lab.client(), vip(), 4)?;
    // The steady requests take their turns as well, so web4 may have been left out.
    while downloads.served_by(lab.lb1(), lab.web(4).ip4())? == 0 {
        ensure!(downloads.bytes().len() < 20, "web4 gets no connection");
        downloads.add(lab.client(), vip())?;
    }
    let count = downloads.bytes().len();
    let before = lb1.server("web", "web4")?.context("web4 has gone")?;
    wait_until(LIMIT, "every download to begin", || {
        downloads.bytes().iter().all(|bytes| *bytes > 0).then_some(())
    })?;
    lb1.cli(&["server", "drain", "web", "web4", "--timeout", "60s"])?;
    let from = load.now() + REQUEST_TIMEOUT;
    wait_requests(load, from, 25)?;
    let (old, samples) = (downloads.bytes(), load.since(from));
    ensure!(
        samples.answered_by("web4") == 0,
        "web4 got {} new connections",
        samples.answered_by("web4")
    );
    ensure!(samples.failures() == 0, "{} requests failed", samples.failures());
    wait_until(LIMIT, "every download to go on", || {
        downloads.bytes().iter().zip(&old).all(|(new, old)| new > old).then_some(())
    })?;
    ensure!(downloads.broken() == 0, "{} downloads were cut", downloads.broken());
    let draining = lb1.server("web", "web4")?.context("web4 has gone")?;
    ensure!(draining.state == "draining", "web4 is {} with a download under way", draining.state);
    drop(downloads);
    lb1.wait_server("web", "web4", "drained", LIMIT)?;
    story.tell(
        "drained",
        &format!(
            "holdfast server drain web web4: weight {} → 0, 0 of {} new connections to it, {count} downloads went on, 0 broken",
            before.weight,
            samples.requests()
        ),
        json!({"requests": samples.requests(), "broken": 0}),
    )
}

/// (5) The active director dies: the other one takes over.
fn director_dies(
    story: &mut Story,
    lab: &Lab,
    lb1: &mut Director,
    lb2: &Director,
    load: &Load,
) -> Result<()> {
    let from = load.now();
    lab.link_down(lab.lb1())?;
    lb1.kill()?;
    lb2.wait_instance("edge", "active", LIMIT)?;
    let taken = load.now();
    wait_requests(load, taken + REQUEST_TIMEOUT * 2, 10)?;
    ensure!(lab.lb2().has_address(IpAddr::V4(VIP4))?, "lb2 is active without the address");
    let gap = load.since(from).longest_gap();
    ensure!(gap <= FAILOVER_BOUND + MEASURING, "the client saw nothing for {}", seconds(gap));
    story.tell(
        "failed_over",
        &format!(
            "lb1 loses power (kill -9, cable out): {VIP4} on lb2; longest gap {}, bound {} (3 × 1 s + skew)",
            seconds(gap),
            seconds(FAILOVER_BOUND)
        ),
        json!({"gap_ms": millis(gap), "bound_ms": millis(FAILOVER_BOUND)}),
    )
}

/// (6) It comes back and takes over again.
fn director_returns(
    story: &mut Story,
    lab: &Lab,
    lb1: &mut Director,
    lb2: &Director,
    load: &Load,
) -> Result<()> {
    let (since, from) = (Instant::now(), load.now());
    lb1.restart()?;
    lab.link_up(lab.lb1())?;
    lb1.wait_instance("edge", "active", LIMIT)?;
    lb2.wait_instance("edge", "backup", LIMIT)?;
    let took = since.elapsed();
    let back = load.now();
    wait_requests(load, back, 20)?;
    let samples = load.since(from);
    ensure!(!lab.lb2().has_address(IpAddr::V4(VIP4))?, "lb2 keeps the address");
    let gap = samples.longest_gap();
    ensure!(
        gap <= Duration::from_secs(1),
        "the client saw nothing for {} at the return",
        seconds(gap)
    );
    story.tell(
        "returned",
        &format!(
            "lb1 is back and preempts after {}; {} of {} requests failed meanwhile",
            seconds(took),
            samples.failures(),
            samples.requests()
        ),
        json!({"preempted_ms": millis(took), "failures": samples.failures()}),
    )
}

fn summarise(story: &mut Story, samples: &Samples) -> Result<()> {
    let (requests, failures) = (samples.requests(), samples.failures());
    let longest = samples.longest_gap();
    ensure!(longest <= FAILOVER_BOUND + MEASURING, "a gap of {}", seconds(longest));
    story.tell(
        "summary",
        &format!("PASS  {requests} requests, {failures} failed, longest gap {}", seconds(longest)),
        json!({"requests": requests, "failures": failures, "longest_gap_ms": millis(longest)}),
    )
}

fn keep(lab: Lab, lb1: &Director, lb2: &Director) -> Result<()> {
    println!("\nThe lab stays up. Look around with:");
    for director in [lb1, lb2] {
        println!("  {} status", director.command_line());
    }
    println!("  ip netns exec {} ipvsadm -Ln", lab.lb1().namespace());
    println!("  ip netns exec {} curl http://{VIP4}/", lab.client().namespace());
    lab.keep()
}

/// Waits until `count` requests have been begun since `from`, and ended.
fn wait_requests(load: &Load, from: Duration, count: usize) -> Result<()> {
    wait_until(LIMIT, "requests", || (load.since(from).requests() >= count).then_some(()))
}

fn vip() -> SocketAddr {
    (VIP4, 80).into()
}

/// `web1 10, web2 10, web3 10`.
fn spread(samples: &Samples) -> String {
    let answers = |web: &str| format!("{web} {}", samples.answered_by(web));
    ["web1", "web2", "web3"].map(answers).join(", ")
}

fn seconds(duration: Duration) -> String {
    format!("{}.{:02} s", duration.as_secs(), duration.subsec_millis() / 10)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What is told on the terminal and recorded.
struct Story {
    begun: Instant,
    record: Option<BufWriter<File>>,
}

impl Story {
    fn begin(record: Option<File>) -> Self {
        Self { begun: Instant::now(), record: record.map(BufWriter::new) }
    }

    /// Tells a line and records it with `facts`.
    fn tell(&mut self, event: &str, line: &str, facts: Value) -> Result<()> {
        let at = self.begun.elapsed();
        println!("[{:>5}] {line}", format!("{}.{}", at.as_secs(), at.subsec_millis() / 100));
        if let Some(record) = &mut self.record {
            let entry = json!({"t_ms": millis(at), "event": event, "facts": facts});
            writeln!(record, "{entry}").context("write the record")?;
            record.flush().context("write the record")?;
        }
        Ok(())
    }
}
