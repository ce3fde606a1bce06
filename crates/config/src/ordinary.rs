//! The YAML in which configurations are mostly written, read line by line.
//!
//! The YAML parser looks at each character with all of YAML in mind, and is the greatest part of a start over a long file. This reader
//! knows a small part of YAML: blocks of `key: value` and `- item`, scalars of printable ASCII on one line, in quotes or not, `{a: 1}` and
//! `[a, b]` on one line, comments. Of a text that is all of this kind it tells the same events at the same places as the parser (a property
//! test holds one against the other); only that quotes and brackets end here where they end, and there behind
//! spaces and a comment that follow. At anything else it gives up: then the parser reads the text from its beginning, and what is wrong
//! with it is for the parser to say.
//!
//! Invariant: it never says that a text is wrong, and never guesses.

use std::borrow::Cow;

use saphyr_parser::{Event, Marker, ScalarStyle, Span as Extent};

/// Brackets within brackets; more are for the parser.
const BRACKETS_MAX: usize = 8;

/// Bytes of a key; YAML has a limit of its own, which is far away.
const KEY_MAX: usize = 255;

/// The text is not of this kind, or who is told does not want to hear more.
#[derive(Debug)]
pub(crate) struct GivenUp;

/// Tells `tell` what `text` says, without the events of the stream and the document. What was told before it gave up means nothing.
pub(crate) fn read<'a>(
    text: &'a str,
    tell: impl FnMut(Event<'a>, Extent) -> Result<(), GivenUp>,
) -> Result<(), GivenUp> {
    let mut reader = Reader { tell, open: Vec::new(), wanted: Some(None), line: 0, start: 0 };
    for line in text.split('\n') {
        reader.line += 1;
        reader.line(line)?;
        reader.start += line.len() + 1;
    }
    if reader.wanted.is_some() {
        // Nothing at all, or a key without a value.
        return Err(GivenUp);
    }
    reader.close(|_| true)
}

/// A block that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    /// The column of its keys, or of its hyphens.
    column: usize,
    /// A list; otherwise a mapping.
    list: bool,
}

struct Reader<T> {
    tell: T,
    open: Vec<Block>,
    /// A value that comes on the next lines: that of a key at this column, or the document's.
    wanted: Option<Option<usize>>,
    /// The number of the line, from 1, and the byte at which it begins.
    line: usize,
    start: usize,
}

impl<'a, T: FnMut(Event<'a>, Extent) -> Result<(), GivenUp>> Reader<T> {
    fn line(&mut self, line: &'a str) -> Result<(), GivenUp> {
        let column = spaces(line, 0);
        match byte(line, column) {
            None => return Ok(()),
            Some(b'#') => return comment(line, column),
            Some(_) => {}
        }
        let item = byte(line, column) == Some(b'-') && byte(line, column + 1) == Some(b' ');
        match self.wanted.take() {
            None => {
                // A list may stand at the column of the key whose value it is.
                self.close(|block| {
                    block.column > column || block.column == column && block.list && !item
                })?;
                let expected = Block { column, list: item };
                if self.open.last() != Some(&expected) {
                    return Err(GivenUp);
                }
            }
            Some(None) if column == 0 && !item => self.begin(column, false, column)?,
            Some(Some(key)) if column > key => self.begin(column, item, column)?,
            // Where the parser sees such a list begin.
            Some(Some(key)) if column == key && item => {
                self.begin(column, item, spaces(line, column + 2))?;
            }
            Some(_) => return Err(GivenUp),
        }
        if !item {
            return self.entry(line, column);
        }
        let inner = spaces(line, column + 2);
        if key_end(line, inner).is_some_and(|end| ends_key(line, end)) {
            self.begin(inner, false, inner)?;
            return self.entry(line, inner);
        }
        self.value(line, inner)
    }

    /// Ends the innermost blocks as long as `over` says so.
    fn close(&mut self, over: impl Fn(&Block) -> bool) -> Result<(), GivenUp> {
        while let Some(block) = self.open.pop_if(|block| over(block)) {
            let event = if block.list { Event::SequenceEnd } else { Event::MappingEnd };
            let here = self.extent(0, 0);
            (self.tell)(event, here)?;
        }
        Ok(())
    }

