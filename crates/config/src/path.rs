//! A path into the configuration: `services.web.real_servers.web1.weight`, `services.dns.listen[1]`.
//!
//! Rules speak of paths; [`crate::source::Source`] knows where in the text they are.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Segment {
    /// A mapping's key.
    Key(Box<str>),
    /// A list's item, counted from 0.
    Item(usize),
}

/// The keys and item numbers that lead from the document's root to a value; empty = the root.
///
/// Paths share what they begin with: one is made for every value that is read, and most are never looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Path(Option<Arc<Last>>);

/// The end of a path.
#[derive(Debug)]
struct Last {
    parent: Path,
    segment: Segment,
}

impl Path {
    /// The path of these keys.
    pub(crate) fn of(keys: &[&str]) -> Self {
        keys.iter().fold(Self::default(), |path, key| path.key(key))
    }

    /// This path and one key more.
    pub(crate) fn key(&self, key: &str) -> Self {
        self.then(Segment::Key(key.into()))
    }

    /// This path and one item more.
    pub(crate) fn item(&self, index: usize) -> Self {
        self.then(Segment::Item(index))
    }

    fn then(&self, segment: Segment) -> Self {
        Self(Some(Arc::new(Last { parent: self.clone(), segment })))
    }

    /// The path without its last step; none of the root.
    pub(crate) fn parent(&self) -> Option<Self> {
        self.0.as_ref().map(|last| last.parent.clone())
    }

    /// The first key; none of the root.
    pub(crate) fn first_key(&self) -> Option<&str> {
        self.segments().first().and_then(|segment| segment.key())
    }

    /// The last key, item numbers skipped.
    pub(crate) fn last_key(&self) -> Option<&str> {
        self.backwards().find_map(Segment::key)
    }

    fn backwards(&self) -> impl Iterator<Item = &Segment> {
        std::iter::successors(self.0.as_deref(), |last| last.parent.0.as_deref())
            .map(|last| &last.segment)
    }

    /// From the root on.
    fn segments(&self) -> Vec<&Segment> {
        let mut segments: Vec<_> = self.backwards().collect();
        segments.reverse();
        segments
    }
}

impl Segment {
    fn key(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(key),
            Self::Item(_) => None,
        }
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.backwards().eq(other.backwards())
    }
}

impl Eq for Path {}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Path {
    /// From the root on, without a list of the steps: a map of places compares paths by the million.
    fn cmp(&self, other: &Self) -> Ordering {
        let depth = |path: &Self| path.backwards().count();
        compare(self, depth(self), other, depth(other))
    }
}

/// Compares paths of so many steps. It recurses once a step, of which a document has few.
fn compare(one: &Path, steps: usize, other: &Path, others: usize) -> Ordering {
    let (Some(last), Some(other_last)) = (&one.0, &other.0) else { return steps.cmp(&others) };
    match steps.cmp(&others) {
        Ordering::Greater => {
            compare(&last.parent, steps - 1, other, others).then(Ordering::Greater)
        }
        Ordering::Less => compare(one, steps, &other_last.parent, others - 1).then(Ordering::Less),
        Ordering::Equal if Arc::ptr_eq(last, other_last) => Ordering::Equal,
        Ordering::Equal => compare(&last.parent, steps - 1, &other_last.parent, others - 1)
            .then_with(|| last.segment.cmp(&other_last.segment)),
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.segments().into_iter().enumerate() {
            match segment {
                Segment::Item(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => {
                    if position > 0 {
                        f.write_str(".")?;
                    }
                    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
                    if !key.is_empty() && key.chars().all(plain) {
                        f.write_str(key)?;
                    } else {
                        write!(f, "{key:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_in_the_order_of_their_steps_from_the_root() {
        let of = |keys: &[&str]| Path::of(keys);
        let a = of(&["a"]);
        let sorted = [
            Path::default(),
            a.clone(),
            a.key("a"),
            of(&["a", "a", "z"]),
            of(&["a", "b"]),
            of(&["a", "b", "a"]),
            a.item(0),
            a.item(1).key("a"),
            a.item(2),
            of(&["b"]),
            of(&["b", "a"]),
        ];
        for (place, one) in sorted.iter().enumerate() {
            for (other_place, other) in sorted.iter().enumerate() {
                assert_eq!(one.cmp(other), place.cmp(&other_place), "{one} {other}");
                assert_eq!(one.cmp(other), one.segments().cmp(&other.segments()));
            }
        }
    }

    #[test]
    fn a_key_with_a_dot_is_quoted_so_that_two_paths_never_read_alike() {
        let path = Path::of(&["services", "www.example.org", "listen"]).item(1);
        assert_eq!(path.to_string(), r#"services."www.example.org".listen[1]"#);
        assert_eq!(path.last_key(), Some("listen"));
    }
}
