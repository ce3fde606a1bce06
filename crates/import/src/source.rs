//! Text to lines, as keepalived reads them: included files, lines for one node (`@id`), definitions (`$NAME=`), loops (`~SEQ`, `~LST`).
//!
//! The order is keepalived's: an include is seen before `@id` and before `$NAME` is replaced. What is left are lines of words; the lines that
//! were for the reader alone have their account in the ledger already.

mod definitions;
mod loops;

use crate::ledger::{Ledger, Place};
use crate::words::{Word, split, without_comment};
use crate::{MAX_BYTES, MAX_DEPTH, MAX_STATEMENTS, MAX_UNFOLDED, Options};
use definitions::Definitions;

/// Where files come from.
pub trait Library {
    /// The text of the file `name`.
    ///
    /// # Errors
    /// Why it can't be read, as a sentence.
    fn read(&self, name: &str) -> Result<Vec<u8>, String>;

    /// The files that `pattern` stands for, which an `include` names in the file `from`, sorted by name.
    ///
    /// # Errors
    /// Why that can't be told, as a sentence.
    fn matching(&self, from: &str, pattern: &str) -> Result<Vec<String>, String>;
}

/// A line with at least one word.
#[derive(Clone, Debug)]
pub(crate) struct SourceLine {
    pub(crate) place: Place,
    /// The text without blanks around it and without comment.
    pub(crate) text: String,
    pub(crate) words: Vec<Word>,
}

/// All lines of the file `name`, with those that it includes.
pub(crate) fn read(
    name: &str,
    library: &dyn Library,
    options: &Options,
    ledger: &mut Ledger,
) -> Vec<SourceLine> {
    let mut reader = Reader {
        library,
        options,
        ledger,
        definitions: Definitions::new(&options.id),
        open: Vec::new(),
        bytes: 0,
        unfolded: 0,
        units: 0,
        full: false,
        lines: Vec::new(),
    };
    let place = Place { file: name.to_owned(), line: 1, column: 1, order: 0 };
    reader.file(name, &place);
    reader.lines
}

/// Words that include files. The variants differ in what keepalived takes for an error; here a file that is not there always is one.
const INCLUDES: [&str; 6] = ["include", "includer", "includem", "includew", "includeb", "includea"];

struct Reader<'a> {
    library: &'a dyn Library,
    options: &'a Options,
    ledger: &'a mut Ledger,
    definitions: Definitions,
    /// The files that are being read, the outermost first.
    open: Vec<String>,
    /// Of all files so far.
    bytes: usize,
    /// The bytes of what definitions and loops made.
    unfolded: usize,
    /// How much has been done: lines, and what definitions and loops made of them.
    units: usize,
    /// Whether a limit was passed: nothing is read any more.
    full: bool,
    lines: Vec<SourceLine>,
}

