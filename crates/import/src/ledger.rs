//! The ledger: every statement that was read, and what became of it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::MAX_PROBLEMS;
use crate::secret::masked;

/// The number of a statement, in the order of reading.
pub(crate) type Id = usize;

/// What became of a statement. A statement with several consequences has the gravest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It means the same in the configuration, or is what Holdfast does anyway.
    Exact,
    /// It is in the configuration, and means something else there; the note says what.
    Different,
    /// It is not in the configuration; the note says why, and what to do instead.
    NotConverted,
    /// It is wrong; a problem says how.
    Wrong,
}

impl Outcome {
    /// The words that the report has for it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Different => "different",
            Self::NotConverted => "not converted",
            Self::Wrong => "wrong",
        }
    }
}

/// A line of the report: one statement of the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The file.
    pub file: String,
    /// The line, from 1; of a statement that a definition unfolds to, the line that uses it.
    pub line: usize,
    /// The statement, without comment, password and value of a definition.
    pub statement: String,
    /// What became of it.
    pub outcome: Outcome,
    /// How its meaning differs, why it was not converted, and what keepalived made of it silently.
    pub notes: Vec<String>,
}

/// Something that is wrong with the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// A place in the source.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// How much had been read before it: what an included file has comes before what follows the include.
    pub(crate) order: usize,
}

#[derive(Debug)]
struct Account {
    place: Place,
    statement: String,
    outcome: Option<Outcome>,
    notes: Vec<String>,
}

/// What was read, and what became of it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accounts: Vec<Account>,
    problems: Vec<(usize, Problem)>,
    /// What a person has to decide, by the statement that it comes from: comments of the configuration.
    pub(crate) comments: BTreeMap<Id, Vec<String>>,
}

impl Ledger {
    /// Opens the account of a statement. What no report shows is taken out of its text.
    pub(crate) fn open(&mut self, place: Place, statement: &str) -> Id {
        let statement = masked(statement);
        self.accounts.push(Account { place, statement, outcome: None, notes: Vec::new() });
        self.accounts.len() - 1
    }

    /// How many statements there are.
    pub(crate) fn len(&self) -> usize {
        self.accounts.len()
    }

    fn mark(&mut self, id: Id, outcome: Outcome, note: Option<String>) {
        let Some(account) = self.accounts.get_mut(id) else { return };
        account.outcome = account.outcome.max(Some(outcome));
        if let Some(note) = note.filter(|note| !account.notes.contains(note)) {
            account.notes.push(note);
        }
    }

    /// The statement means the same.
    pub(crate) fn exact(&mut self, id: Id) {
        self.mark(id, Outcome::Exact, None);
    }

    /// The statement means the same, and there is something to know about it.
    pub(crate) fn note(&mut self, id: Id, note: impl Into<String>) {
        self.mark(id, Outcome::Exact, Some(note.into()));
    }

    /// The statement was converted and means something else.
    pub(crate) fn differs(&mut self, id: Id, note: impl Into<String>) {
        self.mark(id, Outcome::Different, Some(note.into()));
    }

    /// The statement was not converted.
    pub(crate) fn left(&mut self, id: Id, note: impl Into<String>) {
        self.mark(id, Outcome::NotConverted, Some(note.into()));
    }

    /// As [`Self::differs`], and a person has to decide: the configuration has it as a comment, too.
    pub(crate) fn differs_decide(&mut self, id: Id, note: impl Into<String>) {
        let note = note.into();
        self.comment(id, &note);
        self.differs(id, note);
    }

    /// As [`Self::left`], and a person has to decide: the configuration has it as a comment, too.
    pub(crate) fn left_decide(&mut self, id: Id, note: impl Into<String>) {
        let note = note.into();
        self.comment(id, &note);
        self.left(id, note);
    }

    fn comment(&mut self, id: Id, note: &str) {
        let Some(account) = self.accounts.get(id) else { return };
        let Place { file, line, .. } = &account.place;
        let comment = format!("{file}:{line}: {}: {note}", account.statement);
        let comments = self.comments.entry(id).or_default();
        if !comments.contains(&comment) {
            comments.push(comment);
        }
    }

    /// The statement is wrong at `column`.
    pub(crate) fn wrong(
        &mut self,
        id: Id,
        column: usize,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let message = message.into();
        let Some(account) = self.accounts.get(id) else { return };
        let place = Place { column, ..account.place.clone() };
        self.mark(id, Outcome::Wrong, Some(message.clone()));
        self.problem(place, message, help);
    }

    /// Something is wrong at a place.
    pub(crate) fn problem(
        &mut self,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        if self.problems.len() < MAX_PROBLEMS {
            let Place { file, line, column, order } = place;
            let (message, help) = (message.into(), help.into());
            self.problems.push((order, Problem { file, line, column, message, help }));
        }
    }

    /// Whether nothing is wrong so far.
    pub(crate) const fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether something was said of a statement.
    pub(crate) fn is_known(&self, id: Id) -> bool {
        self.accounts.get(id).is_some_and(|account| account.outcome.is_some())
    }

    /// Where a statement begins.
    pub(crate) fn place(&self, id: Id) -> Place {
        self.accounts.get(id).map(|account| account.place.clone()).unwrap_or_default()
    }

    /// The report and the problems. A statement that nobody has looked at was not converted.
    pub(crate) fn close(mut self) -> (Vec<Line>, Vec<Problem>) {
        self.accounts.sort_by_key(|account| account.place.order);
        self.problems.sort_by_key(|(order, problem)| (*order, problem.column));
        let report = self
            .accounts
            .into_iter()
            .map(|Account { place, statement, outcome, mut notes }| {
                if outcome.is_none() {
                    notes.push(UNSEEN.to_owned());
                }
                let outcome = outcome.unwrap_or(Outcome::NotConverted);
                Line { file: place.file, line: place.line, statement, outcome, notes }
            })
            .collect();
        (report, self.problems.into_iter().map(|(_, problem)| problem).collect())
    }
}

/// Said of a statement that no rule has looked at. Tests see that there is none.
pub(crate) const UNSEEN: &str = "nothing looked at this statement";
