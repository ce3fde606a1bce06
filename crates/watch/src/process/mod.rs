//! How many processes have a name (keepalived's `vrrp_track_process`).
//!
//! A process has the last part of its program's path and what is in `/proc/PID/comm` as its names (the latter has at most 15
//! bytes, and is the script's name where a program interprets one). Where the kernel tells of every process, counts follow at
//! once and nothing is polled but once in [`LOOK_AGAIN`], for safety. Where it refuses, /proc is read every [`SCAN`].

mod connector;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, sleep_until};

use crate::describe;
use connector::{Connector, Event, is_overrun};
use table::{Table, scan};

/// How often /proc is read where the kernel does not tell.
const SCAN: Duration = Duration::from_secs(1);
/// How often /proc is read where it does.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// After so many events in a row others have their turn, and the counts are told.
const TURN: usize = 256;

/// Counts the processes of some names.
#[derive(Debug)]
pub struct ProcessWatcher {
    table: Table,
    connector: Option<Connector>,
    source: Source,
    scan_at: Instant,
    told: Option<Vec<u32>>,
}

/// How a [`ProcessWatcher`] hears of processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The kernel tells (its process connector).
    Kernel,
    /// /proc is read every second.
    Scan {
        /// Why the kernel does not tell.
        why: String,
    },
}

/// Why processes can't be counted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// /proc can't be read.
    #[error("list the processes in /proc: {}: mount proc there", describe(.0))]
    Proc(io::Error),
    /// The kernel does not go on telling.
    #[error("hear of processes from the kernel: {}", describe(.0))]
    Connector(io::Error),
    /// The daemon is stopping.
    #[error("list the processes in /proc: the daemon is stopping")]
    Stopping,
}

impl ProcessWatcher {
    /// Begins to count the processes of each of `names`. Needs a tokio runtime.
    ///
    /// # Errors
    /// /proc can't be read.
    pub async fn open(names: BTreeSet<String>) -> Result<Self, ProcessError> {
        let opened = Connector::open().await;
        Self::with(names, opened).await
    }

    /// As [`Self::open`], and never asks the kernel to tell.
    ///
    /// # Errors
    /// /proc can't be read.
    pub async fn scanning(names: BTreeSet<String>) -> Result<Self, ProcessError> {
        Self::with(names, Err(io::Error::other("nobody asked it to"))).await
    }

    async fn with(
        names: BTreeSet<String>,
        opened: io::Result<Connector>,
    ) -> Result<Self, ProcessError> {
        let (connector, source) = match opened {
            Ok(connector) => (Some(connector), Source::Kernel),
            Err(error) => (None, Source::Scan { why: describe(&error) }),
        };
        let table = Table::new(names);
        let mut watcher = Self { table, connector, source, scan_at: Instant::now(), told: None };
        // Heard first and read second, so that no process falls in between.
        watcher.scan().await?;
        Ok(watcher)
    }

    /// How it hears of processes.
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// The counts that are not what they were when this was asked last; at first all, at once.
    ///
    /// # Errors
    /// /proc can't be read, or the kernel does not go on telling.
    pub async fn next(&mut self) -> Result<BTreeMap<String, u32>, ProcessError> {
        loop {
            let changed = self.changed();
            if !changed.is_empty() {
                return Ok(changed);
            }
            self.listen().await?;
        }
    }

    /// What is to be told, which from then on has been.
    fn changed(&mut self) -> BTreeMap<String, u32> {
        let counts = self.table.counts();
        let names = self.table.names();
        let told = self.told.replace(counts.clone());
        let was = |place: usize| told.as_ref().and_then(|told| told.get(place));
        let counts = counts.into_iter().enumerate().zip(names.iter());
        counts
            .filter(|((place, count), _)| was(*place) != Some(count))
            .map(|((_, count), name)| (name.clone(), count))
            .collect()
    }

    /// Waits until something has happened, and takes what has, up to [`TURN`].
    async fn listen(&mut self) -> Result<(), ProcessError> {
        let Some(connector) = &self.connector else {
            sleep_until(self.scan_at).await;
            return self.scan().await;
        };
        let mut heard = tokio::select! {
            heard = connector.next() => heard,
            () = sleep_until(self.scan_at) => return self.scan().await,
        };
        for _ in 0..TURN {
            match heard {
                Ok(event) => self.table.follow(event),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_overrun(&error) => return self.scan().await,
                Err(error) => return Err(ProcessError::Connector(error)),
            }
            heard = connector.try_next();
        }
        // The one that was heard last is not lost.
        if let Ok(event) = heard {
            self.table.follow(event);
        }
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn scan(&mut self) -> Result<(), ProcessError> {
        let names = self.table.names();
        let scan = tokio::task::spawn_blocking(move || scan(Path::new("/proc"), &names));
        let found = scan.await.map_err(|_no_thread| ProcessError::Stopping)?;
        self.table.replace(found.map_err(ProcessError::Proc)?);
        let pause = if self.connector.is_some() { LOOK_AGAIN } else { SCAN };
        self.scan_at = Instant::now() + pause;
        Ok(())
    }
}

impl Table {
    fn follow(&mut self, event: Event) {
        match event {
            Event::Forked { parent, child } => self.forked(parent, child),
            Event::Renamed(process) => self.renamed(process),
            Event::Ended(process) => self.ended(process),
            Event::Acknowledged(_) | Event::Other => {}
        }
    }
}
