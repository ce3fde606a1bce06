//! What a run found, before the time that it took is known, and the words for the kernel's errors.

use std::io;

use holdfast_health::{Code, Feedback, Reason, Sentence, Verdict};
use nix::errno::Errno;

/// So many characters of a line that a program printed go into a sentence.
const LINE_LIMIT: usize = 200;
/// So many of what a server said.
const EXCERPT_LIMIT: usize = 80;

/// A verdict and its reason.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    pub(crate) reason: Reason,
    /// What is said besides of the server's weight.
    pub(crate) feedback: Feedback,
}

impl Finding {
    pub(crate) fn pass(code: Code, sentence: impl Into<Sentence>) -> Self {
        Self::new(Verdict::Pass, code, sentence)
    }

    pub(crate) fn fail(code: Code, sentence: impl Into<Sentence>) -> Self {
        Self::new(Verdict::Fail, code, sentence)
    }

    /// The run was not possible for a reason of our own.
    pub(crate) fn ours(sentence: impl Into<Sentence>) -> Self {
        Self::new(Verdict::Inconclusive, Code::SOCKERR, sentence)
    }

    fn new(verdict: Verdict, code: Code, sentence: impl Into<Sentence>) -> Self {
        Self { verdict, reason: Reason::new(code, sentence), feedback: Feedback::NONE }
    }

    /// The same, which also says something of the server's weight.
    pub(crate) fn advising(self, feedback: Feedback) -> Self {
        Self { feedback, ..self }
    }
}

/// Whether `error` says that this host lacks something, which no server is to blame for.
pub(crate) fn is_own_shortage(error: &io::Error) -> bool {
    const SHORTAGES: [Errno; 7] = [
        // Of epoll: fs.epoll.max_user_watches of this user.
        Errno::ENOSPC,
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

/// The first line of `output` that says something, fit for a log: no control characters, and no more than [`LINE_LIMIT`] of it.
pub(crate) fn first_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let harmless = |c: char| c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric();
    let mut kept: String = line
        .chars()
        .take(LINE_LIMIT)
        .map(|c| if harmless(c) { c } else { char::REPLACEMENT_CHARACTER })
        .collect();
    if line.chars().nth(LINE_LIMIT).is_some() {
        kept.push('…');
    }
    kept
}

/// What a server said, in quotes: the same, but shorter.
pub(crate) fn excerpt(said: &[u8]) -> String {
    // No more of it is made text than can be shown.
    let line = first_line(said.get(..4 * EXCERPT_LIMIT).unwrap_or(said));
    match line.char_indices().nth(EXCERPT_LIMIT) {
        Some((end, _)) => format!("\"{}…\"", line.get(..end).unwrap_or_default()),
        None => format!("\"{line}\""),
    }
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
        for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM, Errno::ENOSPC] {
            assert!(is_own_shortage(&io::Error::from_raw_os_error(errno as i32)), "{errno}");
        }
        for errno in [Errno::EADDRNOTAVAIL, Errno::EAGAIN] {
            assert!(is_own_shortage(&io::Error::from_raw_os_error(errno as i32)), "{errno}");
        }
        for errno in [Errno::ECONNREFUSED, Errno::EHOSTUNREACH, Errno::ENETUNREACH] {
            assert!(!is_own_shortage(&io::Error::from_raw_os_error(errno as i32)), "{errno}");
        }
    }

    #[test]
    fn the_first_line_is_fit_for_a_log() {
        assert_eq!(first_line(b""), "");
        assert_eq!(first_line(b"\n  \n  no answer \nmore\n"), "no answer");
        assert_eq!(first_line(b"a\x1b[31mred\x07"), "a\u{fffd}[31mred\u{fffd}");
        assert_eq!(first_line("turned \u{202e}round".as_bytes()), "turned \u{fffd}round");
        assert_eq!(first_line(b"\xff\xfe"), "\u{fffd}\u{fffd}");
        assert_eq!(first_line(&[b'x'; 4096]), "x".repeat(LINE_LIMIT) + "…");
    }

    #[test]
    fn an_excerpt_is_short_and_in_quotes() {
        assert_eq!(excerpt(b"220 mail ESMTP\r\nmore"), "\"220 mail ESMTP\"");
        assert_eq!(excerpt(&[b'x'; 4096]), format!("\"{}…\"", "x".repeat(EXCERPT_LIMIT)));
        assert_eq!(
            excerpt("ä".repeat(1000).as_bytes()),
            format!("\"{}…\"", "ä".repeat(EXCERPT_LIMIT))
        );
    }
}
