//! The configuration's text with the place of every key and value in it.
//!
//! With `include` it has several files. Their texts stand one behind the other, and everything here counts over all of them; only
//! [`Source::local`] knows where each begins, for what people read.
//!
//! A path that the text does not have is found at its nearest ancestor that it has, so that a rule may name
//! `services.web.real_servers.web1.address` whether the file says `web1: 10.0.0.11:80` or `web1: {address: …}`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::fingerprint::Digest;
use crate::path::Path;
use crate::{positions, secret};

/// A range of the text, never across lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last; not before `start`.
    pub end: usize,
    /// The line of `start`, counted from 1.
    pub line: usize,
    /// The column of `start` in characters, counted from 1.
    pub column: usize,
}

impl Span {
    /// The same place in a text that has so much before it.
    pub(crate) const fn moved(self, by: Shift) -> Self {
        let Self { start, end, line, column } = self;
        Self { start: start + by.bytes, end: end + by.bytes, line: line + by.lines, column }
    }
}

/// What stands before a file's text in that of all files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shift {
    pub(crate) bytes: usize,
    pub(crate) lines: usize,
}

/// A file of the configuration.
#[derive(Clone, Debug)]
struct Part {
    file: String,
    before: Shift,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Without quotes: YAML may read a number or a word into it.
    Plain,
    /// With quotes or as a block: text.
    Quoted,
}

/// Where a value is, and its key when it has one.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The key that introduces it; none for a list's item and the root.
    pub(crate) key: Option<Span>,
    /// The value; of a mapping or list its first character's place.
    pub(crate) value: Span,
    /// A scalar's text and style.
    pub(crate) scalar: Option<(String, Style)>,
}

impl Place {
    fn moved(self, by: Shift) -> Self {
        let Self { key, value, scalar } = self;
        Self { key: key.map(|key| key.moved(by)), value: value.moved(by), scalar }
    }
}

/// The files' names, their text, and the place of every path.
#[derive(Clone)]
pub struct Source {
    /// At least one.
    parts: Vec<Part>,
    text: Arc<String>,
    /// The byte at which each line begins.
    lines: Vec<usize>,
    /// Whether every character is a byte.
    ascii: bool,
    /// The byte of every [`STRIDE`]th character, so that characters are found without reading the text from its beginning: a
    /// file may be one line. None where every character is a byte.
    marks: Vec<usize>,
    /// Those below [`positions::DEFERRED`] left out.
    places: BTreeMap<Path, Place>,
    /// Those below it, made when the first is asked for: a valid file never asks.
    deferred: OnceLock<BTreeMap<Path, Place>>,
    /// What is never shown, as ranges of bytes.
    secrets: Vec<Range<usize>>,
}

impl fmt::Debug for Source {
    /// Without the text: it may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("file", &self.file()).finish_non_exhaustive()
    }
}

/// Characters between two marks.
const STRIDE: usize = 256;

impl Source {
    /// A number made of the text, as 16 hexadecimal digits (FNV-1a of 64 bits): texts that differ have, for all practical purposes,
    /// others. It is the same in every version, and proof against accidents, not against malice.
    pub fn fingerprint(&self) -> String {
        Digest::EMPTY.with(self.text().as_bytes()).to_string()
    }

    pub(crate) fn new(file: &str, text: impl Into<Arc<String>>) -> Self {
        let text = text.into();
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(starts).collect();
        let ascii = text.is_ascii();
        let marks = text.char_indices().step_by(STRIDE).map(|(at, _)| at);
        let marks = if ascii { vec![] } else { marks.collect() };
        let (places, deferred) = (BTreeMap::new(), OnceLock::from(BTreeMap::new()));
        let parts = vec![Part { file: file.to_owned(), before: Shift::default() }];
        Self { parts, text, lines, ascii, marks, places, deferred, secrets: vec![] }
    }

    /// All files as one text, the first the one that includes the others. Of a path that several have the first place counts.
    pub(crate) fn join(files: Vec<Self>) -> Self {
        let (mut text, mut parts) = (String::new(), Vec::new());
        let (mut places, mut secrets) = (BTreeMap::new(), Vec::new());
        let mut next = Shift::default();
        for file in files {
            let before = next;
            next = file.end(before);
            text.push_str(&file.text);
            if !file.text.ends_with('\n') {
                text.push('\n');
            }
            for (path, place) in file.places {
                places.entry(path).or_insert_with(|| place.moved(before));
            }
            let hidden = file.secrets.into_iter();
            secrets.extend(hidden.map(|at| at.start + before.bytes..at.end + before.bytes));
            parts.extend(file.parts.into_iter().map(|part| Part { before, ..part }));
        }
        let mut joined = Self::new("", text);
        (joined.parts, joined.secrets) = (parts, secrets);
        joined.set_places(places);
        joined
    }

