//! What can be said of the text before and when the YAML parser refuses it: encoding, size, control characters, tabs,
//! indentation. The sentences are ours; the parser's own name its grammar's rules.

use std::sync::Arc;

use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::source::Source;

/// The largest file that is read, in bytes: some sixty thousand real servers.
pub const MAX_BYTES: usize = 4 << 20;

/// What some editors put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The text of a file, which its [`Source`] shares, or why it has none.
pub(crate) type Text = Result<Arc<String>, Problem>;

/// The text of a file, which may have megabytes and is not copied. What can't be text at all is a problem, with as much of the text as
/// shows the place.
pub(crate) fn decode(file: &str, mut bytes: Vec<u8>) -> (Source, Text) {
    if bytes.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; the limit is {MAX_BYTES}", bytes.len());
        let problem =
            Problem::new(Code::TooLarge, message).help("check that the right file is named");
        return (Source::new(file, String::new()), Err(problem));
    }
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    match String::from_utf8(bytes) {
        Ok(text) => {
            let text = Arc::new(text);
            (Source::new(file, Arc::clone(&text)), Ok(text))
        }
        Err(error) => {
            let valid_up_to = error.utf8_error().valid_up_to();
            let bytes = error.into_bytes();
            let valid = bytes.get(..valid_up_to).unwrap_or_default();
            let source = Source::new(file, String::from_utf8_lossy(valid).into_owned());
            let byte = bytes.get(valid_up_to).copied().unwrap_or_default();
            let end = source.span(usize::MAX, usize::MAX, 0);
            let problem = Problem::new(Code::NotUtf8, "the file is not UTF-8")
                .at(Spot::Span(end), format!("then comes the byte 0x{byte:02x}"))
                .help("save the file as UTF-8");
            (source, Err(problem))
        }
    }
}

/// Reports control characters and tabs in indentation. Answers whether the text may go to the YAML parser.
pub(crate) fn scan(source: &Source, problems: &mut Problems) -> bool {
    // Nearly every file has nothing else than these, and is seen to have by this at a fraction of what its lines would cost.
    let plain = |byte: u8| byte == b'\n' || (b' '..=b'~').contains(&byte);
    if source.text().bytes().fold(true, |all, byte| all & plain(byte)) {
        return true;
    }
    let mut clean = true;
    for (index, line) in source.text().split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            continue;
        }
        if let Some(problem) = control(source, index + 1, line) {
            problems.push(problem);
            clean = false;
        }
        if let Some(problem) = tab(source, index + 1, line) {
            problems.push(problem);
            clean = false;
        }
    }
    clean
}

fn control(source: &Source, number: usize, line: &str) -> Option<Problem> {
    let (column, found) =
        line.chars().enumerate().find(|(_, found)| found.is_control() && *found != '\t')?;
    let name = match found {
        '\0' => "a NUL".to_owned(),
        _ => format!("the control character U+{:04X}", u32::from(found)),
    };
    let problem = Problem::new(Code::ControlCharacter, format!("the file has {name}"))
        .at(Spot::Span(source.span(number, column + 1, 1)), "here")
        .help("the file is damaged or not text; remove the character");
    Some(problem)
}

/// A tab before the first word. Before a comment YAML allows it.
fn tab(source: &Source, number: usize, line: &str) -> Option<Problem> {
    let rest = line.trim_start_matches([' ', '\t']);
    let column = line.find('\t').filter(|at| *at < line.len() - rest.len())?;
    if rest.is_empty() || rest.starts_with('#') {
        return None;
    }
    let problem = Problem::new(Code::Tab, "a tab in the indentation")
        .at(Spot::Span(source.span(number, column + 1, 1)), "YAML allows spaces only")
        .help("replace each tab by spaces, for instance with `expand -t 2 -i`");
    Some(problem)
}

/// The parser's refusal at `line` and `column`, in words for the operator.
pub(crate) fn explain(source: &Source, line: usize, column: usize, info: &str) -> Problem {
    if let Some(problem) = indentation(source, line) {
        return problem;
    }
    if let Some(problem) = no_colon(source, line, info) {
        return problem;
    }
    if let Some(problem) = open_bracket(source, line, info) {
        return problem;
    }
    let span = source.span(line, column, 1);
    if info.contains("anchor") {
        return Problem::new(
            Code::Anchor,
            "anchors and aliases are not allowed in this configuration",
        )
        .at(Spot::Span(span), "")
        .help("put text that begins with `*` or `&` in quotes");
    }
    let (message, help) = if info.contains("mapping values are not allowed") {
        (
            "a `:` where no key can be",
            "put text that has a `: ` in quotes, or correct the indentation",
        )
    } else if info.contains("simple key") {
        (
            "a line that is neither `key: value` nor a list's item",
            "is a `:` missing, or the space after it?",
        )
    } else if info.contains("quoted scalar") || info.contains("end of stream") {
        ("the file ends inside quotes", "close the quotes")
    } else if info.contains("recursion limit") {
        ("brackets nested too deeply", "count the brackets")
    } else if info.contains("',' or") || info.contains("flow") || info.contains("bracket") {
        (
            "brackets that don't match",
            "close every `[` with `]` and every `{` with `}`, with commas between the items",
        )
    } else if info.contains("cannot start any token") || info.contains("unexpected character") {
        ("a character that begins no YAML value", "put text that begins with it in quotes")
    } else {
        ("this is not YAML", "look at this line and the one above it")
    };
    let label = if info.is_empty() { String::new() } else { format!("the parser says: {info}") };
    Problem::new(Code::Syntax, message).at(Spot::Span(span), label).help(help)
}

