//! The lines of a rule file: what `-S` writes and `-R` reads.
//!
//! Words are parted by blanks, tabs and carriage returns; there is neither quoting nor a comment. A word `ipvsadm` counts for nothing,
//! wherever it stands, and so does a line without a word.

/// The longest line in bytes, without its end. ipvsadm has room for words of 4,096 bytes and writes past it.
pub const LINE_MAX: usize = 64 << 10;

/// Why a line can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is longer than [`LINE_MAX`]; its length in bytes.
    #[error("the line has {0} bytes, more than {LINE_MAX}")]
    TooLong(usize),
    /// It holds a NUL.
    #[error("the line holds a NUL byte")]
    Nul,
    /// It is not UTF-8.
    #[error("the line is not UTF-8")]
    NotUtf8,
}

/// Cuts bytes that come piece by piece into lines. It never holds more than one line of [`LINE_MAX`] bytes.
#[derive(Debug, Default)]
pub struct Cutter {
    line: Vec<u8>,
    length: usize,
    number: usize,
}

/// A line with its number, the first being 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its number.
    pub number: usize,
    /// Its bytes, or why there are none.
    pub bytes: Result<&'a [u8], LineError>,
}

impl Cutter {
    /// Takes bytes and hands each whole line to `take`, until that says no. Answers whether it never did.
    pub fn push(&mut self, mut bytes: &[u8], mut take: impl FnMut(Line<'_>) -> bool) -> bool {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            self.append(line);
            bytes = rest.get(1..).unwrap_or_default();
            if !self.finish(&mut take) {
                return false;
            }
        }
        self.append(bytes);
        true
    }

    /// Hands the last line, which has no end, to `take`.
    pub fn end(&mut self, mut take: impl FnMut(Line<'_>) -> bool) {
        if self.length > 0 {
            self.finish(&mut take);
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.length = self.length.saturating_add(bytes.len());
        let room = LINE_MAX.saturating_sub(self.line.len());
        self.line.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn finish(&mut self, take: &mut impl FnMut(Line<'_>) -> bool) -> bool {
        self.number += 1;
        let bytes = if self.length > LINE_MAX {
            Err(LineError::TooLong(self.length))
        } else {
            Ok(self.line.as_slice())
        };
        let goes_on = take(Line { number: self.number, bytes });
        self.line.clear();
        self.length = 0;
        goes_on
    }
}

/// The words of a line as ipvsadm sees them, each ending at its first NUL.
pub fn words(line: &[u8]) -> Vec<&[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
        .filter(|word| !word.is_empty())
        .map(|word| word.split(|byte| *byte == 0).next().unwrap_or_default())
        .filter(|word| *word != b"ipvsadm")
        .collect()
}

/// Whether a line is text.
///
/// # Errors
/// It holds a NUL or is not UTF-8.
pub fn is_text(line: &[u8]) -> Result<(), LineError> {
    if line.contains(&0) {
        return Err(LineError::Nul);
    }
    std::str::from_utf8(line).map(drop).or(Err(LineError::NotUtf8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<(usize, Result<Vec<u8>, LineError>)> {
        let mut cutter = Cutter::default();
        let mut lines = Vec::new();
        let mut take = |line: Line<'_>| {
            lines.push((line.number, line.bytes.map(<[u8]>::to_vec)));
            true
        };
        for piece in pieces {
            cutter.push(piece, &mut take);
        }
        cutter.end(&mut take);
        lines
    }

    #[test]
    fn lines_are_numbered_however_they_come() {
        let expected =
            vec![(1, Ok(b"one".to_vec())), (2, Ok(Vec::new())), (3, Ok(b"two".to_vec()))];
        assert_eq!(cut(&[b"one\n\ntwo"]), expected);
        assert_eq!(cut(&[b"o", b"ne", b"\n", b"\nt", b"wo\n"]), expected);
        assert_eq!(cut(&[]), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_told_and_not_kept() {
        let piece = vec![b'x'; LINE_MAX];
        let lines = cut(&[&piece, &piece, b"\n-C\n"]);
        assert_eq!(lines[0], (1, Err(LineError::TooLong(2 * LINE_MAX))));
        assert_eq!(lines[1], (2, Ok(b"-C".to_vec())));
        assert_eq!(cut(&[&piece])[0].1.as_ref().map(Vec::len), Ok(LINE_MAX));
    }

    #[test]
    fn words_are_parted_by_blanks_and_ipvsadm_is_none() {
        assert_eq!(words(b" ipvsadm\t-A  -t ipvsadm x\r"), [&b"-A"[..], b"-t", b"x"]);
        assert_eq!(words(b"-A\0B -t"), [&b"-A"[..], b"-t"]);
        assert!(words(b" \t\r").is_empty());
    }
}
