//! How long the kernel keeps connections without traffic: one set of numbers for the whole network namespace.

use std::fs;
use std::path::{Path, PathBuf};

use holdfast_net::Origin;
use ipvs_ctl::client::{Client, ClientError};
use ipvs_ctl::model::Timeouts;
use serde::{Deserialize, Serialize};

use super::super::kernel::words;
use crate::events::{Events, News};

/// The file in `daemon.state` that remembers what the timeouts were.
const FILE: &str = "timeouts.json";
/// More than it ever has; what is longer is none of ours.
const BYTES_MAX: u64 = 4096;

/// What the timeouts were before the daemon set them, of one boot and network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    boot: String,
    namespace: u64,
    before: Timeouts,
}

/// The timeouts that are wanted, and what they were.
#[derive(Debug)]
pub(super) struct IdleTimeouts {
    file: PathBuf,
    client: Option<Client>,
    before: Option<Timeouts>,
    /// What was set last, by this daemon or an earlier one; 0 for what was not.
    set: Timeouts,
    /// What this daemon has last seen to that it is so.
    kept: Option<Timeouts>,
    present: Option<Timeouts>,
    problem: Option<String>,
    repairs: u64,
    events: Events,
}

impl IdleTimeouts {
    /// Nothing is known of them yet.
    pub(super) fn new(folder: &Path, events: Events) -> Self {
        Self {
            file: folder.join(FILE),
            client: None,
            before: None,
            set: Timeouts::default(),
            kept: None,
            present: None,
            problem: None,
            repairs: 0,
            events,
        }
    }

    /// Whether an earlier daemon has set some.
    pub(super) fn has_left(folder: &Path) -> bool {
        folder.join(FILE).exists()
    }

    /// Why they are not as they should be.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// What they were when they were last read.
    pub(super) const fn present(&self) -> Option<Timeouts> {
        self.present
    }

    /// How often they were put back.
    pub(super) const fn repairs(&self) -> u64 {
        self.repairs
    }

    /// Sets those of `wanted` that are not 0 if the kernel has other values. If all are 0 the values before are restored. A refusal is
    /// logged once and tried again at the next look.
    pub(super) fn look(&mut self, wanted: &Timeouts) {
        let result = if wanted.is_empty() { self.give_back() } else { self.keep(wanted) };
        let problem = result.err();
        if let Some(problem) = problem.as_ref().filter(|_| problem != self.problem) {
            tracing::error!(problem, "the timeouts of connections are not as they should be");
        }
        self.problem = problem;
    }

    fn keep(&mut self, wanted: &Timeouts) -> Result<(), String> {
        let present = self.read()?;
        let before = match self.before {
            Some(before) => before,
            None => {
                // It is not known which of them the last daemon had set, so all are taken to be.
                self.set = self.recorded().unwrap_or_default();
                self.remember(present)
            }
        };
        self.before = Some(before);
        // Those that are no longer wanted become what they were before.
        let target = wanted.over(&given_up(&self.set, wanted, &before).over(&present));
        let again = self.kept == Some(*wanted);
        if target != present {
            self.client()?.set_timeouts(&target).map_err(|error| self.failed(&error))?;
            let kept = self.read()?;
            if kept != target {
                return Err(format!("the kernel was asked for {target} and has {kept}"));
            }
            if again {
                self.repairs = self.repairs.saturating_add(1);
                self.events.tell(News {
                    kind: "ipvs.drift".to_owned(),
                    subject: "timeouts".to_owned(),
                    text: format!("{present}, should be {target}: put right"),
                    ..News::default()
                });
                tracing::warn!(found = %present, wanted = %target, "others have changed the timeouts of connections: they are set again");
            } else {
                tracing::info!(found = %present, now = %target, "the timeouts of connections were set");
            }
        }
        (self.set, self.kept) = (*wanted, Some(*wanted));
        Ok(())
    }

    /// Makes them what they were before the first daemon set them.
    fn give_back(&mut self) -> Result<(), String> {
        let before = self.before.or_else(|| self.recorded());
        if let Some(before) = before {
            let present = self.read()?;
            if present != before {
                self.client()?.set_timeouts(&before).map_err(|error| self.failed(&error))?;
                tracing::info!(found = %present, now = %before, "the timeouts of connections are what they were");
            }
        }
        self.forget();
        Ok(())
    }

