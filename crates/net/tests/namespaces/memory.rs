//! Memory that is locked and given back: as root, since both need a right.

use holdfast_net::realtime::{lock_memory, settle_memory};

/// What proc_pid_status(5) says of this process, in KiB.
fn kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap().trim_end_matches("kB").trim().parse().unwrap()
}

#[test]
fn what_a_start_has_needed_is_given_back_and_what_runs_is_locked_again() {
    lock_memory().unwrap();
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
