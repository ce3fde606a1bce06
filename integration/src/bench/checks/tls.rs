//! The memory of ten thousand https checks: the servers without a check, then the same with one, asked for every minute.
//!
//! One nginx stands for all of them, with a certificate that this daemon verifies. keepalived's SSL_GET verifies none.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use holdfast_net::now;
use holdfast_testkit::lab::{Node, Process};

use super::rows::{configure, lab, wait_up};
use super::setup::{Kind, NAME, PORT, Setup};
use crate::bench::ipvs::Part;
use crate::bench::ipvs::eye::Eye;
use crate::bench::ipvs::rival::Running;
use crate::bench::ipvs::rows::turns;
use crate::bench::report::{Goal, ns};

/// The file in the node's folder with the authority that servers' certificates are by.
pub(super) const AUTHORITY: &str = "server.pem";

const UNCHECKED: Setup = Setup::new(Kind::Unchecked, 10_000);
const CHECKED: Setup = Setup { every_s: 60, ..Setup::new(Kind::Https, 10_000) };

/// From the start of a program until each server has been asked once: keepalived has all in the table at once.
const FIRST_ROUND: Duration = Duration::from_secs(70);

/// How long it is watched then.
const WINDOW: Duration = Duration::from_secs(20);

/// How long nginx may take to listen.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn measure(part: &mut Part, round: usize) -> Result<()> {
    let what = CHECKED.what();
    for keeper in turns(round) {
        let lab = lab()?;
        let node = lab.lb1();
        let servers = Servers::stand(node)?;
        let mut eye = Eye::open(node)?;
        configure(node, keeper, UNCHECKED)?;
        let mut running = Running::start(node, keeper)?;
        wait_up(&mut running, &eye, UNCHECKED)?;
        sleep(Duration::from_secs(2));
        let without = running.cost().peak;
        drop(running);
        eye.flush()?;

        configure(node, keeper, CHECKED)?;
        let mut running = Running::start(node, keeper)?;
        wait_up(&mut running, &eye, CHECKED)?;
        sleep(FIRST_ROUND.saturating_sub(now().saturating_since(running.started)));
        let (before, asked, began) = (running.cost(), servers.asked()?, now());
        sleep(WINDOW);
        let (after, made) = (running.cost(), (servers.asked()?.saturating_sub(asked)).max(1));
        let span = now().saturating_since(began);
        running.check_alive()?;

        let mut subject = part.of(&what, keeper);
        let each = after.peak.saturating_sub(without) / u64::from(CHECKED.servers);
        subject.bytes("greatest resident memory without checks", Goal::Ratio(1000), without);
        subject.bytes("greatest resident memory", Goal::Ratio(1000), after.peak);
        subject.count("of it for each check, bytes", Goal::None, each);
        let taken = after.cpu_ns.saturating_sub(before.cpu_ns);
        subject.ns("processor time of a check", Goal::None, taken / made);
        let due = u128::from(CHECKED.healthy()) * u128::from(ns(span));
        let due = due / u128::from(ns(Duration::from_secs(CHECKED.every_s.into())));
        let share = u128::from(made) * 1000 / due.max(1);
        let kept = Goal::Near { bound: 1000, permille: 20 };
        let share = u64::try_from(share).unwrap_or(u64::MAX);
        subject.count("of the checks that are due, thousandths", kept, share);
        drop(running);
        eye.flush()?;
    }
    Ok(())
}

/// nginx at [`PORT`] of every address, which writes down each request.
struct Servers {
    log: PathBuf,
    _process: Process,
}

impl Servers {
    fn stand(node: &Node) -> Result<Self> {
        let folder = node.folder();
        node.sh(&format!(
            "cd {} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN={NAME} \
             -addext subjectAltName=DNS:{NAME} -addext basicConstraints=critical,CA:FALSE \
             -keyout server.key -out {AUTHORITY} 2>&1",
            folder.display()
        ))?;
        let log = folder.join("asked.log");
        let config = node.write("nginx.conf", &configuration(node))?;
        let mut process = node.spawn(
            "nginx",
            [
                "nginx".as_ref(),
                "-p".as_ref(),
                folder.as_os_str(),
                "-e".as_ref(),
                "stderr".as_ref(),
                "-c".as_ref(),
                config.as_os_str(),
            ],
        )?;
        process.wait_listening(PORT, LIMIT)?;
        Ok(Self { log, _process: process })
    }

    /// How many requests there were: a line of one byte each.
    fn asked(&self) -> Result<u64> {
        let log = fs::metadata(&self.log).context("nginx has written nothing down")?;
        Ok(log.len() / 2)
    }
}

fn configuration(node: &Node) -> String {
    let folder = node.folder().display();
    format!(
        "daemon off;\n\
         user root;\n\
         worker_processes 1;\n\
         worker_rlimit_nofile 32768;\n\
         pid {folder}/nginx.pid;\n\
         error_log stderr;\n\
         events {{ worker_connections 16384; }}\n\
         http {{\n\
         \x20 log_format mark 'x';\n\
         \x20 access_log {folder}/asked.log mark;\n\
         \x20 client_body_temp_path {folder}/body;\n\
         \x20 proxy_temp_path {folder}/proxy;\n\
         \x20 fastcgi_temp_path {folder}/fastcgi;\n\
         \x20 uwsgi_temp_path {folder}/uwsgi;\n\
         \x20 scgi_temp_path {folder}/scgi;\n\
         \x20 server {{\n\
         \x20   listen {PORT} ssl backlog=4096;\n\
         \x20   ssl_certificate {folder}/{AUTHORITY};\n\
         \x20   ssl_certificate_key {folder}/server.key;\n\
         \x20   location / {{ return 200 \"ok\\n\"; }}\n\
         \x20 }}\n\
         }}\n"
    )
}