    fn forget(&mut self) {
        drop(fs::remove_file(&self.file));
        (self.before, self.present, self.kept) = (None, None, None);
        self.set = Timeouts::default();
        self.client = None;
    }

    fn read(&mut self) -> Result<Timeouts, String> {
        let present = self.client()?.timeouts().map_err(|error| self.failed(&error))?;
        self.present = Some(present);
        Ok(present)
    }

    fn client(&mut self) -> Result<&mut Client, String> {
        match &mut self.client {
            Some(client) => Ok(client),
            empty @ None => Ok(empty.insert(Client::open().map_err(|error| words(&error))?)),
        }
    }

    /// The client, opened again after a failure, because the family's number changes when the module is loaded again.
    fn failed(&mut self, error: &ClientError) -> String {
        self.client = None;
        words(error)
    }

    /// The values before the first daemon of this boot set any: the recorded ones, or else `present`, which is recorded now.
    fn remember(&self, present: Timeouts) -> Timeouts {
        if let Some(before) = self.recorded() {
            return before;
        }
        let written = Origin::here().and_then(|Origin { boot, namespace }| {
            let record = Record { boot, namespace, before: present };
            if let Some(folder) = self.file.parent() {
                fs::create_dir_all(folder)?;
            }
            let fresh = self.file.with_extension("new");
            fs::write(&fresh, serde_json::to_vec(&record)?)?;
            fs::rename(&fresh, &self.file)
        });
        if let Err(error) = written {
            tracing::warn!(%error, file = %self.file.display(), "what the timeouts were can't be remembered: a daemon that is killed does not give them back");
        }
        present
    }

    fn recorded(&self) -> Option<Timeouts> {
        if fs::metadata(&self.file).ok()?.len() > BYTES_MAX {
            return None;
        }
        let record: Record = serde_json::from_slice(&fs::read(&self.file).ok()?).ok()?;
        let Origin { boot, namespace } = Origin::here().ok()?;
        (record.boot == boot && record.namespace == namespace).then_some(record.before)
    }
}

/// The values `before` of those that were `set` and are no longer `wanted`; 0 for all others.
const fn given_up(set: &Timeouts, wanted: &Timeouts, before: &Timeouts) -> Timeouts {
    const fn one(set: u32, wanted: u32, before: u32) -> u32 {
        if set != 0 && wanted == 0 { before } else { 0 }
    }
    Timeouts {
        tcp_s: one(set.tcp_s, wanted.tcp_s, before.tcp_s),
        tcp_fin_s: one(set.tcp_fin_s, wanted.tcp_fin_s, before.tcp_fin_s),
        udp_s: one(set.udp_s, wanted.udp_s, before.udp_s),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeouts(tcp_s: u32, tcp_fin_s: u32, udp_s: u32) -> Timeouts {
        Timeouts { tcp_s, tcp_fin_s, udp_s }
    }

    #[test]
    fn what_is_wanted_no_longer_becomes_what_it_was() {
        let (set, before) = (timeouts(10, 20, 0), timeouts(900, 120, 300));
        assert_eq!(given_up(&set, &timeouts(10, 0, 0), &before), timeouts(0, 120, 0));
        assert_eq!(given_up(&set, &set, &before), timeouts(0, 0, 0));
        assert_eq!(given_up(&timeouts(0, 0, 0), &set, &before), timeouts(0, 0, 0));
    }

    #[test]
    fn the_first_record_of_a_boot_stands_and_another_boots_is_nobodys() {
        let folder = tempfile::tempdir().expect("a folder");
        let idle = IdleTimeouts::new(folder.path(), Events::new());
        let (first, second) = (timeouts(900, 120, 300), timeouts(1, 2, 3));
        assert_eq!(idle.remember(first), first);
        assert_eq!(
            idle.remember(second),
            first,
            "a daemon that starts finds what the last one set"
        );
        let mut record: Record =
            serde_json::from_slice(&fs::read(&idle.file).expect("a record")).expect("JSON");
        record.boot = "another".to_owned();
        fs::write(&idle.file, serde_json::to_vec(&record).expect("JSON")).expect("written");
        assert_eq!(idle.recorded(), None);
        fs::write(&idle.file, "no JSON").expect("written");
        assert_eq!(idle.remember(second), second);
    }
}
