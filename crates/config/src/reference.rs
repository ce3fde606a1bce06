//! Every key of the configuration as data. The reader takes the keys that it knows from here, `holdfast explain KEY` and
//! docs/configuration.md are made from it: what is not in this table is not a key.

mod checks;
mod daemon;
mod groups;
mod instances;
mod ipvs;
mod policy;
mod services;
mod synonyms;
mod trackers;
mod vrrp;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::code::Code;
use crate::suggest;
use synonyms::SYNONYMS;

/// A key and what is to be known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Key {
    /// Where it stands; a word in capitals stands for any name: `services.NAME.listen`.
    pub path: &'static str,
    /// The form of its value.
    pub kind: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// The values that are taken.
    pub range: &'static str,
    /// What it does.
    pub text: &'static str,
    /// The specification, kernel interface or keepalived option behind it.
    pub source: &'static str,
}

macro_rules! section {
    ($($path:literal $kind:literal, default $default:literal, range $range:literal, $text:literal, source $source:literal;)+) => {
        /// The section's keys, a parent before its children.
        pub(super) const KEYS: &[Key] = &[$(Key {
            path: $path, kind: $kind, default: $default, range: $range, text: $text, source: $source,
        }),+];
    };
}
use section;

/// The sections of the table in the order of the documentation.
const SECTIONS: [&[Key]; 8] = [
    daemon::KEYS,
    vrrp::KEYS,
    instances::KEYS,
    trackers::KEYS,
    groups::KEYS,
    services::KEYS,
    policy::KEYS,
    ipvs::KEYS,
];

/// Every key, a parent before its children.
pub fn keys() -> impl Iterator<Item = &'static Key> + Clone {
    SECTIONS.iter().chain(checks::SECTIONS).copied().flatten()
}

/// The last words of all keys by the mapping that has them: every mapping of a file asks for its own.
static CHILDREN: LazyLock<BTreeMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
    let mut children: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for key in keys() {
        let (parent, last) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        children.entry(parent).or_default().push(last);
    }
    children
});

/// The keys that a mapping at `pattern` has: `priority` and others at `vrrp.instances.NAME`; of the root for an empty one.
pub(crate) fn children(pattern: &str) -> impl Iterator<Item = &'static str> + Clone {
    // A node overrides any key of the instance but the overrides themselves.
    let (pattern, left_out) = match pattern.strip_suffix(".per_node.NODE") {
        Some(instance) => (instance, "per_node"),
        None => (pattern, ""),
    };
    let children = CHILDREN.get(pattern).map(Vec::as_slice).unwrap_or_default();
    children.iter().copied().filter(move |last| *last != left_out)
}

/// The key of `pattern` that a user who wrote `word` may mean.
pub(crate) fn meant(pattern: &str, word: &str) -> Option<&'static str> {
    let synonym = SYNONYMS.iter().find(|(foreign, _)| *foreign == word).map(|(_, ours)| *ours);
    synonym
        .and_then(|ours| children(pattern).find(|child| *child == ours))
        .or_else(|| suggest::nearest(word, children(pattern)))
}

/// The mapping that has a key `word`, when there is exactly one.
pub(crate) fn parent_of(word: &str) -> Option<&'static str> {
    let mut parents = keys().filter_map(|key| {
        key.path.rsplit_once('.').filter(|(_, last)| *last == word).map(|(parent, _)| parent)
    });
    parents.next().filter(|_| parents.next().is_none())
}

/// There is no key and no code of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no key and no code `{topic}`{}", self.hint())]
pub struct UnknownTopic {
    topic: String,
    nearest: Option<&'static str>,
}

impl UnknownTopic {
    fn hint(&self) -> String {
        self.nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
    }
}

/// The reference of a key or a code: what `holdfast explain TOPIC` prints. A key is named by its path, with real names
/// or with NAME in it (`services.web.listen`), or by the end of its path (`listen`); all that match are explained.
///
/// # Errors
/// Neither a key nor a code has this name; the error suggests the nearest one.
pub fn explain(topic: &str) -> Result<String, UnknownTopic> {
    if let Some(code) = Code::find(topic) {
        return Ok(code.explain());
    }
    let found: Vec<_> = keys().filter(|key| key.matches(topic)).map(Key::explain).collect();
    if !found.is_empty() {
        return Ok(found.join("\n"));
    }
    let last_words = keys().filter_map(|key| key.path.rsplit('.').next());
    let codes = Code::ALL.iter().map(|code| code.as_str());
    let last = topic.rsplit('.').next().unwrap_or(topic);
    Err(UnknownTopic {
        topic: topic.to_owned(),
        nearest: suggest::nearest(last, last_words.chain(codes)),
    })
}

impl Key {
    /// Whether `topic` is this key's path, with any name in the place of a word in capitals, or the end of it.
    fn matches(&self, topic: &str) -> bool {
        let pattern: Vec<_> = self.path.split('.').collect();
        let words: Vec<_> = topic.split('.').collect();
        let Some(skipped) = pattern.len().checked_sub(words.len()) else { return false };
        let name = |word: &str| word.chars().all(|c| c.is_ascii_uppercase());
        let agree = |(part, word): (&&str, &&str)| {
            part == word || name(part) && (words.len() > 1 && !word.is_empty())
        };
        let tail = pattern.iter().skip(skipped);
        let ends_alike = pattern
            .last()
            .zip(words.last())
            .is_some_and(|(part, word)| part == word || skipped == 0 && name(part));
        ends_alike && tail.zip(&words).all(agree)
    }

    /// The key for a reader at a terminal.
    pub fn explain(&self) -> String {
        let mut text = format!("{} ({})\n  {}\n", self.path, self.kind, self.text);
        for (title, value) in
            [("default", self.default), ("values", self.range), ("source", self.source)]
        {
            if !value.is_empty() {
                text.push_str(&format!("  {title}: {value}\n"));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_but_those_at_the_top_has_a_parent_in_the_table() {
        for key in keys() {
            if let Some((parent, _)) = key.path.rsplit_once('.') {
                assert!(keys().any(|key| key.path == parent), "{parent} of {}", key.path);
            }
        }
    }

    #[test]
    fn explain_finds_keys_by_real_path_by_pattern_and_by_last_word() {
        for topic in ["vrrp.instances.edge.vrid", "vrrp.instances.NAME.vrid", "vrid"] {
            let text = explain(topic).unwrap();
            assert!(text.starts_with("vrrp.instances.NAME.vrid (integer)"), "{topic}: {text}");
            assert_eq!(text.lines().filter(|line| line.ends_with("(integer)")).count(), 1);
        }
        assert!(explain("port").unwrap().matches("\n\n").count() >= 2, "every key that ends in it");
        assert!(explain("hf0201").unwrap().starts_with("HF0201 (error)"));
        let error = explain("priorty").unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no key and no code `priorty`; did you mean `priority`?"
        );
    }
}
