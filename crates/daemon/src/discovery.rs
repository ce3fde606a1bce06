//! The tasks that read the files which name servers: one for each service with `discover`.
//!
//! A task reads and parses; what of it is believed is the director's to say. A file that is broken counts as it was when it was whole last;
//! one that never was makes the whole reading count for nothing, because nobody knows what it would take away.

use std::collections::BTreeMap;

use holdfast_config::{Config, Discovery, Name, Service, Target, parse_targets};
use holdfast_watch::{TargetFiles, TargetsWatcher};
use tokio::task::JoinHandle;

use crate::api::{Request, Requests};
use crate::director::Reading;

/// The tasks that run.
#[derive(Debug)]
pub(crate) struct Discoveries {
    requests: Requests,
    tasks: BTreeMap<Name, Task>,
}

#[derive(Debug)]
struct Task {
    of: Asked,
    task: JoinHandle<()>,
}

/// What a task is told of its service; with something else it begins anew.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    discovery: Discovery,
    port: Option<u16>,
}

impl Discoveries {
    /// Begins to read what `config` says; readings go by `requests`. Needs a tokio runtime.
    pub(crate) fn start(config: &Config, requests: Requests) -> Self {
        let mut discoveries = Self { requests, tasks: BTreeMap::new() };
        discoveries.reconfigure(config);
        discoveries
    }

    /// Goes on with another configuration: what differs begins anew.
    pub(crate) fn reconfigure(&mut self, config: &Config) {
        let asked = |service: &Service| {
            let discovery = service.discover.clone()?;
            Some(Asked { discovery, port: service.implied_port() })
        };
        let wanted: BTreeMap<&Name, Asked> = config
            .services
            .iter()
            .filter_map(|(name, service)| Some((name, asked(service)?)))
            .collect();
        self.tasks.retain(|name, task| {
            let stays = wanted.get(name) == Some(&task.of);
            if !stays {
                task.task.abort();
            }
            stays
        });
        for (name, of) in wanted {
            if !self.tasks.contains_key(name) {
                let work = follow(name.clone(), of.clone(), self.requests.clone());
                self.tasks.insert(name.clone(), Task { of, task: tokio::spawn(work) });
            }
        }
    }
}

impl Drop for Discoveries {
    fn drop(&mut self) {
        self.tasks.values().for_each(|task| task.task.abort());
    }
}

/// Reads the files of a service as they change, until the director has gone.
async fn follow(service: Name, asked: Asked, requests: Requests) {
    let Asked { discovery: Discovery { directory, debounce, .. }, port } = asked;
    let mut watcher = TargetsWatcher::new(&directory, debounce);
    let mut good = BTreeMap::new();
    loop {
        let reading = match watcher.next().await {
            Ok(files) => {
                let (targets, problems) = read(&files, port, &mut good);
                Reading { directory: directory.clone(), targets, problems }
            }
            Err(why) => {
                Reading { directory: directory.clone(), targets: None, problems: vec![why] }
            }
        };
        let request = Request::Discovered { service: service.clone(), reading };
        if requests.send(request).await.is_err() {
            return;
        }
    }
}

/// What files name together, the broken ones as they were when they were whole; nothing where one never was. `good` is what each named last.
fn read(
    files: &TargetFiles,
    port: Option<u16>,
    good: &mut BTreeMap<String, Vec<Target>>,
) -> (Option<Vec<Target>>, Vec<String>) {
    let mut problems = Vec::new();
    good.retain(|name, _| files.contains_key(name));
    for (name, text) in files {
        match text.as_ref().map(|text| parse_targets(name, text, port)) {
            Ok(Ok(targets)) => drop(good.insert(name.clone(), targets)),
            Ok(Err(found)) => problems.extend(found.iter().map(ToString::to_string)),
            Err(why) => problems.push(format!("{name}: {why}")),
        }
    }
    let all = files.keys().map(|name| good.get(name)).collect::<Option<Vec<_>>>();
    (all.map(|all| all.into_iter().flatten().cloned().collect()), problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[(&str, &str)]) -> TargetFiles {
        let file = |(name, text): &(&str, &str)| ((*name).to_owned(), Ok(text.as_bytes().to_vec()));
        texts.iter().map(file).collect()
    }

    fn addresses(read: &(Option<Vec<Target>>, Vec<String>)) -> Option<Vec<String>> {
        Some(read.0.as_ref()?.iter().map(|target| target.address.to_string()).collect())
    }

    const A: &str = "[{targets: ['10.0.0.1:80']}]";
    const B: &str = "[{targets: ['10.0.0.2:80']}]";

    #[test]
    fn a_broken_file_counts_as_it_was_and_the_others_as_they_are() {
        let mut good = BTreeMap::new();
        let first = read(&files(&[("a", A), ("b", B)]), None, &mut good);
        assert_eq!(addresses(&first).unwrap(), ["10.0.0.1:80", "10.0.0.2:80"]);
        let broken = read(&files(&[("a", "[{targets:"), ("b", "[]")]), None, &mut good);
        assert_eq!(addresses(&broken).unwrap(), ["10.0.0.1:80"]);
        assert!(broken.1.iter().any(|problem| problem.starts_with("a:1:")), "{broken:?}");
        // A file that is gone is no broken one.
        let gone = read(&files(&[("b", B)]), None, &mut good);
        assert_eq!(addresses(&gone).unwrap(), ["10.0.0.2:80"]);
    }

    #[test]
    fn with_a_file_that_was_never_whole_nothing_is_known() {
        let mut good = BTreeMap::new();
        let found = read(&files(&[("a", "[{targets:"), ("b", B)]), None, &mut good);
        assert_eq!(addresses(&found), None);
        let whole = read(&files(&[("a", A), ("b", B)]), None, &mut good);
        assert_eq!(addresses(&whole).unwrap().len(), 2);
    }
}
