//! What the allocator does with memory that is free for the moment.
//!
//! A start, and every reload, reads and compares large texts and trees one after the other. By its own settings the GNU C library maps each large
//! block anew and gives the heap's end back whenever something lies free there, so that the same pages are fetched from the kernel time and
//! again, at a fault each.

/// Blocks up to this size come from the heap: a configuration's text has 4 MiB at most.
#[cfg(target_env = "gnu")]
const MAPPED_FROM: libc::c_int = 4 << 20;

/// So much may lie free at a heap's end. What a start or a reload leaves there is given back when it is done
/// ([`settle_memory`](crate::realtime::settle_memory)).
#[cfg(target_env = "gnu")]
const KEPT: libc::c_int = 8 << 20;

/// The heap grows in such steps; what is not touched costs nothing.
#[cfg(target_env = "gnu")]
const STEP: libc::c_int = 512 << 10;

/// Has what is freed used again by what comes next. To be called before there is another thread.
///
/// A setting that the library does not take stays as it is, which costs time and nothing else.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "no crate has mallopt")]
pub fn keep_freed() {
    let settings = [
        (libc::M_MMAP_THRESHOLD, MAPPED_FROM),
        (libc::M_TRIM_THRESHOLD, KEPT),
        (libc::M_TOP_PAD, STEP),
    ];
    for (setting, value) in settings {
        // JUSTIFICATION: it is an extension of the GNU C library that no safe crate offers.
        // SAFETY: it takes two numbers and sets a number of the allocator's, under the allocator's own lock.
        let _taken = unsafe { libc::mallopt(setting, value) };
    }
}

/// Other allocators have their own ways.
#[cfg(not(target_env = "gnu"))]
pub const fn keep_freed() {}
