//! What a run found, before the time that it took is known, and the words for the kernel's errors.

use std::io;

use holdfast_health::{Code, Reason, Verdict};
use nix::errno::Errno;

/// A verdict and its reason.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    pub(crate) reason: Reason,
}

impl Finding {
    pub(crate) fn pass(code: Code, sentence: impl Into<String>) -> Self {
        Self { verdict: Verdict::Pass, reason: Reason::new(code, sentence) }
    }

    pub(crate) fn fail(code: Code, sentence: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, reason: Reason::new(code, sentence) }
    }

    /// The run was not possible for a reason of our own.
    pub(crate) fn ours(sentence: impl Into<String>) -> Self {
        Self { verdict: Verdict::Inconclusive, reason: Reason::new(Code::SOCKERR, sentence) }
    }
}

/// Whether `error` says that this host lacks something, which no server is to blame for.
pub(crate) fn is_own_shortage(error: &io::Error) -> bool {
    const SHORTAGES: [Errno; 6] = [
        Errno::EMFILE,
        Errno::ENFILE,
        Errno::ENOBUFS,
        Errno::ENOMEM,
        Errno::EADDRNOTAVAIL,
        Errno::EAGAIN,
    ];
    error.raw_os_error().is_some_and(|raw| SHORTAGES.contains(&Errno::from_raw(raw)))
}

/// The kernel's error in words and by name: `connection refused (ECONNREFUSED)`.
pub(crate) fn describe(error: &io::Error) -> String {
    let Some(raw) = error.raw_os_error() else { return error.to_string() };
    let errno = Errno::from_raw(raw);
    let words = errno.desc();
    let (first, rest) = words.split_at_checked(1).unwrap_or((words, ""));
    format!("{}{rest} ({errno:?})", first.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_words_and_a_name() {
        let refused = io::Error::from_raw_os_error(Errno::ECONNREFUSED as i32);
        assert_eq!(describe(&refused), "connection refused (ECONNREFUSED)");
        assert_eq!(describe(&io::Error::other("of our own")), "of our own");
    }

    #[test]
    fn what_this_host_lacks_is_no_fault_of_a_server() {
        for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM] {
            assert!(is_own_shortage(&io::Error::from_raw_os_error(errno as i32)), "{errno}");
        }
        for errno in [Errno::EADDRNOTAVAIL, Errno::EAGAIN] {
            assert!(is_own_shortage(&io::Error::from_raw_os_error(errno as i32)), "{errno}");
        }
        for errno in [Errno::ECONNREFUSED, Errno::EHOSTUNREACH, Errno::ENETUNREACH] {
            assert!(!is_own_shortage(&io::Error::from_raw_os_error(errno as i32)), "{errno}");
        }
    }
}
