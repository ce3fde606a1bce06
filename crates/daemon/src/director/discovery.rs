//! What files name, on its way to the engine: what of a reading is believed, and what is known of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use holdfast_config::{Name, Target};
use holdfast_control as control;
use holdfast_engine::{Disbelief, believe, resolve};
use holdfast_net::now;

use super::Director;
use crate::events::News;
use crate::state::unix_now;

/// So many problems of a service's files are told.
const PROBLEMS_MAX: usize = 20;

/// What the files of a service's directory say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The directory.
    pub(crate) directory: PathBuf,
    /// The servers that they name; none when the directory, or a file that was never read, can't be.
    pub(crate) targets: Option<Vec<Target>>,
    /// What is wrong with it.
    pub(crate) problems: Vec<String>,
}

/// What is known of a service's files.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The last reading.
    reading: Reading,
    /// When one was believed last.
    read_at: Option<u64>,
    /// Why the last one was not.
    disbelief: Option<String>,
}

impl Director {
    /// Takes in what the files of a service say.
    pub(super) fn take_reading(&mut self, service: Name, reading: Reading) {
        let asked = self.config.services.get(&service).and_then(|one| one.discover.as_ref());
        // One of a directory that is asked no more may be under way.
        if asked.is_none_or(|policy| policy.directory != reading.directory) {
            return;
        }
        let known = self.discoveries.entry(service.clone()).or_default();
        let before = std::mem::replace(&mut known.reading, reading);
        for problem in known.reading.problems.iter().filter(|one| !before.problems.contains(one)) {
            tracing::error!(%service, problem, "files that name servers can't be read: what was known of them stays");
        }
        self.discover(&service);
    }

    /// Goes on with what the files of a service said last, as far as it is believed.
    pub(super) fn discover(&mut self, name: &Name) {
        let Some(service) = self.config.services.get(name) else { return };
        let (Some(policy), Some(known)) = (&service.discover, self.discoveries.get_mut(name))
        else {
            return;
        };
        let Some(targets) = &known.reading.targets else { return };
        let old = self.engine.discovered(name).cloned().unwrap_or_default();
        let found = resolve(targets, service, &self.config)
            .and_then(|new| believe(&old, &new, policy).map(|()| new));
        match found {
            Ok(new) => {
                known.disbelief = None;
                known.read_at = Some(unix_now());
                if new != old {
                    let (servers, before) = (new.len(), old.len());
                    tracing::info!(service = %name, servers, before, "files name other servers");
                }
                self.engine.discover(now(), name, new);
                self.settle_runtime();
                self.keep_discovered();
            }
            Err(disbelief) => disbelieve(name, known, &disbelief, self.hooks.events()),
        }
    }

    /// After another configuration: services whose files are asked about no longer are forgotten, and the readings of the others are judged
    /// anew.
    pub(super) fn rediscover(&mut self) {
        let services = &self.config.services;
        self.discoveries.retain(|name, known| {
            let policy = services.get(name).and_then(|service| service.discover.as_ref());
            policy.is_some_and(|policy| policy.directory == known.reading.directory)
        });
        let names: Vec<Name> = self.discoveries.keys().cloned().collect();
        for name in names {
            self.discover(&name);
        }
        self.keep_discovered();
    }

    fn keep_discovered(&self) {
        let all = self.engine.pools().keys();
        let found =
            all.filter_map(|name| Some((name.clone(), self.engine.discovered(name)?.clone())));
        self.keeper.keep(found.collect());
    }

    /// What is known of the files of a service, for the status.
    pub(super) fn discovery(
        &self,
        service: &holdfast_config::Service,
    ) -> Option<control::Discovery> {
        let policy = service.discover.as_ref()?;
        let known = self.discoveries.get(&service.name);
        let problems = known.into_iter().flat_map(|known| {
            known.disbelief.iter().chain(&known.reading.problems).take(PROBLEMS_MAX).cloned()
        });
        Some(control::Discovery {
            directory: policy.directory.display().to_string(),
            servers: self.engine.discovered(&service.name).map_or(0, BTreeMap::len),
            read_at: known.and_then(|known| known.read_at),
            problems: problems.collect(),
        })
    }
}

fn disbelieve(
    service: &Name,
    known: &mut Known,
    disbelief: &Disbelief,
    events: &crate::events::Events,
) {
    let why = disbelief.to_string();
    if known.disbelief.as_ref() == Some(&why) {
        return;
    }
    tracing::error!(%service, why, "what files name is not believed: what was known stays");
    events.tell(News {
        kind: "discovery.refused".to_owned(),
        subject: service.to_string(),
        text: why.clone(),
        ..News::default()
    });
    known.disbelief = Some(why);
}