    /// What stands before a text that follows this one, which has `before` before it: [`Self::join`] ends every file with a line's end.
    pub(crate) fn end(&self, before: Shift) -> Shift {
        let missing = usize::from(!self.text.ends_with('\n'));
        Shift {
            bytes: before.bytes + self.text.len() + missing,
            lines: before.lines + self.lines.len() - 1 + missing,
        }
    }

    /// What stands before each file.
    pub(crate) fn shifts(&self) -> impl Iterator<Item = Shift> + '_ {
        self.parts.iter().map(|part| part.before)
    }

    /// The files with their texts, the first the one that includes the others. A text may have a password in it.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let ends = self.parts.iter().skip(1).map(|part| part.before.bytes);
        let ends = ends.chain(std::iter::once(self.text.len()));
        self.parts.iter().zip(ends).map(|(part, end)| {
            (part.file.as_str(), self.text.get(part.before.bytes..end).unwrap_or_default())
        })
    }

    /// The same for who wants to keep them: the text of a single file, which may have megabytes, is not copied.
    pub fn into_files(self) -> Vec<(String, String)> {
        match self.parts.as_slice() {
            [one] => vec![(one.file.clone(), Arc::unwrap_or_clone(self.text))],
            _several => {
                self.files().map(|(file, text)| (file.to_owned(), text.to_owned())).collect()
            }
        }
    }

    /// The file of a place, and what stands before it.
    pub(crate) fn part_at(&self, byte: usize) -> (&str, Shift) {
        let part = self.parts.iter().rev().find(|part| part.before.bytes <= byte);
        part.map_or_else(|| ("", Shift::default()), |part| (part.file.as_str(), part.before))
    }

    /// A place as people count: with the line of its file. Its bytes stay those of the whole text.
    pub(crate) fn local(&self, span: Span) -> (&str, Span) {
        let (file, before) = self.part_at(span.start);
        (file, Span { line: span.line - before.lines.min(span.line), ..span })
    }

    /// The places below [`positions::DEFERRED`] of all files.
    fn find_deferred(&self) -> BTreeMap<Path, Place> {
        if let [_one] = self.parts.as_slice() {
            return positions::deferred(self);
        }
        let mut places = BTreeMap::new();
        for ((file, text), by) in self.files().zip(self.shifts()) {
            for (path, place) in positions::deferred(&Self::new(file, text.to_owned())) {
                places.entry(path).or_insert_with(|| place.moved(by));
            }
        }
        places
    }

    /// The byte at which character `index` of the text begins; the text's end when it has fewer.
    pub(crate) fn byte(&self, index: usize) -> usize {
        if self.ascii {
            return index.min(self.text.len());
        }
        let mark = self.marks.get(index / STRIDE).copied();
        mark.and_then(|mark| {
            let (at, _) = self.text.get(mark..)?.char_indices().nth(index % STRIDE)?;
            Some(mark + at)
        })
        .unwrap_or(self.text.len())
    }

    /// How many characters begin before `byte`.
    fn characters(&self, byte: usize) -> usize {
        if self.ascii {
            return byte.min(self.text.len());
        }
        let whole = self.marks.partition_point(|mark| *mark <= byte).saturating_sub(1);
        let mark = self.marks.get(whole).copied().unwrap_or_default();
        let rest = self.text.get(mark..).unwrap_or_default();
        let rest = rest.char_indices().take_while(|(at, _)| mark + at < byte).count();
        whole * STRIDE + rest
    }

    /// The first file's name as it was given.
    pub fn file(&self) -> &str {
        self.parts.first().map_or("", |part| part.file.as_str())
    }

    /// The text of all files, without byte order marks. It may have a password in it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Takes the places in that are not below [`positions::DEFERRED`]; from now on the others are looked for when they are asked for.
    /// A text whose places were never set has none.
    pub(crate) fn set_places(&mut self, places: BTreeMap<Path, Place>) {
        self.places = places;
        self.deferred = OnceLock::new();
    }

    /// Never shows what is at `secret`.
    pub(crate) fn hide(&mut self, secret: Range<usize>) {
        self.secrets.push(secret);
    }

    /// Never shows what may be a password, of a text that could not be read to its end.
    pub(crate) fn hide_lines(&mut self) {
        self.secrets.extend(secret::lines(&self.text));
    }

    /// The text from byte `start` to `end` as it may be shown, every place where it was; none outside the text.
    pub(crate) fn shown(&self, start: usize, end: usize) -> Option<Cow<'_, str>> {
        Some(secret::cover(self.text.get(start..end)?, start, &self.secrets))
    }

    /// Whether a place below [`positions::DEFERRED`] was asked for, which has the text read once more.
    #[cfg(test)]
    pub(crate) fn was_read_again(&self) -> bool {
        self.deferred.get().is_some()
    }

    /// The place of exactly this path.
    pub(crate) fn place(&self, path: &Path) -> Option<&Place> {
        if path.first_key() == Some(positions::DEFERRED) {
            self.deferred.get_or_init(|| self.find_deferred()).get(path)
        } else {
            self.places.get(path)
        }
    }

    pub(crate) fn has(&self, path: &Path) -> bool {
        self.place(path).is_some()
    }

    /// The value of `path` or of its nearest ancestor. A mapping or list is shown by its key, for it has many lines.
    pub(crate) fn value(&self, path: &Path) -> Option<Span> {
        let place = self.nearest(path)?;
        match (&place.scalar, place.key) {
            (None, Some(key)) => Some(key),
            (Some(_), Some(key)) if place.value.start == place.value.end => Some(key),
            (Some(_) | None, _) => Some(place.value),
        }
    }

    /// The key of `path`, or the value where it has none, or the same of its nearest ancestor.
    pub(crate) fn key(&self, path: &Path) -> Option<Span> {
        let place = self.nearest(path)?;
        Some(place.key.unwrap_or(place.value))
    }

    fn nearest(&self, path: &Path) -> Option<&Place> {
        let mut path = path.clone();
        loop {
            if let Some(place) = self.place(&path) {
                return Some(place);
            }
            path = path.parent()?;
        }
    }

    /// The text of line `line` (from 1) without its end.
    pub(crate) fn line(&self, line: usize) -> &str {
        let start = line.checked_sub(1).and_then(|index| self.lines.get(index));
        let end = self.lines.get(line).copied().unwrap_or(self.text.len());
        start
            .and_then(|start| self.text.get(*start..end))
            .map_or("", |text| text.trim_end_matches(['\n', '\r']))
    }

    /// The byte at which line `line` (from 1) begins; the text's end when it has fewer.
    pub(crate) fn line_start(&self, line: usize) -> usize {
        let start = line.checked_sub(1).and_then(|index| self.lines.get(index));
        start.copied().unwrap_or(self.text.len())
    }

    /// The span of `chars` characters from column `column` (from 1) of line `line` (from 1), cut at the line's end; a line
    /// beyond the last is the last.
    pub(crate) fn span(&self, line: usize, column: usize, chars: usize) -> Span {
        let line = line.clamp(1, self.lines.len());
        let start = self.line_start(line);
        let first = self.characters(start);
        let last = self.characters(start + self.line(line).len());
        let from = first.saturating_add(column.saturating_sub(1)).min(last);
        let to = from.saturating_add(chars).min(last);
        Span { start: self.byte(from), end: self.byte(to), line, column: from - first + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_count_characters_for_people_and_bytes_for_programs() {
        let source = Source::new("f", "a: 1\nü: über\n".to_owned());
        let span = source.span(2, 4, 4);
        assert_eq!(source.text().get(span.start..span.end), Some("über"));
        assert_eq!((span.line, span.column), (2, 4));
    }

    #[test]
    fn characters_are_found_across_marks() {
        let text = "aü€😀\n".repeat(3 * STRIDE);
        let source = Source::new("f", text.clone());
        for (index, (byte, _)) in text.char_indices().enumerate() {
            assert_eq!(source.byte(index), byte);
            assert_eq!(source.characters(byte), index);
        }
        let span = source.span(700, 3, 1);
        assert_eq!(text.get(span.start..span.end), Some("€"));
    }

    #[test]
    fn spans_outside_the_text_are_cut_to_it() {
        let source = Source::new("f", "a: 1".to_owned());
        assert_eq!(source.span(9, 9, 9), Span { start: 4, end: 4, line: 1, column: 5 });
    }
}
