//! The servers that files named last, kept for the next daemon: it may start while a file is broken.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use holdfast_config::{Config, Name, Target};
use holdfast_engine::{Findings, resolve};
use serde::{Deserialize, Serialize};

use super::file::StateFile;
use super::kept::Kept;

/// The version of the file's form.
const VERSION: u32 = 1;

/// What files named, by service.
pub(crate) type All = BTreeMap<Name, Findings>;

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

/// Reads what an earlier daemon has kept in `folder`, as far as it fits into `config`, and begins to keep. Needs a tokio runtime.
pub(crate) fn open(folder: &Path, config: &Config) -> (Kept<All>, All) {
    let file = StateFile::new(folder, "discovered", VERSION);
    let lines: Vec<Line> = match file.read() {
        Ok(lines) => lines.unwrap_or_default(),
        Err(error) => {
            tracing::error!(%error, "which servers were discovered last is not known");
            Vec::new()
        }
    };
    let all = found(lines, config);
    let lost = "the servers that were discovered are not known to the next daemon, should it start while their files are broken";
    (Kept::begin(file, all.clone(), written, lost), all)
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

fn written(all: &All) -> Vec<Line> {
    let lines = all.iter().flat_map(|(service, found)| {
        found.iter().map(|(address, found)| Line {
            service: service.clone(),
            server: found.server.name.clone(),
            address: *address,
            weight: found.server.weight,
            drain: found.drain,
        })
    });
    lines.collect()
}
