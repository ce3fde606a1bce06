//! Standard output and standard error.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Write as _};

use super::code;

/// What is printed is sent in pieces of this size.
const PIECE: usize = 64 << 10;

/// The two streams. Standard output is gathered and sent in large pieces, and at the latest by [`Streams::finish`].
#[derive(Debug, Default)]
pub(super) struct Streams {
    out: Vec<u8>,
    failed: Option<u8>,
}

impl Streams {
    /// Where standard output is gathered. After what belongs together, call [`Streams::ease`].
    pub(super) const fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Sends what was gathered if it is much.
    ///
    /// # Errors
    /// It can't be written: the exit code.
    pub(super) fn ease(&mut self) -> Result<(), u8> {
        if self.out.len() < PIECE { Ok(()) } else { self.send() }
    }

    /// Sends the rest.
    ///
    /// # Errors
    /// Something could not be written: the exit code.
    pub(super) fn finish(mut self) -> Result<(), u8> {
        self.send()
    }

    fn send(&mut self) -> Result<(), u8> {
        if let Some(code) = self.failed {
            return Err(code);
        }
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(&self.out).and_then(|()| stdout.flush());
        self.out.clear();
        let Err(error) = written else { return Ok(()) };
        let code = if error.kind() == ErrorKind::BrokenPipe {
            code::NO_READER
        } else {
            self.complain(&format!("write the answer: {error}"));
            code::FAILED
        };
        self.failed = Some(code);
        Err(code)
    }

    /// A line on standard error.
    #[expect(clippy::unused_self, reason = "whoever complains has the streams")]
    pub(super) fn error_line(&self, text: &[u8]) {
        let line = [text, b"\n"].concat();
        // Nobody is left to tell when standard error is closed.
        drop(io::stderr().write_all(&line));
    }

    /// A sentence of ours on standard error. It may quote a file, so that control characters are escaped: none reaches a terminal.
    pub(super) fn complain(&self, sentence: &str) {
        self.error_line(format!("holdfast: {}", escaped(sentence)).as_bytes());
    }
}

fn escaped(sentence: &str) -> String {
    let mut text = String::with_capacity(sentence.len());
    for letter in sentence.chars() {
        if letter.is_control() {
            text.extend(letter.escape_default());
        } else {
            text.push(letter);
        }
    }
    text
}

/// Bytes as text for a sentence of ours.
pub(super) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
