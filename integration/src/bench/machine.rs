//! What a reader of the results has to know about the machine, and telling how far the run has come.

use std::fmt::Arguments;
use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use holdfast_net::now;
use holdfast_testkit::lab::Node;

/// Tells the person in front of the terminal how far it has come.
#[expect(
    clippy::print_stderr,
    reason = "progress is for the terminal, results are on standard output"
)]
pub fn progress(what: Arguments<'_>) {
    eprintln!("bench: [{:>6} s] {what}", now().since_start().as_secs());
}

/// The number of processors.
pub fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Kernel, processors, their model and the load before the run.
pub fn describe() -> Vec<(&'static str, String)> {
    let first = |path: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().next().unwrap_or_default().to_owned()
    };
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("", |line| line.trim_start_matches([' ', '\t', ':']));
    vec![
        ("kernel", first("/proc/sys/kernel/osrelease")),
        ("processors", format!("{} × {model}", cores())),
        ("load before", first("/proc/loadavg")),
        ("keepalived", version("/usr/sbin/keepalived")),
    ]
}

/// What a program calls its version: the first line that it writes.
pub(super) fn version(program: &str) -> String {
    let Ok(output) = Command::new(program).arg("--version").output() else {
        return "not installed".to_owned();
    };
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
}

/// Time that the hypervisor took from this machine since its start, in clock ticks of all processors (`steal` of proc_stat(5)).
pub fn steal_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let cpu = stat.lines().next().unwrap_or_default();
    cpu.split_ascii_whitespace().nth(8).and_then(|ticks| ticks.parse().ok()).unwrap_or_default()
}

/// Packets that a namespace has sent and received, over all its interfaces but `lo`; a process of that namespace tells which.
pub fn packets(pid: u32) -> (u64, u64) {
    let table = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let links = table.lines().filter_map(|line| line.split_once(':'));
    let links = links.filter(|(name, _)| name.trim() != "lo");
    links.fold((0, 0), |(sent, received), (_, counters)| {
        let column = |number: usize| {
            let word = counters.split_ascii_whitespace().nth(number);
            word.and_then(|word| word.parse::<u64>().ok()).unwrap_or_default()
        };
        (sent + column(9), received + column(1))
    })
}

/// Whether `node` is the one that an IPv4 source belongs to: its own address on `eth0`.
pub fn is_of(source: std::net::IpAddr, node: &Node) -> bool {
    source == std::net::IpAddr::V4(node.ip4())
}
