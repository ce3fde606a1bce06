//! Regular expressions, compiled once where the file is read.

use std::fmt;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

/// A compiled expression may take so much memory, in bytes; so may what one search remembers. A search takes time linear in what
/// is searched, whatever the expression: there is no backtracking.
const SIZE_LIMIT: usize = 1 << 20;

/// A regular expression over bytes, in the syntax of the crate `regex` (RE2's: no look-around, no back-references).
#[derive(Clone)]
pub struct Pattern(Arc<Regex>);

impl Pattern {
    /// Compiles `text`.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let built =
            RegexBuilder::new(text).size_limit(SIZE_LIMIT).dfa_size_limit(SIZE_LIMIT).build();
        built.map(|regex| Self(Arc::new(regex))).map_err(|error| {
            if let regex::Error::CompiledTooBig(limit) = error {
                return format!("compiled it takes more than {limit} bytes");
            }
            // A drawing of several lines, whose last says what is wrong.
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        })
    }

    /// The expression as it is written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it matches somewhere in `bytes`.
    pub fn is_match(&self, bytes: &[u8]) -> bool {
        self.0.is_match(bytes)
    }
}

/// Two are equal that are written alike.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_of_bytes_and_says_what_is_wrong_with_it() {
        let pattern = Pattern::new("(?i)^ready|ok$").unwrap();
        assert!(pattern.is_match(b"READY \xff\xfe") && !pattern.is_match(b"not ready"));
        assert_eq!(Pattern::new("(a").unwrap_err(), "unclosed group");
        assert!(Pattern::new(r"(?:\w{1000}){1000}").unwrap_err().contains("takes more than"));
        assert!(Pattern::new(r"a(?=b)").unwrap_err().contains("look-around"));
    }
}
