//! What no report shows: passwords, and the values of definitions, which may be passwords.
//!
//! It is looked for in the text as it stands, since a line that is for another node, or has a quote that is not closed, never becomes words.

use crate::words::split;

/// Words whose values are nobody's business.
const SECRET: [&str; 3] = ["auth_pass", "password", "key"];

/// How alike a word may be to one of these and still be meant for it: a misspelt word has a password behind it all the same.
const ALIKE: f64 = 0.9;

/// The text up to the first word that a secret stands behind, and a `…` in place of what follows it.
pub(crate) fn masked(text: &str) -> String {
    let raw = pieces(text).find_map(|(start, piece)| secret_from(text, start, piece));
    if let Some(end) = raw {
        return hidden(text, end);
    }
    // A word may be written with escapes, or with quotes within it.
    let written = text.contains(['\\', '"', '\'']);
    let words = if written { split(text).unwrap_or_default() } else { Vec::new() };
    let Some(last) = words.iter().position(|word| is_secret(&word.text)) else {
        return text.to_owned();
    };
    let shown: Vec<&str> = words.iter().take(last + 1).map(|word| word.text.as_str()).collect();
    format!("{} …", shown.join(" "))
}

/// The text up to `end`; where nothing stands behind that, nothing is hidden.
fn hidden(text: &str, end: usize) -> String {
    let (shown, rest) = text.split_at_checked(end).unwrap_or(("", text));
    if rest.trim().is_empty() {
        return text.to_owned();
    }
    let blank = if shown.ends_with(['=', ':', '(']) { "" } else { " " };
    format!("{shown}{blank}…")
}

/// What stands between blanks, quotes and braces, with where it begins in bytes.
fn pieces(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split(|l: char| l.is_whitespace() || "\"'{}".contains(l)).filter_map(move |piece| {
        let start = at;
        // What separates may be a blank of several bytes.
        let behind = text.get(start + piece.len()..).and_then(|rest| rest.chars().next());
        at = start + piece.len() + behind.map_or(0, char::len_utf8);
        (!piece.is_empty()).then_some((start, piece))
    })
}

/// Where the secret begins that `piece` announces, in bytes of `text`.
fn secret_from(text: &str, start: usize, piece: &str) -> Option<usize> {
    let end = start + piece.len();
    let word = piece.split(['=', ':']).next().unwrap_or_default();
    if is_secret(word) {
        return Some(start + word.len() + usize::from(word.len() < piece.len()));
    }
    if piece.starts_with("~LST(") || piece.starts_with("~SEQ") {
        return piece.find('(').map(|open| start + open + 1);
    }
    if !piece.starts_with('$') {
        return None;
    }
    // `$NAME=value`, also with blanks before the `=`, which define nothing.
    if let Some(equals) = piece.find('=') {
        return Some(start + equals + 1);
    }
    let rest = text.get(end..)?;
    let equals = rest.len() - rest.trim_start().strip_prefix('=')?.len();
    Some(end + equals)
}

fn is_secret(word: &str) -> bool {
    // Longer ones are no misspelt word; they are not compared letter by letter.
    if word.len() > 16 {
        return false;
    }
    let word = word.to_ascii_lowercase();
    SECRET.iter().any(|secret| {
        word == *secret || (secret.len() > 4 && strsim::jaro_winkler(secret, &word) > ALIKE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_a_secrets_word_is_hidden() {
        for (given, wanted) in [
            ("auth_pass x", "auth_pass …"),
            ("auth_pass", "auth_pass"),
            ("auth_type PASS", "auth_type PASS"),
            ("auth_type PASS auth_pass x y", "auth_type PASS auth_pass …"),
            ("auth_pass \"x", "auth_pass …"),
            ("a {\u{2003}password x }", "a {\u{2003}password …"),
            ("auth_pass=x", "auth_pass=…"),
            ("$A=x", "$A=…"),
            ("$A=", "$A="),
            ("$A  = x", "$A  =…"),
            ("$A x = y", "$A x = y"),
            ("@b $A=x", "@b $A=…"),
            ("~LST(A, x) b", "~LST(…"),
            ("a\"uth_pa\"ss x", "auth_pass …"),
            ("passwort x", "passwort …"),
            ("monkey x", "monkey x"),
            ("virtualhost pass.example.org", "virtualhost pass.example.org"),
        ] {
            assert_eq!(masked(given), wanted, "{given}");
        }
    }
}
