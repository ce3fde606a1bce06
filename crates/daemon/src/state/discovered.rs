//! The servers that files named last, kept for the next daemon: it may start while a file is broken.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use holdfast_config::{Config, Name, Target};
use holdfast_engine::{Findings, resolve};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::file::StateFile;

/// The version of the file's form.
const VERSION: u32 = 1;

/// What files named, by service.
type All = BTreeMap<Name, Findings>;

/// The way to whoever writes.
#[derive(Debug)]
pub(crate) struct Keeper(watch::Sender<All>);

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    service: Name,
    server: Name,
    address: SocketAddr,
    weight: u32,
    #[serde(default)]
    drain: bool,
}

impl Keeper {
    /// Reads what an earlier daemon has kept in `folder`, as far as it fits into `config`, and begins to keep. Needs a tokio runtime.
    pub(crate) fn open(folder: &Path, config: &Config) -> (Self, All) {
        let file = StateFile::new(folder, "discovered", VERSION);
        let lines: Vec<Line> = match file.read() {
            Ok(lines) => lines.unwrap_or_default(),
            Err(error) => {
                tracing::error!(%error, "which servers were discovered last is not known");
                Vec::new()
            }
        };
        let all = found(lines, config);
        let (sender, receiver) = watch::channel(all.clone());
        tokio::spawn(write(file, receiver));
        (Self(sender), all)
    }

    /// Keeps what files name now, if it is something else.
    pub(crate) fn keep(&self, all: All) {
        self.0.send_if_modified(|before| {
            let other = *before != all;
            if other {
                *before = all;
            }
            other
        });
    }
}

fn found(lines: Vec<Line>, config: &Config) -> All {
    let mut targets: BTreeMap<Name, Vec<Target>> = BTreeMap::new();
    for Line { service, server, address, weight, drain } in lines {
        let target = Target { address, name: Some(server), weight: Some(weight), drain };
        targets.entry(service).or_default().push(target);
    }
    let resolved = targets.into_iter().filter_map(|(name, targets)| {
        let service = config.services.get(&name).filter(|service| service.discover.is_some())?;
        // What does not fit any more is for the next reading to say.
        let found = resolve(&targets, service, config).ok()?;
        Some((name, found))
    });
    resolved.collect()
}

/// Writes what is to be kept whenever it is something else; of what comes meanwhile the last.
async fn write(file: StateFile, mut receiver: watch::Receiver<All>) {
    while receiver.changed().await.is_ok() {
        let all = receiver.borrow_and_update().clone();
        let lines: Vec<Line> = all
            .iter()
            .flat_map(|(service, found)| {
                found.iter().map(|(address, found)| Line {
                    service: service.clone(),
                    server: found.server.name.clone(),
                    address: *address,
                    weight: found.server.weight,
                    drain: found.drain,
                })
            })
            .collect();
        let file = file.clone();
        let written = spawn_blocking(move || {
            file.write(&lines).map_err(|error| format!("write {}: {error}", file.path().display()))
        });
        if let Ok(Err(why)) = written.await {
            tracing::warn!(
                why,
                "the servers that were discovered are not known to the next daemon, should it start while their files are broken"
            );
        }
    }
}
