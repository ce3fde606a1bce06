//! keepalived.conf to a Holdfast configuration, with a report of every statement.
//!
//! It is pure: files come from a [`Library`], which the caller fills from the disk. Nothing here panics on any text, and everything that a
//! text can make grow has a limit ([`MAX_BYTES`], [`MAX_STATEMENTS`], [`MAX_UNFOLDED`], [`MAX_SERVED`], [`MAX_DEPTH`]).
//!
//! ```text
//! bytes ─ source (includes, @id, $NAME, ~SEQ) ─► lines ─ words ─► Statement (a tree; each has its number in the Ledger)
//!                                                                   └─ convert ─► Node (YAML with its origins) ─ yaml ─► text
//!                                                                          └─► Ledger: what became of each statement
//! ```
//!
//! Invariants: every statement has exactly one line of the report, whatever it is; a configuration is only handed out without
//! problems, and `holdfast check` accepts what is handed out.

mod convert;
mod keywords;
mod ledger;
mod secret;
mod source;
mod tree;
mod verify;
mod words;
mod yaml;

pub use keywords::{Context, known};
pub use ledger::{Line, Outcome, Problem};
pub use source::Library;

use ledger::Ledger;

/// The longest text that is read, of all files together, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// The most statements that are read, those that definitions and loops unfold to included.
pub const MAX_STATEMENTS: usize = 200_000;
/// The most that definitions and loops unfold to, in bytes.
pub const MAX_UNFOLDED: usize = 8 << 20;
/// How much all virtual servers together may become that the text does not say itself: addresses of ranges and of groups, and real servers once
/// more for each further service that a virtual server is divided into, counted in addresses and statements.
pub const MAX_SERVED: usize = MAX_STATEMENTS;
/// The deepest nesting of blocks, of included files, and of definitions in definitions.
pub const MAX_DEPTH: usize = 16;
/// The most problems that are kept.
pub const MAX_PROBLEMS: usize = 1000;

/// What a conversion depends on besides the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The identity that lines with `@id` are kept for: keepalived's `-i`, by default the short host name.
    pub id: String,
}

/// What became of a keepalived.conf.
#[derive(Clone, Debug)]
pub struct Import {
    /// The configuration in YAML; none when there are problems.
    pub configuration: Option<String>,
    /// A line for each statement, in the order in which keepalived reads them.
    pub report: Vec<Line>,
    /// What is wrong with the text, in the same order; nothing is converted then.
    pub problems: Vec<Problem>,
}

/// Converts the file `name` of `library`, with what it includes.
pub fn import(name: &str, library: &dyn Library, options: &Options) -> Import {
    let mut ledger = Ledger::default();
    let lines = source::read(name, library, options, &mut ledger);
    let statements = tree::build(lines, &mut ledger);
    let root = convert::convert(&statements, &mut ledger);
    let (text, origins) = yaml::write(&root, &ledger.comments);
    if ledger.is_sound() {
        verify::verify(&text, &origins, options, &mut ledger);
    }
    let configuration = ledger.is_sound().then_some(text);
    let (report, problems) = ledger.close();
    Import { configuration, report, problems }
}
