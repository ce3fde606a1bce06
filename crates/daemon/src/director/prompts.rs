//! Which checks look at which files and BFD sessions, so that they run when these change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use holdfast_config::Name;
use holdfast_engine::{CheckId, Engine};
use holdfast_watch::Folders;

/// How many checks are remembered at least before the first search for those that are gone.
const TENDED: usize = 256;

/// Files and sessions, and the checks of each.
#[derive(Debug, Default)]
pub(super) struct Prompts {
    pub(super) files: Folders,
    by_file: BTreeMap<PathBuf, BTreeSet<CheckId>>,
    by_session: BTreeMap<Name, BTreeSet<CheckId>>,
    /// How many checks there are in both maps, and how many there were after the last search for those that are gone.
    known: usize,
    tended: usize,
}

impl Prompts {
    /// Prompts `check` when something happens to the file at `path`. Call it at each run, since a directory that was missing may be there
    /// by now.
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

    /// Forgets checks that are gone, whenever there are twice as many as after the last time. A directory of which no file is left to watch
    /// is no longer watched.
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