    /// Opens a block, which is told of as if it stood at `shown`.
    fn begin(&mut self, column: usize, list: bool, shown: usize) -> Result<(), GivenUp> {
        self.open.push(Block { column, list });
        let event = if list { Event::SequenceStart(0, None) } else { Event::MappingStart(0, None) };
        let here = self.extent(shown, shown);
        (self.tell)(event, here)
    }

    /// `key: value` or `key:` from `column` on.
    fn entry(&mut self, line: &'a str, column: usize) -> Result<(), GivenUp> {
        let end = key_end(line, column).filter(|end| ends_key(line, *end)).ok_or(GivenUp)?;
        self.scalar(line, column, end)?;
        let value = spaces(line, end + 1);
        match byte(line, value) {
            None => {}
            Some(b'#') if value > end + 1 => comment(line, value)?,
            Some(_) => return self.value(line, value),
        }
        self.wanted = Some(Some(column));
        Ok(())
    }

    /// A value that ends on its line.
    fn value(&mut self, line: &'a str, column: usize) -> Result<(), GivenUp> {
        let end = match byte(line, column) {
            Some(b'{' | b'[' | b'"' | b'\'') => self.flow(line, column, 0)?,
            Some(first) if begins_plain(line, column, first) => {
                let end = plain_end(line, column, false).ok_or(GivenUp)?;
                self.scalar(line, column, end)?;
                end
            }
            Some(_) | None => return Err(GivenUp),
        };
        let rest = spaces(line, end);
        match byte(line, rest) {
            None => Ok(()),
            Some(b'#') if rest > end => comment(line, rest),
            Some(_) => Err(GivenUp),
        }
    }

    /// A value within brackets, or one that begins with brackets or quotes; where it ends.
    fn flow(&mut self, line: &'a str, column: usize, depth: usize) -> Result<usize, GivenUp> {
        match byte(line, column) {
            Some(b'{' | b'[') if depth >= BRACKETS_MAX => Err(GivenUp),
            Some(b'{') => self.braces(line, column, depth),
            Some(b'[') => self.brackets(line, column, depth),
            Some(quote @ (b'"' | b'\'')) => self.quoted(line, column, quote),
            Some(first) if begins_plain(line, column, first) => {
                let end = plain_end(line, column, true).ok_or(GivenUp)?;
                self.scalar(line, column, end)?;
                Ok(end)
            }
            Some(_) | None => Err(GivenUp),
        }
    }

    fn braces(&mut self, line: &'a str, column: usize, depth: usize) -> Result<usize, GivenUp> {
        let here = self.extent(column, column + 1);
        (self.tell)(Event::MappingStart(0, None), here)?;
        let mut at = spaces(line, column + 1);
        if byte(line, at) != Some(b'}') {
            loop {
                let end = key_end(line, at).ok_or(GivenUp)?;
                if byte(line, end) != Some(b':') || byte(line, end + 1) != Some(b' ') {
                    return Err(GivenUp);
                }
                self.scalar(line, at, end)?;
                let end = self.flow(line, spaces(line, end + 1), depth + 1)?;
                at = spaces(line, end);
                match byte(line, at) {
                    Some(b',') => at = spaces(line, at + 1),
                    Some(b'}') => break,
                    Some(_) | None => return Err(GivenUp),
                }
            }
        }
        let here = self.extent(at, at + 1);
        (self.tell)(Event::MappingEnd, here)?;
        Ok(at + 1)
    }

    fn brackets(&mut self, line: &'a str, column: usize, depth: usize) -> Result<usize, GivenUp> {
        let here = self.extent(column, column + 1);
        (self.tell)(Event::SequenceStart(0, None), here)?;
        let mut at = spaces(line, column + 1);
        if byte(line, at) != Some(b']') {
            loop {
                let end = self.flow(line, at, depth + 1)?;
                at = spaces(line, end);
                match byte(line, at) {
                    Some(b',') => at = spaces(line, at + 1),
                    Some(b']') => break,
                    Some(_) | None => return Err(GivenUp),
                }
            }
        }
        let here = self.extent(at, at + 1);
        (self.tell)(Event::SequenceEnd, here)?;
        Ok(at + 1)
    }

