//! This node's fingerprint: of the configuration that runs, made once for each, and of the run-time changes.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use holdfast_config::Config;
use holdfast_config::fingerprint::{self, Digests};
use holdfast_control::{Difference, Fingerprint};
use tokio::task::spawn_blocking;

/// So many names of a part that differ are told.
const NAMED_MAX: usize = 10;

/// A configuration, and what is made of it: once, when it is first asked for, since there may be ten thousand services.
#[derive(Debug)]
pub(crate) struct Prints {
    config: Arc<Config>,
    made: OnceLock<(Digests, Digests)>,
}

impl Prints {
    /// Those of `config`.
    pub(crate) fn of(config: &Arc<Config>) -> Arc<Self> {
        Arc::new(Self { config: Arc::clone(config), made: OnceLock::new() })
    }

    /// Those of `config`: these, where they are.
    pub(crate) fn renewed(self: &Arc<Self>, config: &Arc<Config>) -> Arc<Self> {
        if Arc::ptr_eq(&self.config, config) { Arc::clone(self) } else { Self::of(config) }
    }
}

/// What the director has that counts.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) prints: Arc<Prints>,
    pub(crate) generation: u64,
    pub(crate) changes: Arc<Digests>,
}

impl Counted {
    /// The fingerprint, with what each part is made of where `names` says so. None when the daemon is stopping.
    pub(crate) async fn fingerprint(self, names: bool) -> Option<Fingerprint> {
        spawn_blocking(move || self.make(names)).await.ok()
    }

    fn make(&self, names: bool) -> Fingerprint {
        let Prints { config, made } = &*self.prints;
        let made = made.get_or_init(|| (fingerprint::services(config), fingerprint::vrrp(config)));
        let (services, vrrp) = made;
        let parts = [("services", services), ("vrrp", vrrp), ("runtime_changes", &*self.changes)];
        let whole = |(name, digests): &(&str, &Digests)| {
            ((*name).to_owned(), fingerprint::together(digests).to_string())
        };
        let objects = |(name, digests): &(&str, &Digests)| {
            let each = digests.iter().map(|(name, digest)| (name.clone(), digest.to_string()));
            ((*name).to_owned(), each.collect())
        };
        Fingerprint {
            node: config.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            generation: self.generation,
            parts: parts.iter().map(whole).collect(),
            objects: if names { parts.iter().map(objects).collect() } else { BTreeMap::new() },
        }
    }
}

/// In which parts two nodes differ, and, where both have said what those are made of, in what of them.
pub(super) fn differences(own: &Fingerprint, other: &Fingerprint) -> Vec<Difference> {
    let parts = own.parts.iter().filter(|(part, digest)| other.parts.get(*part) != Some(digest));
    let differ = parts.map(|(part, _)| {
        let (mine, theirs) = (own.objects.get(part), other.objects.get(part));
        let digest = |objects: Option<&BTreeMap<String, String>>, name: &String| {
            objects.and_then(|objects| objects.get(name)).cloned()
        };
        let names: std::collections::BTreeSet<&String> =
            mine.into_iter().chain(theirs).flat_map(BTreeMap::keys).collect();
        let mut names: Vec<String> = names
            .into_iter()
            .filter(|name| digest(mine, name) != digest(theirs, name))
            .cloned()
            .collect();
        let count = names.len();
        names.truncate(NAMED_MAX);
        Difference { part: part.clone(), names, count }
    });
    differ.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(services: &[(&str, &str)], changes: &[(&str, &str)]) -> Fingerprint {
        let of = |objects: &[(&str, &str)]| -> BTreeMap<String, String> {
            objects.iter().map(|(name, digest)| ((*name).into(), (*digest).into())).collect()
        };
        let objects: BTreeMap<_, _> =
            [("services".to_owned(), of(services)), ("runtime_changes".to_owned(), of(changes))]
                .into();
        let parts = objects.iter().map(|(part, of)| (part.clone(), format!("{of:?}")));
        Fingerprint { parts: parts.collect(), objects, ..Fingerprint::default() }
    }

    #[test]
    fn what_one_node_has_alone_or_otherwise_is_named_part_by_part() {
        let one = print(&[("web", "1"), ("dns", "2"), ("ntp", "3")], &[]);
        assert_eq!(differences(&one, &one), []);
        let two = print(&[("web", "1"), ("dns", "9"), ("ldap", "4")], &[("web/web1", "5")]);
        let told = |one, two| -> Vec<(String, Vec<String>, usize)> {
            let found = differences(one, two).into_iter();
            found.map(|one| (one.part, one.names, one.count)).collect()
        };
        let names = |names: &[&str]| -> Vec<String> { names.iter().map(|&n| n.into()).collect() };
        let expected = vec![
            ("runtime_changes".to_owned(), names(&["web/web1"]), 1),
            ("services".to_owned(), names(&["dns", "ldap", "ntp"]), 3),
        ];
        assert_eq!(told(&one, &two), expected);
        assert_eq!(told(&two, &one), expected, "the other way round");
    }

    #[test]
    fn of_many_the_first_are_named_and_all_are_counted() {
        let many: Vec<(String, String)> =
            (0..1000).map(|n| (format!("s{n:04}"), "1".to_owned())).collect();
        let many: Vec<(&str, &str)> =
            many.iter().map(|(name, digest)| (name.as_str(), digest.as_str())).collect();
        let found = differences(&print(&many, &[]), &print(&[], &[]));
        assert_eq!((found[0].names.len(), found[0].count), (NAMED_MAX, 1000));
        assert_eq!(found[0].names[0], "s0000");
    }
}