impl Reader<'_> {
    fn file(&mut self, name: &str, from: &Place) {
        if self.full {
            return;
        }
        if self.open.iter().any(|open| open == name) {
            let chain = self.open.join(" includes ");
            let message = format!("{name} includes itself: {chain} includes {name}");
            return self.ledger.problem(from.clone(), message, "remove one of these includes");
        }
        if self.open.len() >= MAX_DEPTH {
            let message = format!("files include each other more than {MAX_DEPTH} deep");
            return self.ledger.problem(from.clone(), message, "include fewer files in a row");
        }
        let text = match self.library.read(name) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(why) => {
                let message = format!("read {name}: {why}");
                return self.ledger.problem(from.clone(), message, "name a file that can be read");
            }
        };
        self.bytes = self.bytes.saturating_add(text.len());
        if self.bytes > MAX_BYTES {
            let message = format!("the files have more than {MAX_BYTES} bytes");
            return self.stop(from, message, "check that these are the right files");
        }
        self.open.push(name.to_owned());
        self.text(name, &text);
        self.open.pop();
    }

    /// The lines of a file. A line that ends with a backslash goes on in the next one: of a definition these are several lines.
    fn text(&mut self, name: &str, text: &str) {
        let mut lines = text.lines().enumerate().peekable();
        while let Some((number, first)) = lines.next() {
            if self.full {
                return;
            }
            let mut joined = vec![first.trim_end()];
            while joined.last().is_some_and(|line| continues(line)) {
                let Some((_, next)) = lines.next() else { break };
                joined.push(next.trim_end());
            }
            let place =
                Place { file: name.to_owned(), line: number + 1, column: 1, order: self.units };
            let parts: Vec<String> = joined
                .iter()
                .map(|line| {
                    let line = without_comment(line);
                    line.strip_suffix('\\').unwrap_or(line).to_owned()
                })
                .collect();
            self.line(&place, &parts, 0);
        }
    }

    /// A line in several parts; `depth` is how many definitions and loops it comes out of.
    fn line(&mut self, place: &Place, parts: &[String], depth: usize) {
        let Some((first, rest)) = parts.split_first() else { return };
        let text = first.trim_start();
        if text.trim().is_empty() && rest.iter().all(|part| part.trim().is_empty()) {
            return;
        }
        let unfolded = if depth == 0 { 0 } else { parts.iter().map(String::len).sum() };
        if !self.room(place, unfolded) {
            return;
        }
        let indent = first.chars().count() - text.chars().count();
        let place = Place { column: place.column + indent, order: self.units, ..place.clone() };
        if depth == 0 && self.include(&place, text.trim_end()) {
            return;
        }
        if let Some(line) = text.strip_prefix('@') {
            return self.conditional(&place, line, rest, depth);
        }
        if let Some((name, value)) = definitions::definition(text) {
            let mut body: Vec<String> =
                std::iter::once(value.to_owned()).chain(rest.iter().cloned()).collect();
            if body.len() > 1 && body.first().is_some_and(|line| line.trim().is_empty()) {
                body.remove(0);
            }
            let id = self.ledger.open(place, &format!("${name}=…"));
            self.ledger.note(id, "a definition: it is converted where it is used");
            return self.definitions.define(name, body);
        }
        let whole = std::iter::once(text).chain(rest.iter().map(String::as_str));
        let whole = whole.map(str::trim_end).collect::<Vec<_>>().join(" ");
        if whole.starts_with("~SEQ") || whole.starts_with("~LST") {
            return self.repeat(&place, &whole, depth);
        }
        match self.definitions.replace(&whole) {
            None => self.finished(&place, &whole),
            Some(_) if depth >= MAX_DEPTH => {
                let message =
                    format!("definitions are used in each other more than {MAX_DEPTH} deep");
                self.ledger.problem(place, message, "a definition that uses itself never ends");
            }
            Some(lines) => {
                for line in lines {
                    self.line(&place, &[line], depth + 1);
                }
            }
        }
    }

    /// Whether there is room for another line, of which definitions and loops made `unfolded` bytes; told once when there is none.
    fn room(&mut self, place: &Place, unfolded: usize) -> bool {
        if self.full {
            return false;
        }
        self.units += 1;
        self.unfolded = self.unfolded.saturating_add(unfolded);
        let message = if self.units > MAX_STATEMENTS {
            format!("the text unfolds to more than {MAX_STATEMENTS} lines")
        } else if self.unfolded > MAX_UNFOLDED {
            format!("the text unfolds to more than {MAX_UNFOLDED} bytes")
        } else {
            return true;
        };
        self.stop(place, message, "convert it in parts");
        false
    }

    /// Tells of a limit, and reads nothing any more.
    fn stop(&mut self, place: &Place, message: String, help: &str) {
        self.full = true;
        self.ledger.problem(place.clone(), message, help);
    }

    fn include(&mut self, place: &Place, text: &str) -> bool {
        let (word, pattern) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        if !INCLUDES.contains(&word) {
            return false;
        }
        let pattern = pattern.trim().trim_matches(['"', '\'']);
        let id = self.ledger.open(place.clone(), text);
        let column = place.column + word.chars().count() + 1;
        if pattern.is_empty() {
            self.ledger.wrong(id, column, format!("`{word}` names no file"), "name one");
            return true;
        }
        match self.library.matching(&place.file, pattern) {
            Err(why) => {
                let message = format!("include {pattern}: {why}");
                self.ledger.wrong(id, column, message, "name files that can be read");
            }
            Ok(files)
                if files.is_empty()
                    && word == "include"
                    && pattern.contains(['*', '?', '[', '{']) =>
            {
                self.ledger.note(id, "no file fits the pattern, as keepalived allows");
            }
            Ok(files) if files.is_empty() => {
                let message = format!("no file is {pattern}");
                let help = "keepalived goes on without it; bring the file here, or remove the line";
                self.ledger.wrong(id, column, message, help);
            }
            Ok(files) => {
                self.ledger.note(id, format!("read: {}", files.join(", ")));
                for file in files {
                    self.file(&file, &Place { column, ..place.clone() });
                }
            }
        }
        true
    }

    /// A line for the node of an identity, or for every other one.
    fn conditional(&mut self, place: &Place, line: &str, rest: &[String], depth: usize) {
        let (id, text) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (wanted, kept) = match id.strip_prefix('^') {
            Some(id) => (id, id != self.options.id),
            None => (id, id == self.options.id),
        };
        if !kept {
            let account = self.ledger.open(place.clone(), format!("@{line}").trim_end());
            let own = &self.options.id;
            let whom = if id.starts_with('^') { "every node but" } else { "the node" };
            let note =
                format!("a line for {whom} `{wanted}`; this conversion is for `{own}` (`--id`)");
            return self.ledger.left(account, note);
        }
        let before = 1 + line.chars().count() - text.chars().count();
        let place = Place { column: place.column + before, ..place.clone() };
        let parts: Vec<String> =
            std::iter::once(text.to_owned()).chain(rest.iter().cloned()).collect();
        self.line(&place, &parts, depth);
    }

    fn repeat(&mut self, place: &Place, text: &str, depth: usize) {
        if depth >= MAX_DEPTH {
            let message = format!("loops and definitions are more than {MAX_DEPTH} deep");
            return self.ledger.problem(place.clone(), message, "write the lines out");
        }
        let unfolded = match loops::unfold(text) {
            Ok(unfolded) => unfolded,
            Err(message) => {
                let help =
                    "the forms are `~SEQ(NAME, first, step, last)` and `~LST(NAME, one, two)`";
                return self.ledger.problem(place.clone(), message, help);
            }
        };
        // A round that reads no line is counted here, every other one with its line.
        let empty = unfolded.rest.trim().is_empty();
        for values in &unfolded.rounds {
            if self.full || (empty && !self.room(place, 0)) {
                return;
            }
            for (name, value) in unfolded.names.iter().zip(values) {
                self.definitions.define(name, vec![value.clone()]);
            }
            self.line(place, std::slice::from_ref(&unfolded.rest), depth + 1);
        }
    }

    fn finished(&mut self, place: &Place, text: &str) {
        let text = definitions::unmask(text);
        match split(&text) {
            Ok(words) => {
                let words = words
                    .into_iter()
                    .map(|word| Word { column: word.column + place.column - 1, ..word })
                    .collect::<Vec<_>>();
                if !words.is_empty() {
                    let text = text.trim_end().to_owned();
                    self.lines.push(SourceLine { place: place.clone(), text, words });
                }
            }
            Err(column) => {
                let id = self.ledger.open(place.clone(), &text);
                let column = column + place.column - 1;
                self.ledger.wrong(
                    id,
                    column,
                    "a quote that is not closed",
                    "close it on this line",
                );
            }
        }
    }
}

/// Whether a line goes on in the next one.
fn continues(line: &str) -> bool {
    without_comment(line).ends_with('\\') && line.ends_with('\\')
}
