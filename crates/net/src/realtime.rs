//! What keeps a thread on time on a busy host: a real-time priority, and memory that is never paged out.
//!
//! Neither is needed for the protocol to be right, only for its being on time, so a refusal is for the log.

use std::ptr::NonNull;

use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, MmapAdvise, madvise, mlockall, munlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use crate::answer::Answer;

/// `CAP_IPC_LOCK` of linux/capability.h.
const CAP_IPC_LOCK: u32 = 14;

/// Gives the calling thread the policy SCHED_RR with `priority` (1 to 99). Threads and processes that it starts later have the
/// usual policy again (SCHED_RESET_ON_FORK): a script is never a real-time process.
///
/// # Errors
/// RLIMIT_RTPRIO is lower and CAP_SYS_NICE is missing, or the priority is not from 1 to 99. Nothing has changed then.
#[expect(unsafe_code, reason = "nix has no sched_setscheduler")]
pub fn enter(priority: u8) -> Result<(), RealtimeError> {
    let parameters = libc::sched_param { sched_priority: i32::from(priority) };
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    // JUSTIFICATION: neither nix nor the standard library sets a thread's scheduling policy.
    // SAFETY: the pointer is to a live, initialised sched_param, which the kernel reads during the call; 0 is the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    Errno::result(result).map(drop).map_err(|errno| {
        let advice =
            "grant CAP_SYS_NICE or raise RLIMIT_RTPRIO (LimitRTPRIO= of the service's unit)";
        let answer = if errno == Errno::EPERM {
            Answer::advising(errno, advice)
        } else {
            Answer::of_netlink(errno)
        };
        RealtimeError::Priority { priority, answer }
    })
}

/// Keeps the memory of this process from being paged out: what is touched is locked, what it has now and what it gets later, and
/// what is never touched costs nothing, such as the unused part of a thread's stack. What the heap has to spare is given back first,
/// and the text that has run until now and may never again.
///
/// Where a limit on locked memory applies nothing is locked, since allocations would fail later, once the limit is reached.
///
/// # Errors
/// RLIMIT_MEMLOCK is not unlimited and CAP_IPC_LOCK is missing, or the kernel refuses otherwise.
pub fn lock_memory() -> Result<(), RealtimeError> {
    if !may_lock() {
        return Err(lock_refused(Errno::EPERM));
    }
    give_back();
    drop_text();
    lock()
}

/// What there is and what comes, each page once it is touched.
fn lock() -> Result<(), RealtimeError> {
    // By hand, because nix lacks this one: MCL_ONFAULT of linux/mman.h.
    let on_fault = MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault)
        .map_err(lock_refused)
}

/// Gives back what only a start, or another reading of the configuration, has needed: what the allocator has to spare, and the
/// pages of the program's text, of which those that still run come back at once from the kernel's cache of files, and are locked
/// again by that. Memory that is locked stays so, but for a moment in which it is not. Takes about a millisecond; threads that touch
/// a page meanwhile wait for it no longer than for any page fault.
///
/// # Errors
/// What was locked can't be locked again: it may be paged out now.
pub fn settle_memory() -> Result<(), RealtimeError> {
    if !is_locked() {
        give_back();
        return Ok(());
    }
    munlockall().map_err(lock_refused)?;
    give_back();
    drop_text();
    lock()
}

/// Lets go of the resident pages of the text and the constants of the program and its libraries. These are never written, so what
/// comes back is the same.
/// A page that can't be let go stays, which costs memory and nothing else.
#[expect(unsafe_code, reason = "memory is given back by address")]
fn drop_text() {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    for (start, length) in maps.lines().filter_map(text_of) {
        let Some(start) = NonNull::new(std::ptr::without_provenance_mut(start)) else { continue };
        // JUSTIFICATION: no safe interface gives back pages of the program's own file.
        // SAFETY: the kernel itself has just named this range as a private mapping of a file which is not writable and which
        // nobody has written to (see `text_of`), so the pages that come back when they are touched are the same. A library
        // that was unmapped meanwhile leaves nothing there or another such mapping: nothing here unloads libraries.
        let _stays = unsafe { madvise(start, length, MmapAdvise::MADV_DONTNEED) };
    }
}

