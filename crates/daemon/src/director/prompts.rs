//! Which checks look at which files and BFD sessions, so that they run when these change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use holdfast_config::Name;
use holdfast_engine::{CheckId, Engine};
use holdfast_watch::Folders;

/// So many checks are remembered before those that are gone are looked for.
const TENDED: usize = 256;

/// Files and sessions, and the checks of each.
#[derive(Debug, Default)]
pub(super) struct Prompts {
    pub(super) files: Folders,
    by_file: BTreeMap<PathBuf, BTreeSet<CheckId>>,
    by_session: BTreeMap<Name, BTreeSet<CheckId>>,
    /// How many checks there are in both, and how many there were when those that are gone were looked for.
    known: usize,
    tended: usize,
}

impl Prompts {
    /// Has `check` prompted when something happens to the file at `path`. To be said at each run: a folder that was not there may be
    /// there now.
    pub(super) fn of_file(&mut self, check: CheckId, path: &Path) {
        self.files.watch(path);
        if let Some(checks) = self.by_file.get_mut(path) {
            self.known += usize::from(checks.insert(check));
        } else {
            self.by_file.insert(path.to_owned(), [check].into());
            self.known += 1;
        }
    }

    /// The same for a BFD session.
    pub(super) fn of_session(&mut self, check: CheckId, session: Name) {
        self.known += usize::from(self.by_session.entry(session).or_default().insert(check));
    }

    pub(super) fn checks_of_files(&self, paths: &BTreeSet<PathBuf>) -> Vec<CheckId> {
        paths.iter().filter_map(|path| self.by_file.get(path)).flatten().copied().collect()
    }

    pub(super) fn checks_of_sessions(&self, names: &BTreeSet<Name>) -> Vec<CheckId> {
        names.iter().filter_map(|name| self.by_session.get(name)).flatten().copied().collect()
    }

    /// Forgets checks that are gone, when there are twice as many as there were after the last time. A folder in which no file is left
    /// is watched no longer.
    pub(super) fn tend(&mut self, engine: &Engine) {
        if self.known < (2 * self.tended).max(TENDED) {
            return;
        }
        self.by_file.retain(|_, checks| keep(checks, engine));
        self.by_session.retain(|_, checks| keep(checks, engine));
        let both = self.by_file.values().chain(self.by_session.values());
        self.known = both.map(BTreeSet::len).sum();
        self.tended = self.known;
        self.files.keep(|path| self.by_file.contains_key(path));
    }
}

fn keep(checks: &mut BTreeSet<CheckId>, engine: &Engine) -> bool {
    checks.retain(|check| engine.has_check(*check));
    !checks.is_empty()
}
