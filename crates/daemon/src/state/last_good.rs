//! The last configuration that was good, with all its files as they were read: for a start with a broken one, and for `holdfast export`.

use std::path::Path;

use holdfast_config::Source;
use serde::{Deserialize, Serialize};

use super::file::{StateFile, Unusable};
use super::unix_now;

/// The version of the file's form.
const VERSION: u32 = 1;

/// A configuration that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LastGood {
    /// Its fingerprint.
    pub(crate) fingerprint: String,
    /// When it was taken, in seconds since 1970 (UTC).
    pub(crate) at: u64,
    /// Its files, the first the one that includes the others.
    files: Vec<Text>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    name: String,
    text: String,
}

impl LastGood {
    /// What `source` says.
    pub(crate) fn of(source: Source) -> Self {
        let fingerprint = source.fingerprint();
        let files = source.into_files().into_iter().map(|(name, text)| Text { name, text });
        Self { fingerprint, at: unix_now(), files: files.collect() }
    }

    /// Reads what is kept in `folder`; none where nothing is.
    ///
    /// # Errors
    /// It is torn or foreign, and was set aside.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, Unusable> {
        file(folder).read()
    }

    /// Keeps it in `folder`, unless the same is there already.
    pub(crate) fn keep(&self, folder: &Path) {
        let before = Self::read(folder).ok().flatten();
        if before.is_none_or(|before| before.files != self.files) {
            self.replace(folder);
        }
    }

    /// Keeps it in `folder`, in the place of what is there.
    pub(crate) fn replace(&self, folder: &Path) {
        if let Err(error) = file(folder).write(self) {
            let path = file(folder).path().display().to_string();
            tracing::warn!(path, %error, "the configuration can't be kept as the last good one: a start with a broken file would find an older one, or none");
        }
    }

    /// Its files with their texts, as they are checked.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let bytes = |one: &Text| (one.name.clone(), one.text.clone().into_bytes());
        self.files.iter().map(bytes).collect()
    }
}

fn file(folder: &Path) -> StateFile {
    StateFile::new(folder, "last-good", VERSION)
}

#[cfg(test)]
mod tests {
    use holdfast_config::{Environment, parse_files};

    use super::*;

    #[test]
    fn what_was_read_comes_back_file_by_file() {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            ("/etc/holdfast.yaml", "include: b.yaml\n# no end"),
            ("/etc/b.yaml", "services: {}\n"),
        ];
        let files = files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_owned()));
        let source = parse_files(files.to_vec(), &Environment::new("lb1")).source;
        LastGood::of(source.clone()).keep(folder.path());
        let kept = LastGood::read(folder.path()).unwrap().unwrap();
        let names: Vec<_> = kept.files.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["/etc/holdfast.yaml", "/etc/b.yaml"]);
        assert_eq!(kept.fingerprint, source.fingerprint());
        let again = parse_files(kept.files(), &Environment::new("lb1")).source;
        assert_eq!(again.fingerprint(), source.fingerprint());
    }
}