    /// A scalar in quotes that reads as it stands there; where it ends.
    fn quoted(&mut self, line: &'a str, column: usize, quote: u8) -> Result<usize, GivenUp> {
        let inner = line.as_bytes().get(column + 1..).unwrap_or_default();
        let length = inner.iter().position(|byte| *byte == quote).ok_or(GivenUp)?;
        let text = line.get(column + 1..column + 1 + length).ok_or(GivenUp)?;
        let usual = |byte: u8| (b' '..=b'~').contains(&byte) && (byte != b'\\' || quote == b'\'');
        let end = column + length + 2;
        // A quote that follows is part of the text, and a colon makes it a key.
        if !text.bytes().all(usual) || matches!(byte(line, end), Some(b'"' | b'\'' | b':')) {
            return Err(GivenUp);
        }
        let style =
            if quote == b'"' { ScalarStyle::DoubleQuoted } else { ScalarStyle::SingleQuoted };
        let here = self.extent(column, end);
        (self.tell)(Event::Scalar(Cow::Borrowed(text), style, 0, None), here)?;
        Ok(end)
    }

    /// A scalar without quotes.
    fn scalar(&mut self, line: &'a str, column: usize, end: usize) -> Result<(), GivenUp> {
        let text = line.get(column..end).ok_or(GivenUp)?;
        let here = self.extent(column, end);
        (self.tell)(Event::Scalar(Cow::Borrowed(text), ScalarStyle::Plain, 0, None), here)
    }

    fn extent(&self, from: usize, to: usize) -> Extent {
        let at = |column| Marker::new(self.start + column, self.line, column);
        Extent::new(at(from), at(to))
    }
}

fn byte(line: &str, at: usize) -> Option<u8> {
    line.as_bytes().get(at).copied()
}

/// Where what follows the spaces at `at` begins.
fn spaces(line: &str, at: usize) -> usize {
    let rest = line.as_bytes().get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| **byte == b' ').count()
}

/// A comment of which nothing is surprising to YAML.
fn comment(line: &str, at: usize) -> Result<(), GivenUp> {
    let usual = |c: char| matches!(c, ' '..='~' | '\t') || !c.is_ascii() && c.is_alphanumeric();
    line.get(at..).unwrap_or_default().chars().all(usual).then_some(()).ok_or(GivenUp)
}

/// The end of the word at `at`, which may be a key; none where there is no word.
fn key_end(line: &str, at: usize) -> Option<usize> {
    let rest = line.as_bytes().get(at..).unwrap_or_default();
    let first = rest.first()?;
    if !first.is_ascii_alphanumeric() && *first != b'_' {
        return None;
    }
    let of_word =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    let length = rest.iter().take_while(|byte| of_word(byte)).count();
    (length <= KEY_MAX).then_some(at + length)
}

/// Whether the word that ends at `end` is a key.
fn ends_key(line: &str, end: usize) -> bool {
    byte(line, end) == Some(b':') && matches!(byte(line, end + 1), None | Some(b' '))
}

/// Whether a scalar without quotes may begin so.
fn begins_plain(line: &str, at: usize, first: u8) -> bool {
    match first {
        b'-' => byte(line, at + 1).is_some_and(|next| next.is_ascii_alphanumeric()),
        b'_' | b'/' | b'.' | b'+' | b'~' => true,
        other => other.is_ascii_alphanumeric(),
    }
}