/// Start and length of the mapping in a line of proc_pid_maps(5), if it is a file's text or its first segment, which has the
/// constants. Other mappings that can't be written to may have been, before the loader protected them (RELRO).
fn text_of(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (range, rights, offset) = (words.next()?, words.next()?, words.next()?);
    let path = words.nth(2)?;
    let is_untouched = rights == "r-xp" || (rights == "r--p" && offset == "00000000");
    let (start, end) = range.split_once('-')?;
    let (start, end) =
        (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    (is_untouched && path.starts_with('/')).then(|| (start, end.saturating_sub(start)))
}

/// Gives back to the kernel what the allocator has to spare: a large configuration leaves several times its size behind.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "no crate has malloc_trim")]
fn give_back() {
    // JUSTIFICATION: it is an extension of the GNU C library that no safe crate offers.
    // SAFETY: it takes a number, locks the allocator's arenas itself, and may be called by any thread at any time.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators give back by themselves.
#[cfg(not(target_env = "gnu"))]
const fn give_back() {}

fn lock_refused(errno: Errno) -> RealtimeError {
    let advice =
        "grant CAP_IPC_LOCK or lift RLIMIT_MEMLOCK (LimitMEMLOCK=infinity of the service's unit)";
    RealtimeError::Memory { answer: Answer::advising(errno, advice) }
}

fn may_lock() -> bool {
    let unlimited =
        getrlimit(Resource::RLIMIT_MEMLOCK).is_ok_and(|(soft, _)| soft == RLIM_INFINITY);
    unlimited
        || std::fs::read_to_string("/proc/self/status")
            .is_ok_and(|status| has_capability(&status, CAP_IPC_LOCK))
}

/// Whether anything of this process is locked.
fn is_locked() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        let kib = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
        kib.is_some_and(|kib| kib.trim() != "0 kB")
    })
}

/// Whether a process with this `/proc/PID/status` has the capability of this number.
fn has_capability(status: &str, number: u32) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .is_some_and(|effective| effective & (1 << number) != 0)
}

/// What the kernel did not grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RealtimeError {
    /// The thread has the usual priority.
    #[error("set the real-time priority {priority}: {answer}")]
    Priority {
        /// The priority that was asked for.
        priority: u8,
        /// What the kernel answered.
        answer: Answer,
    },
    /// The memory may be paged out.
    #[error("lock the process's memory: {answer}")]
    Memory {
        /// What the kernel answered.
        answer: Answer,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_is_read_from_the_effective_set() {
        let status = |bits| format!("Name:\tx\nCapPrm:\tffffffffffffffff\nCapEff:\t{bits}\n");
        assert!(has_capability(&status("0000000000004000"), CAP_IPC_LOCK));
        assert!(!has_capability(&status("000001ffffffbfff"), CAP_IPC_LOCK));
        assert!(!has_capability("nothing", CAP_IPC_LOCK));
    }

    #[test]
    fn text_is_told_from_what_was_written() {
        let line = |rights_and_offset: &str| {
            format!("55e0a000-55e0c000 {rights_and_offset} fe:00 42      /usr/sbin/holdfastd")
        };
        let text = Some((0x55e0_a000, 0x2000));
        assert_eq!(text_of(&line("r-xp 00001000")), text);
        assert_eq!(text_of(&line("r--p 00000000")), text, "constants");
        assert_eq!(text_of(&line("r--p 00001000")), None, "RELRO: written, then protected");
        for rights in ["rw-p", "rwxp", "r-xs", "---p"] {
            let line = line(&format!("{rights} 00000000"));
            assert_eq!(text_of(&line), None, "{rights}");
        }
        assert_eq!(text_of("7ffc1000-7ffc3000 r-xp 00000000 00:00 0     [vdso]"), None);
        assert_eq!(text_of("7ffc1000-7ffc3000 r-xp 00000000 00:00 0"), None);
        assert_eq!(text_of("nonsense"), None);
    }

    /// A priority that the kernel has not is refused whatever is permitted, and the thread stays as it was.
    #[test]
    fn a_priority_out_of_range_is_refused_by_name() {
        let error = enter(100).unwrap_err().to_string();
        assert!(error.starts_with("set the real-time priority 100: EINVAL"), "{error}");
        assert_eq!(policy(), 0, "SCHED_OTHER");
    }

    /// Permitted or refused: the policy is what the answer says, and a thread started by a real-time one is none.
    #[test]
    fn the_policy_is_what_the_answer_says_and_is_not_inherited() {
        std::thread::spawn(|| match enter(1) {
            Ok(()) => {
                assert_eq!(policy(), 2, "SCHED_RR");
                assert_eq!(std::thread::spawn(policy).join().unwrap(), 0, "not inherited");
            }
            Err(error) => {
                assert!(error.to_string().contains("CAP_SYS_NICE"), "{error}");
                assert_eq!(policy(), 0);
            }
        })
        .join()
        .unwrap();
    }

    /// The calling thread's policy: field 41 of proc_pid_stat(5), counted here from behind the name's parenthesis.
    fn policy() -> u32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let fields = stat.rsplit_once(") ").unwrap().1;
        fields.split(' ').nth(41 - 3).unwrap().parse().unwrap()
    }
}
