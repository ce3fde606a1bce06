//! A line's words: quotes, escapes, comments.

/// A word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Without quotes, escapes resolved.
    pub(crate) text: String,
    /// Where it begins, in characters from 1.
    pub(crate) column: usize,
    /// Whether a part of it was quoted: then a brace is no block's.
    pub(crate) quoted: bool,
}

/// The line without its comment: `#` and `!` begin one anywhere but in quotes.
pub(crate) fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (at, letter) in line.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match (letter, quote) {
            ('\\', _) => escaped = true,
            ('"' | '\'', None) => quote = Some(letter),
            (_, Some(open)) if open == letter => quote = None,
            ('#' | '!', None) => return line.get(..at).unwrap_or_default(),
            _ => {}
        }
    }
    // An apostrophe that nothing closes quotes nothing.
    match quote {
        Some('\'') => line.split(['#', '!']).next().unwrap_or_default(),
        _ => line,
    }
}

/// The words of a line, or the column of a quote that is not closed.
pub(crate) fn split(line: &str) -> Result<Vec<Word>, usize> {
    let letters: Vec<char> = line.chars().collect();
    let mut words: Vec<Word> = Vec::new();
    let mut current: Option<Word> = None;
    let mut quote: Option<(char, usize)> = None;
    let mut at = 0;
    while let Some(&letter) = letters.get(at) {
        let column = at + 1;
        at += 1;
        if quote.is_none() && letter.is_whitespace() {
            words.extend(current.take());
            continue;
        }
        let word =
            current.get_or_insert_with(|| Word { text: String::new(), column, quoted: false });
        match (letter, quote) {
            ('"' | '\'', None) => {
                word.quoted = true;
                quote = Some((letter, column));
            }
            (_, Some((open, _))) if open == letter => quote = None,
            ('\\', _) => at += escape(letters.get(at..).unwrap_or_default(), &mut word.text),
            _ => word.text.push(letter),
        }
    }
    match quote {
        Some((_, column)) => Err(column),
        None => {
            words.extend(current);
            Ok(words)
        }
    }
}

/// Writes what the letters behind a backslash mean, and says how many those are.
fn escape(rest: &[char], text: &mut String) -> usize {
    let Some(&letter) = rest.first() else { return 0 };
    let simple = match letter {
        'a' => Some('\u{7}'),
        'b' => Some('\u{8}'),
        'E' => Some('\u{1b}'),
        'f' => Some('\u{c}'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\u{b}'),
        'x' | 'c' | '0'..='7' => None,
        other => Some(other),
    };
    if let Some(simple) = simple {
        text.push(simple);
        return 1;
    }
    let (digits, radix, before) = match letter {
        'x' => (count(rest.get(1..), 16, 2), 16, 1),
        'c' => {
            let Some(&control) = rest.get(1) else { return 1 };
            text.push(char::from_u32(u32::from(control) & 0x1f).unwrap_or(control));
            return 2;
        }
        _ => (count(Some(rest), 8, 3), 8, 0),
    };
    let number: String = rest.iter().skip(before).take(digits).collect();
    match u32::from_str_radix(&number, radix).ok().and_then(char::from_u32) {
        Some(meant) => text.push(meant),
        None => text.push(letter),
    }
    before + digits
}

/// How many digits `letters` begin with, `most` at most.
fn count(letters: Option<&[char]>, radix: u32, most: usize) -> usize {
    letters.unwrap_or_default().iter().take(most).take_while(|l| l.is_digit(radix)).count()
}

/// The words of a script: separated by blanks, kept together by single quotes.
pub(crate) fn script_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut current: Option<String> = None;
    let mut quoted = false;
    for letter in text.chars() {
        match letter {
            '\'' => {
                quoted = !quoted;
                current.get_or_insert_default();
            }
            letter if letter.is_whitespace() && !quoted => words.extend(current.take()),
            letter => current.get_or_insert_default().push(letter),
        }
    }
    words.extend(current);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        split(line).unwrap().into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn quotes_join_what_stands_next_to_them_and_keep_blanks() {
        assert_eq!(texts(r#"abcd" efg h jkl "mnop"#), ["abcd efg h jkl mnop"]);
        assert_eq!(texts(r#"abcd "efg h jkl" mnop"#), ["abcd", "efg h jkl", "mnop"]);
        assert_eq!(texts(r#"a "b 'c d' e""#), ["a", "b 'c d' e"]);
        assert_eq!(texts(r#"x "a\tb\x41\101\"\\""#), ["x", "a\tbAA\"\\"]);
        assert_eq!(split("a \"b"), Err(3));
    }

    #[test]
    fn comments_begin_anywhere_but_in_quotes() {
        assert_eq!(without_comment("priority 100 ! the best"), "priority 100 ");
        assert_eq!(without_comment("script \"a # b\" # c"), "script \"a # b\" ");
        assert_eq!(without_comment("it's # open"), "it's ");
    }

    #[test]
    fn a_script_has_words() {
        assert_eq!(script_words("/bin/x  'a b' c''"), ["/bin/x", "a b", "c"]);
    }
}