/// A line without a colon above the one at which the parser stopped: it took the two for one text.
fn no_colon(source: &Source, line: usize, info: &str) -> Option<Problem> {
    let above = source.line(line.checked_sub(1)?);
    let word = above.trim();
    let plain = !word.is_empty() && !word.contains([':', '#', '[', '{', '"', '\'']);
    if !info.contains("mapping values") || !plain {
        return None;
    }
    let column = above.chars().take_while(|c| *c == ' ').count() + 1;
    let problem =
        Problem::new(Code::Syntax, "a line that is neither `key: value` nor a list's item")
            .at(
                Spot::Span(source.span(line - 1, column, word.chars().count())),
                "is a `:` missing?",
            )
            .help("a key ends with a colon and a space");
    Some(problem)
}

/// A bracket above `line` that is still open there, which is where a parser notices that it was never closed.
fn open_bracket(source: &Source, line: usize, info: &str) -> Option<Problem> {
    if info.contains("quoted") {
        return None;
    }
    let mut open = vec![];
    for number in 1..line {
        let text = source.line(number);
        let code = text.split(" #").next().unwrap_or(text);
        if code.trim_start().starts_with('#') {
            continue;
        }
        let mut quote = None;
        for (column, c) in code.chars().enumerate() {
            match (quote, c) {
                (None, '"' | '\'') => quote = Some(c),
                (Some(mark), c) if mark == c => quote = None,
                (None, '[' | '{') => open.push((number, column + 1, c)),
                (None, ']' | '}') => {
                    open.pop();
                }
                (None | Some(_), _) => {}
            }
        }
    }
    let (number, column, bracket) = open.pop()?;
    let close = if bracket == '[' { ']' } else { '}' };
    let problem = Problem::new(Code::Syntax, format!("a `{bracket}` that is not closed"))
        .at(Spot::Span(source.span(number, column, 1)), format!("no `{close}` for it"))
        .help(format!("add the `{close}`, or put text with a `{bracket}` in quotes"));
    Some(problem)
}

/// The first line up to `last` whose column is that of no open mapping, or that is deeper than a line above which has a value
/// already. A guess that is only made of text that is no YAML: it looks at lines, not at tokens.
fn indentation(source: &Source, last: usize) -> Option<Problem> {
    let mut open: Vec<(usize, usize)> = vec![];
    let mut brackets = 0_isize;
    let mut opens = true;
    for number in 1..=last {
        let line = source.line(number);
        let rest = line.trim_start_matches(' ');
        if rest.is_empty() || rest.starts_with(['#', '"', '\'', '%']) || rest.starts_with("---") {
            continue;
        }
        let inside = brackets > 0;
        brackets += depth(rest);
        if inside {
            continue;
        }
        let column = line.len() - rest.len();
        let siblings = open.last().copied();
        while open.last().is_some_and(|(deeper, _)| *deeper > column) {
            open.pop();
        }
        let fits = match (open.last(), siblings) {
            (Some((top, _)), _) if *top == column => true,
            (Some(_), Some((deepest, _))) if deepest > column => false,
            (None, Some(_)) => false,
            (Some(_), _) => opens,
            (None, None) => true,
        };
        if let (false, Some((sibling, above))) = (fits, siblings) {
            return Some(misplaced(source, number, column, above, sibling));
        }
        if open.last().is_none_or(|(top, _)| *top < column) {
            open.push((column, number));
        }
        let item = rest.strip_prefix("- ").map(str::trim_start);
        if let Some(item) = item {
            open.push((line.len() - item.len(), number));
        }
        let code = rest.split(" #").next().unwrap_or(rest).trim_end();
        opens = code.ends_with([':', '|', '>', '-']);
    }
    None
}

/// How many brackets a line opens less how many it closes.
fn depth(line: &str) -> isize {
    line.chars()
        .map(|c| match c {
            '[' | '{' => 1,
            ']' | '}' => -1,
            _ => 0,
        })
        .sum()
}

fn misplaced(
    source: &Source,
    number: usize,
    column: usize,
    above: usize,
    sibling: usize,
) -> Problem {
    let word = |number: usize, column: usize| {
        let rest = source.line(number).get(column..).unwrap_or_default();
        let chars = rest.chars().take_while(|c| !matches!(c, ':' | ' ')).count();
        source.span(number, column + 1, chars.max(1))
    };
    let key = source.line(number).trim().split(':').next().unwrap_or_default();
    let message = format!("the indentation of `{key}` fits no line above it");
    Problem::new(Code::Indentation, message)
        .at(Spot::Span(word(number, column)), format!("this is at column {}", column + 1))
        .also(Spot::Span(word(above, sibling)), format!("this is at column {}", sibling + 1))
        .help("keys of one mapping begin at the same column")
}
