//! Names as Holdfast has them: 1 to 63 letters, digits, `-`, `_` or `.`, the first a letter or digit, each once.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::Ledger;
use crate::tree::Statement;

/// The names of one kind.
#[derive(Debug, Default)]
pub(crate) struct Names {
    taken: BTreeSet<String>,
    /// The next number for a name that is taken.
    next: BTreeMap<String, usize>,
    /// What the source's names have become.
    became: BTreeMap<String, String>,
    last: Option<String>,
}

impl Names {
    /// A name for what the source calls `given`; a change is told of the statement.
    pub(crate) fn name(
        &mut self,
        given: &str,
        statement: &Statement,
        ledger: &mut Ledger,
    ) -> String {
        let name = self.fresh(given);
        if name != given {
            let note = format!("`{given}` is called `{name}`, which Holdfast takes for a name");
            ledger.note(statement.id, note);
        }
        self.became.insert(given.to_owned(), name.clone());
        self.last = Some(given.to_owned());
        name
    }

    /// A name like `wanted` that nothing has yet.
    pub(crate) fn fresh(&mut self, wanted: &str) -> String {
        let letter = |l: char| if l.is_ascii_alphanumeric() || "-_.".contains(l) { l } else { '-' };
        let mut name: String = wanted.chars().map(letter).take(58).collect();
        if !name.starts_with(|l: char| l.is_ascii_alphanumeric()) {
            name.insert(0, 'x');
        }
        let first = name.clone();
        while self.taken.contains(&name) {
            let number = self.next.entry(first.clone()).or_insert(2);
            name = format!("{first}-{number}");
            *number += 1;
        }
        self.taken.insert(name.clone());
        name
    }

    /// The source's name that came last.
    pub(crate) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// What the source's name has become.
    pub(crate) fn of(&self, given: &str) -> Option<&str> {
        self.became.get(given).map(String::as_str)
    }
}