/// The end of the scalar without quotes that begins at `at`, the spaces behind it left out: at the end of the line or at a comment, and in
/// brackets at what belongs to them. None where YAML might see something else in it.
fn plain_end(line: &str, at: usize, in_brackets: bool) -> Option<usize> {
    let bytes = line.as_bytes();
    let (mut end, mut here) = (at, at);
    while let Some(found) = bytes.get(here) {
        match found {
            b' ' => {}
            b'#' if here > end => return Some(end),
            b'#' => return None,
            b',' | b'}' | b']' if in_brackets => return Some(end),
            b'{' | b'[' if in_brackets => return None,
            b':' => match bytes.get(here + 1) {
                None | Some(b' ') => return None,
                Some(b',' | b'[' | b']' | b'{' | b'}') if in_brackets => return None,
                Some(_) => end = here + 1,
            },
            b'!'..=b'~' => end = here + 1,
            _ => return None,
        }
        here += 1;
    }
    // Brackets end on their line, or are for the parser.
    (!in_brackets).then_some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use saphyr_parser::Parser;

    use super::*;

    /// An event, and where it begins and ends. Of an end nobody asks where; what begins with a quote or bracket the parser ends behind
    /// spaces and comments.
    type Told = (String, Option<(usize, usize)>, Option<(usize, usize)>);

    fn told(event: &Event<'_>, extent: Extent) -> Option<Told> {
        let at = |marker: Marker| Some((marker.line(), marker.col()));
        let (start, end) = (at(extent.start), at(extent.end));
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => None,
            Event::DocumentEnd | Event::Nothing => None,
            Event::MappingEnd | Event::SequenceEnd => Some((format!("{event:?}"), None, None)),
            Event::Scalar(_, ScalarStyle::Plain, ..) => Some((format!("{event:?}"), start, end)),
            Event::Alias(_)
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::MappingStart(..) => Some((format!("{event:?}"), start, None)),
        }
    }

    fn ours(text: &str) -> Option<Vec<Told>> {
        let mut all = vec![];
        let read = read(text, |event, extent| {
            all.extend(told(&event, extent));
            Ok(())
        });
        read.is_ok().then_some(all)
    }

    fn the_parser_s(text: &str) -> Result<Vec<Told>, String> {
        let mut all = vec![];
        for event in Parser::new_from_str(text) {
            let (event, extent) = event.map_err(|error| error.to_string())?;
            all.extend(told(&event, extent));
        }
        Ok(all)
    }

    #[track_caller]
    fn same(text: &str) -> bool {
        let Some(ours) = ours(text) else { return false };
        assert_eq!(Ok(ours), the_parser_s(text), "{text:?}");
        true
    }

    /// Values on one line, and what looks like some.
    fn scalar() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[a-zA-Z0-9_./:+~-]{1,8}",
            1 => "[!-~]{1,6}",
            1 => "[ -~]{1,10}",
            1 => "\"[ -~&&[^\"\\\\]]{0,6}\"",
            1 => "'[ -~&&[^']]{0,6}'",
        ]
    }

    fn value() -> impl Strategy<Value = String> {
        let list = |inner: Vec<String>, open, close| format!("{open}{}{close}", inner.join(", "));
        scalar().prop_recursive(3, 12, 3, move |inner| {
            let pair = ("[a-z_0-9]{1,4}", inner.clone())
                .prop_map(|(key, value)| format!("{key}: {value}"));
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(move |inner| list(inner, '[', ']')),
                prop::collection::vec(pair, 0..4).prop_map(move |inner| list(inner, '{', '}')),
            ]
        })
    }

    /// A line of a block, without its indentation.
    fn body() -> impl Strategy<Value = String> {
        let key = || prop_oneof![6 => "[a-z0-9_]{1,4}", 1 => "[ -~]{1,5}"];
        let space = || prop_oneof![8 => Just(" ".to_owned()), 1 => "[ \t]{0,2}"];
        prop_oneof![
            6 => (key(), space(), value()).prop_map(|(key, space, value)| format!("{key}:{space}{value}")),
            4 => key().prop_map(|key| format!("{key}:")),
            3 => (space(), value()).prop_map(|(space, value)| format!("-{space}{value}")),
            3 => (space(), key(), value()).prop_map(|(space, key, value)| format!("-{space}{key}: {value}")),
            1 => Just(String::new()),
            1 => "#[ -~\tüß€]{0,6}",
            1 => value(),
        ]
    }

    fn text() -> impl Strategy<Value = String> {
        let end = prop_oneof![8 => Just(""), 1 => Just(" # c"), 1 => Just(" "), 1 => Just("#")];
        let line = (0_usize..4, body(), end);
        let line =
            line.prop_map(|(depth, body, end)| format!("{}{body}{end}\n", "  ".repeat(depth)));
        prop::collection::vec(line, 0..10).prop_map(|lines| lines.concat())
    }

    /// A well-formed block.
    fn block() -> impl Strategy<Value = Vec<String>> {
        let leaf =
            (prop::collection::vec(("[a-z]{1,3}[0-9]", value()), 1..4)).prop_map(|entries| {
                entries
                    .into_iter()
                    .map(|(key, value)| format!("{key}: {value}"))
                    .collect::<Vec<_>>()
            });
        leaf.prop_recursive(4, 24, 3, |inner| {
            let nested = |(entries, list, flat): (Vec<(String, Vec<String>)>, bool, bool)| {
                let mut lines = vec![];
                for (key, inner) in entries {
                    if list {
                        lines.extend(inner.iter().enumerate().map(|(at, line)| {
                            format!("{}{line}", if at == 0 { "- " } else { "  " })
                        }));
                    } else {
                        let indent =
                            if flat && inner.iter().all(|line| line.starts_with(['-', ' '])) {
                                ""
                            } else {
                                "  "
                            };
                        lines.push(format!("{key}:"));
                        lines.extend(inner.iter().map(|line| format!("{indent}{line}")));
                    }
                }
                lines
            };
            (prop::collection::vec(("[a-z]{1,3}[0-9]", inner), 1..4), any::<bool>(), any::<bool>())
                .prop_map(nested)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn lines_of_all_kinds_read_as_the_parser_reads_them(text in text()) {
            same(&text);
        }

        #[test]
        fn blocks_read_as_the_parser_reads_them(lines in block(), at in any::<prop::sample::Index>(), other in "[ -~\n]?") {
            let text = lines.join("\n");
            same(&text);
            let at = at.index(text.len());
            same(&format!("{}{other}{}", &text[..at], &text[at..]));
            same(&format!("{}{other}{}", &text[..at], &text[at + 1..]));
        }
    }

    #[test]
    fn configurations_are_ordinary() {
        let text = "node: lb1 # the first\n# über\n\nservices:\n  web:\n    listen: [tcp 192.0.2.1:80, 'udp [2001:db8::1]:53']\n    \
                    check: {http: {path: /health, expect: \"200-299\"}, interval: 2s}\n    scheduler: wlc\n    real_servers:\n      \
                    a: 10.0.0.1:80\n      b: {address: 10.0.0.2:80, weight: 2}\n      c: 2001:db8::1\n  dns:\n    listen:\n    - udp 192.0.2.1:53\n    \
                    - tcp 192.0.2.1:53\n    checks:\n      - tcp: {}\n        interval: 1s\n      - {icmp: {}}\n    empty: []\n";
        assert!(same(text), "it was given up");
        assert!(same(text.trim_end()), "without a line's end");
    }

    #[test]
    fn what_is_not_ordinary_is_left_to_the_parser() {
        for text in [
            "",
            "# nothing\n",
            "a:\n",
            "a:\nb: 1\n",
            "a: 1\n  b\n",
            "a: |\n  b\n",
            "a: &x 1\n",
            "a: *x\n",
            "a: !t 1\n",
            "--- \na: 1\n",
            "a: 1\n...\n",
            "- a\n",
            "a: {b: 1,\n c: 2}\n",
            "a: 'it''s'\n",
            "a: \"\\n\"\n",
            "a: ü\n",
            "\ta: 1\n",
            "a: b: c\n",
            "a: b:\n",
            "? a\n: b\n",
            "<<: 1\n",
            "a: [b: c]\n",
            "a: {b}\n",
            "a: {b: }\n",
            "a: [b, ]\n",
            "a: {b: 1} c\n",
            "\"a\": 1\n",
            " a: 1\n",
            "a: 1\r\n",
            "a: [[[[[[[[[[]]]]]]]]]]\n",
            "a:\n  b: 1\n c: 2\n",
            "a: - b\n",
            "a: @b\n",
            "a: 1\n\u{1}",
        ] {
            assert_eq!(ours(text), None, "{text:?}");
        }
    }
}
