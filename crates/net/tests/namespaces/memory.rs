//! Memory that is locked and given back: as root, since both need a right.

use std::os::unix::fs::FileExt as _;

use holdfast_net::realtime::{lock_memory, settle_memory};

/// What proc_pid_status(5) says of this process, in KiB.
fn kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap().trim_end_matches("kB").trim().parse().unwrap()
}

/// Reads all of this program's text, so that it is resident.
fn touch_all_text() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let program = std::env::current_exe().unwrap();
    let program = program.to_str().unwrap();
    let text = maps.lines().find(|line| line.contains("r-xp") && line.ends_with(program)).unwrap();
    let (start, end) = text.split_whitespace().next().unwrap().split_once('-').unwrap();
    let [start, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).unwrap());
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    let mut page = [0; 4096];
    for at in (start..end).step_by(page.len()) {
        memory.read_exact_at(&mut page, at).unwrap();
    }
}

#[test]
fn what_a_start_has_needed_is_given_back_and_what_runs_is_locked_again() {
    lock_memory().unwrap();
    touch_all_text();
    let before = kib("RssFile");
    // Of the pages that are gone every one that is needed comes back: this goes on.
    settle_memory().unwrap();
    assert!(kib("VmLck") > 0);
    let after = kib("RssFile");
    assert!(after < before, "{before} KiB of files before, {after} after");
    nix::sys::mman::munlockall().unwrap();
    // And of a process that locks nothing nothing is locked.
    settle_memory().unwrap();
    assert_eq!(kib("VmLck"), 0);
}
