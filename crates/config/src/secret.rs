//! What no diagnostic may show: the values of passwords, wherever they stand in the text. A frame shows whole lines, so they
//! are covered there, also when another key of the line is at fault.
//!
//! Where the text could be read to its end, the values are known exactly. Where it could not, every line is covered behind a
//! word that may introduce a password, with the deeper lines below it.

use std::borrow::Cow;
use std::ops::Range;

use crate::suggest;

/// Keys whose values, and all values below, are covered; also mistyped ones. A header of a check's request may be a token, and a webhook's
/// URL may have one in it.
const KEYS: [&str; 4] = ["authentication", "password", "headers", "webhook"];

/// No shorter key has a password: none has `pass` in it, nor is it near one of [`KEYS`].
pub(crate) const SHORTEST: usize = 4;

/// Whether the value of `key`, and all below it, is covered.
pub(crate) fn is_secret_key(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    lower.contains("pass") && lower != "passive" || suggest::nearest(&lower, KEYS).is_some()
}

/// Whether the value of `key` is only where a secret is: a path, or a credential's name.
pub(crate) fn names_a_place(key: &str) -> bool {
    key.ends_with("_file") || key.ends_with("_credential")
}

/// The ranges that are covered in a text that could not be read to its end.
pub(crate) fn lines(text: &str) -> Vec<Range<usize>> {
    let mut ranges = vec![];
    let mut start = 0;
    // The indentation of the line that began what is covered.
    let mut open = None;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end();
        let indent = content.len() - content.trim_start().len();
        let end = start + content.len();
        if open.is_some_and(|column| indent > column) {
            ranges.push(start + indent..end);
        } else if let Some(word) = introduces(content) {
            open = Some(indent);
            ranges.push(start + word..end);
        } else if !content.is_empty() {
            open = None;
        }
        start += line.len();
    }
    ranges
}

/// The byte of `line` behind a word that may introduce a password.
fn introduces(line: &str) -> Option<usize> {
    let lower = line.to_ascii_lowercase();
    let words = ["authentication", "password", "passwd", "auth_pass", "headers", "webhook"];
    words.iter().filter_map(|word| Some(lower.find(word)? + word.len())).min()
}

/// `text`, which begins at byte `start` of the file, with every byte of `secrets` that it has replaced by `*`.
pub(crate) fn cover<'a>(text: &'a str, start: usize, secrets: &[Range<usize>]) -> Cow<'a, str> {
    let end = start + text.len();
    let mut touched = secrets.iter().filter(|one| one.start < end && start < one.end).peekable();
    if touched.peek().is_none() {
        return Cow::Borrowed(text);
    }
    let mut bytes = text.as_bytes().to_vec();
    for secret in touched {
        let range = secret.start.saturating_sub(start)..secret.end.min(end) - start;
        let covered = bytes.get_mut(range).unwrap_or_default();
        covered.iter_mut().filter(|byte| !byte.is_ascii_whitespace()).for_each(|byte| *byte = b'*');
    }
    // A range that cuts a character leaves bytes that are no text: better nothing than half a password.
    Cow::Owned(String::from_utf8(bytes).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_may_have_a_password_are_known_also_mistyped() {
        for key in [
            "password",
            "pasword",
            "webhook",
            "authentication",
            "authentification",
            "auth_pass",
            "Passwort",
        ] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in ["passive", "path", "address", "preempt", "pas", "pwd", "key"] {
            assert!(!is_secret_key(key), "{key}");
        }
    }

    #[test]
    fn a_text_that_was_not_read_is_covered_by_lines() {
        let text =
            "a: 1\nauthentication:\n  password: |\n    hunter2\nb: 2\nauth_pass hünter3\nc: 3\n";
        let covered = cover(text, 0, &lines(text));
        assert!(!covered.contains("unter") && !covered.contains("nter3"), "{covered}");
        assert!(covered.contains("a: 1\n") && covered.contains("\nb: 2\n"), "{covered}");
        assert_eq!(covered.len(), text.len(), "every place stays where it was");
    }
}
