//! "Did you mean": the known word that a mistyped one is likely to stand for.

/// Words are compared up to this many bytes; a longer one resembles nothing.
const LONGEST: usize = 64;

/// The word of `known` nearest to `word`, when it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let length = word.chars().count();
    let allowed = match length {
        0..=2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    // An edit changes the length by one at most, and takes away one foreign letter at most: what differs more need not be compared.
    let near = |candidate: &&str| {
        let candidate_letter = |c: &char| candidate.contains([*c, c.to_ascii_uppercase()]);
        candidate.chars().count().abs_diff(length) <= allowed
            && word.chars().filter(|c| !candidate_letter(c)).count() <= allowed
    };
    known
        .into_iter()
        .filter(near)
        .map(|candidate| {
            (strsim::damerau_levenshtein(&word, &candidate.to_ascii_lowercase()), candidate)
        })
        // As many edits as the candidate has letters would make any word of any other.
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `a`, `b` and `c` in backticks, for messages.
pub(crate) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, head)) if !head.is_empty() => format!("{} and {last}", head.join(", ")),
        Some((last, _)) => last.clone(),
        None => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_nonsense_finds_none() {
        let keys = ["priority", "preempt", "interface"];
        assert_eq!(nearest("prioritty", keys), Some("priority"));
        assert_eq!(nearest("Pirority", keys), Some("priority"));
        assert_eq!(nearest("address", keys), None);
        assert_eq!(nearest("q", ["rr", "lc"]), None);
        assert_eq!(nearest(&"x".repeat(5000), keys), None);
    }
}
