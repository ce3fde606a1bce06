//! The table of nftables that marks packets for services.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use holdfast_control::chain;
use holdfast_net::NftError;
use holdfast_net::marks::{self, Marked, TABLE};

use crate::events::{Events, News};

/// The file in `daemon.state` that says that there is a table: the next daemon removes it where it wants none.
const FILE: &str = "marks";

/// The table as it was made, and what it should be.
#[derive(Debug)]
pub(super) struct Marking {
    file: PathBuf,
    made: Option<Made>,
    problem: Option<String>,
    repairs: u64,
    events: Events,
}

#[derive(Debug)]
struct Made {
    marked: BTreeSet<Marked>,
    /// What the kernel had of the table when it was made.
    listing: Option<String>,
}

impl Marking {
    /// Nothing is known of the table yet.
    pub(super) fn new(folder: &Path, events: Events) -> Self {
        Self { file: folder.join(FILE), made: None, problem: None, repairs: 0, events }
    }

    /// Whether an earlier daemon may have left a table.
    pub(super) fn has_left(folder: &Path) -> bool {
        folder.join(FILE).exists()
    }

    /// Why packets are not marked as they should be.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// How many ranges of packets are marked.
    pub(super) fn marked(&self) -> usize {
        self.made.as_ref().map_or(0, |made| made.marked.len())
    }

    /// How often the table was put back.
    pub(super) const fn repairs(&self) -> u64 {
        self.repairs
    }

    /// Makes the table mark `wanted` where it does not. What is refused is said once and tried again at the next look.
    pub(super) fn look(&mut self, wanted: &BTreeSet<Marked>) {
        let result = match &self.made {
            None if wanted.is_empty() && !self.file.exists() => Ok(()),
            Some(made) if made.marked == *wanted => self.repair(),
            None | Some(_) => self.replace(wanted),
        };
        let problem = result.err().map(|error| chain(&error));
        if let Some(problem) = problem.as_ref().filter(|_| problem != self.problem) {
            tracing::error!(problem, "packets are not marked for services as they should be");
        }
        self.problem = problem;
    }

    fn replace(&mut self, wanted: &BTreeSet<Marked>) -> Result<(), NftError> {
        // Before there is a table, so that a daemon that is killed leaves a word.
        if !wanted.is_empty()
            && let Err(error) = remember(&self.file)
        {
            tracing::warn!(%error, file = %self.file.display(), "that packets are marked can't be remembered");
        }
        let listing = match marks::replace(wanted) {
            // Without the program there is no table either.
            Err(NftError::Start { .. }) if wanted.is_empty() => None,
            replaced => replaced?,
        };
        if wanted.is_empty() {
            tracing::info!(table = TABLE, "packets are marked for services no longer");
            self.made = None;
            drop(fs::remove_file(&self.file));
            return Ok(());
        }
        tracing::info!(table = TABLE, ranges = wanted.len(), "packets are marked for services");
        self.made = Some(Made { marked: wanted.clone(), listing });
        Ok(())
    }

    /// Makes the table again when it is not what was made.
    fn repair(&mut self) -> Result<(), NftError> {
        let Some(made) = &mut self.made else { return Ok(()) };
        let found = marks::listing()?;
        if found == made.listing {
            return Ok(());
        }
        let what = if found.is_none() { "removed" } else { "changed" };
        tracing::warn!(
            table = TABLE,
            "others have {what} the table that marks packets for services: it is made again"
        );
        made.listing = marks::replace(&made.marked)?;
        self.repairs = self.repairs.saturating_add(1);
        self.events.tell(News {
            kind: "ipvs.drift".to_owned(),
            subject: "marks".to_owned(),
            text: format!("nftables' table {TABLE} was {what}: put right"),
            ..News::default()
        });
        Ok(())
    }
}

fn remember(file: &Path) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, format!("table inet {TABLE}\n"))
}
