//! Lines to statements in their blocks.

use std::ops::Range;

use crate::MAX_DEPTH;
use crate::ledger::{Id, Ledger, Place};
use crate::source::SourceLine;
use crate::words::Word;

/// A statement: a line's words, and the block that follows them, where there is one.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) id: Id,
    pub(crate) words: Vec<Word>,
    /// The statements of its block; none when it has no block.
    pub(crate) block: Option<Vec<Self>>,
    /// The numbers of its own and of everything in its block.
    pub(crate) span: Range<Id>,
}

impl Statement {
    /// The first word.
    pub(crate) fn keyword(&self) -> &str {
        self.word(0)
    }

    /// A word, empty where there is none.
    pub(crate) fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", |word| &word.text)
    }

    /// The words behind the first.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = &str> {
        self.words.iter().skip(1).map(|word| word.text.as_str())
    }

    /// Where a word begins, or the last one that there is.
    pub(crate) fn column(&self, index: usize) -> usize {
        self.words.get(index).or_else(|| self.words.last()).map_or(1, |word| word.column)
    }

    /// The statements of its block.
    pub(crate) fn children(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }
}

/// A block that is being read.
#[derive(Default)]
struct Open {
    /// What it belongs to; none at the top.
    owner: Option<Statement>,
    place: Place,
    statements: Vec<Statement>,
}

/// The blocks that are being read.
struct Blocks {
    /// The outermost, which is the text, first; never more than [`MAX_DEPTH`] in it.
    stack: Vec<Open>,
    /// How many more are open in the innermost, which has their statements.
    beyond: usize,
}

/// The statements of the text, each with its account opened.
pub(crate) fn build(lines: Vec<SourceLine>, ledger: &mut Ledger) -> Vec<Statement> {
    let mut blocks = Blocks { stack: vec![Open::default()], beyond: 0 };
    for line in lines {
        read_line(&line, &mut blocks, ledger);
    }
    let Blocks { mut stack, .. } = blocks;
    while stack.len() > 1 {
        if let Some(Open { owner: Some(owner), place, .. }) = stack.last() {
            let message = format!("the block of `{}` is not closed", owner.keyword());
            ledger.problem(place.clone(), message, "write a `}` behind its last line");
        }
        close(&mut stack, ledger);
    }
    stack.pop().map(|top| top.statements).unwrap_or_default()
}

fn read_line(line: &SourceLine, blocks: &mut Blocks, ledger: &mut Ledger) {
    let mut words: Vec<Word> = Vec::new();
    for word in &line.words {
        match word.text.as_str() {
            "{" if !word.quoted => {
                statement(line, std::mem::take(&mut words), &mut blocks.stack, ledger);
                open(line, word, blocks, ledger);
            }
            "}" if !word.quoted => {
                statement(line, std::mem::take(&mut words), &mut blocks.stack, ledger);
                if blocks.beyond > 0 {
                    blocks.beyond -= 1;
                } else if blocks.stack.len() > 1 {
                    close(&mut blocks.stack, ledger);
                } else {
                    let place = Place { column: word.column, ..line.place.clone() };
                    ledger.problem(
                        place,
                        "a `}` that closes nothing",
                        "remove it, or open the block",
                    );
                }
            }
            text if !word.quoted
                && text.len() > 1
                && text.ends_with('{')
                && !text.contains('$') =>
            {
                let text = text.trim_end_matches('{').to_owned();
                words.push(Word { text, ..word.clone() });
                statement(line, std::mem::take(&mut words), &mut blocks.stack, ledger);
                open(line, word, blocks, ledger);
            }
            _ => words.push(word.clone()),
        }
    }
    statement(line, words, &mut blocks.stack, ledger);
}

/// Adds a statement to the innermost block.
fn statement(line: &SourceLine, words: Vec<Word>, stack: &mut [Open], ledger: &mut Ledger) {
    let Some(first) = words.first() else { return };
    let place = Place { column: first.column, ..line.place.clone() };
    let id = if words.len() == line.words.len() {
        ledger.open(place, &line.text)
    } else {
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        ledger.open(place, &texts.join(" "))
    };
    if let Some(block) = stack.last_mut() {
        block.statements.push(Statement { id, words, block: None, span: id..id + 1 });
    }
}

/// Opens the block of the last statement. What is deeper than the limit is counted alone: its statements are those of the innermost block
/// within it, so that nothing that walks the tree is deep.
fn open(line: &SourceLine, brace: &Word, blocks: &mut Blocks, ledger: &mut Ledger) {
    let place = Place { column: brace.column, ..line.place.clone() };
    if blocks.stack.len() > MAX_DEPTH {
        if blocks.beyond == 0 {
            let message = format!("blocks are more than {MAX_DEPTH} deep");
            let help = "no block of keepalived is so deep: look for a missing `}`";
            ledger.problem(place, message, help);
        }
        blocks.beyond += 1;
        return;
    }
    let stack = &mut blocks.stack;
    let owner = stack.last_mut().and_then(|block| {
        let free = block.statements.last().is_some_and(|last| last.block.is_none());
        if free { block.statements.pop() } else { None }
    });
    let Some(owner) = owner else {
        ledger.problem(
            place.clone(),
            "a `{` that belongs to no statement",
            "remove it with its `}`",
        );
        let id = ledger.open(place.clone(), "{");
        ledger.left(id, "a block without a name");
        let owner = Statement { id, words: Vec::new(), block: None, span: id..id + 1 };
        return stack.push(Open { owner: Some(owner), place, statements: Vec::new() });
    };
    stack.push(Open { owner: Some(owner), place, statements: Vec::new() });
}

/// Closes the innermost block.
fn close(stack: &mut Vec<Open>, ledger: &Ledger) {
    let Some(Open { owner: Some(mut owner), statements, .. }) = stack.pop() else { return };
    let Some(outer) = stack.last_mut() else { return };
    owner.span = owner.id..ledger.len();
    owner.block = Some(statements);
    outer.statements.push(owner);
}
