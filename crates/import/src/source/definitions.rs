//! Definitions: `$NAME=value`, used as `$NAME` before a blank or as `${NAME}`.

use std::collections::BTreeMap;

/// What stands for the letters that would begin a comment, until the comments are gone.
const HASH: char = '\u{e000}';
const BANG: char = '\u{e001}';

/// The longest line that definitions may make, in bytes.
const MAX_LINE: usize = 1 << 16;

/// The definitions so far.
#[derive(Debug)]
pub(crate) struct Definitions {
    values: BTreeMap<String, Vec<String>>,
}

impl Definitions {
    /// Those that every text has; `id` is keepalived's instance name.
    pub(crate) fn new(id: &str) -> Self {
        let values = [
            ("_HASH", HASH.to_string()),
            ("_BANG", BANG.to_string()),
            ("_INSTANCE", id.to_owned()),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), vec![value]));
        Self { values: values.into_iter().collect() }
    }

    /// Defines a name, in place of what it was.
    pub(crate) fn define(&mut self, name: &str, body: Vec<String>) {
        self.values.insert(name.to_owned(), body);
    }

    /// The lines that `text` is with its first used definition in place; none when it uses none.
    pub(crate) fn replace(&self, text: &str) -> Option<Vec<String>> {
        let (start, end, body) = self.first_use(text)?;
        let before = text.get(..start)?;
        let after = text.get(end..)?;
        if before.len() + after.len() + body.iter().map(String::len).sum::<usize>() > MAX_LINE {
            return None;
        }
        match body {
            [] => Some(vec![format!("{before}{after}")]),
            [one] => {
                // All uses that stand in one line are replaced at once, so that their number is no depth.
                let mut line = format!("{before}{}{after}", one.trim());
                let mut from = start + one.trim().len();
                while let Some((start, end, [value])) = line
                    .get(from..)
                    .and_then(|rest| self.first_use(rest))
                    .map(|(start, end, body)| (from + start, from + end, body))
                {
                    if line.len() + value.len() > MAX_LINE {
                        break;
                    }
                    line.replace_range(start..end, value.trim());
                    from = start + value.trim().len();
                }
                Some(vec![line])
            }
            [first, middle @ .., last] => {
                let mut lines = vec![format!("{before}{first}")];
                lines.extend(middle.iter().cloned());
                lines.push(format!("{last}{after}"));
                Some(lines)
            }
        }
    }

    /// The first use of a known definition: where it begins and ends, and its body.
    fn first_use(&self, text: &str) -> Option<(usize, usize, &[String])> {
        // Where a name ends is looked for again only behind the last end: a line of `$` alone is read once.
        let (mut blank, mut brace) = (0, 0);
        text.match_indices('$').find_map(|(start, _)| {
            let from = start + 1;
            let rest = text.get(from..)?;
            let next = |found: Option<usize>| found.map_or(text.len(), |at| from + at);
            let (name, end) = if rest.starts_with('{') {
                if brace < from {
                    brace = next(rest.find('}'));
                }
                (text.get(from + 1..brace)?, brace + 1)
            } else {
                if blank < from {
                    blank = next(rest.find(char::is_whitespace));
                }
                (text.get(from..blank)?, blank)
            };
            let body = self.values.get(name).filter(|_| end <= text.len())?;
            Some((start, end, body.as_slice()))
        })
    }
}

/// A definition's name and the beginning of its value, where the line is one: no blank stands before the `=`.
pub(crate) fn definition(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.strip_prefix('$')?.split_once('=')?;
    let plain = !name.is_empty() && name.chars().all(|l| l.is_ascii_alphanumeric() || l == '_');
    plain.then_some((name, value))
}

/// The text with the letters that `${_HASH}` and `${_BANG}` mean.
pub(crate) fn unmask(text: &str) -> String {
    text.replace(HASH, "#").replace(BANG, "!")
}
