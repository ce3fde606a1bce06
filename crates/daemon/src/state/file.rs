//! A file of the state directory: versioned, checksummed, and replaced in one step, so that a crash leaves the one or the other.
//!
//! ```text
//! holdfast KIND VERSION CHECKSUM LENGTH\n      the checksum is FNV-1a of 64 bits over what follows, which has LENGTH bytes
//! {…}                                          JSON
//! ```
//! What is torn, foreign or of a newer version is set aside under another name and counts as nothing: it is never read in parts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// No file of ours is longer.
const BYTES_MAX: u64 = 64 << 20;

/// A file of the state directory.
#[derive(Clone, Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    kind: &'static str,
    version: u32,
}

/// Why a file counts as nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Unusable {
    /// It can't be read. It stays where it is.
    #[error("read {}: {source}; it stays as it is until something is to be written", .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// It is not what was written.
    #[error("{} {why}: it counts as nothing, and is now {}", .path.display(), .aside.display())]
    SetAside { path: PathBuf, why: String, aside: PathBuf },
}

impl StateFile {
    /// The file of a kind in `folder`, in this version of it.
    pub(crate) fn new(folder: &Path, kind: &'static str, version: u32) -> Self {
        Self { path: folder.join(format!("{kind}.state")), kind, version }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What was written last; none where nothing was.
    ///
    /// # Errors
    /// There is something that was not written so. It is set aside.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, Unusable> {
        let bytes = match read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Unusable::Unreadable { path: self.path.clone(), source }),
        };
        match self.decode(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(why) => {
                let path = self.path.clone();
                let aside = self.path.with_extension("set-aside");
                // Of several that were set aside the last is kept.
                match fs::rename(&path, &aside) {
                    Ok(()) => Err(Unusable::SetAside { path, why, aside }),
                    Err(source) => Err(Unusable::Unreadable { path, source }),
                }
            }
        }
    }

    /// Writes `value` in the place of what was there.
    ///
    /// # Errors
    /// The disk is full or can't be written. What was there still is.
    pub(crate) fn write<T: Serialize>(&self, value: &T) -> io::Result<()> {
        let body = serde_json::to_vec(value)?;
        let (kind, version, sum) = (self.kind, self.version, checksum(&body));
        let head = format!("holdfast {kind} {version} {sum:016x} {}\n", body.len());
        let folder = self.path.parent().unwrap_or_else(|| Path::new("/"));
        fs::DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
        let fresh = self.path.with_extension("new");
        match fs::remove_file(&fresh) {
            // One that a crash has left.
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        let written = file
            .write_all(head.as_bytes())
            .and_then(|()| file.write_all(&body))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&fresh, &self.path));
        if written.is_err() {
            // Half a file takes room on a disk that has none.
            drop(fs::remove_file(&fresh));
        }
        written?;
        // The new name has to be on the disk too.
        File::open(folder)?.sync_all()
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, String> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (head, body) = end.and_then(|end| bytes.split_at_checked(end)).unwrap_or((bytes, &[]));
        let body = body.get(1..).unwrap_or_default();
        let head = std::str::from_utf8(head).unwrap_or_default();
        let words: Vec<&str> = head.split(' ').collect();
        let ["holdfast", kind, version, sum, length] = words.as_slice() else {
            return Err("is no file of Holdfast's".to_owned());
        };
        if *kind != self.kind {
            return Err(format!("is another file of Holdfast's, `{kind}`"));
        }
        if version.parse() != Ok(self.version) {
            let own = self.version;
            return Err(format!("has version {version}, and this daemon knows version {own}"));
        }
        if length.parse() != Ok(body.len()) {
            let there = body.len();
            return Err(format!("is torn: {there} bytes of {length}"));
        }
        if u64::from_str_radix(sum, 16) != Ok(checksum(body)) {
            return Err("is damaged: its checksum is wrong".to_owned());
        }
        serde_json::from_slice(body).map_err(|error| format!("is not understood: {error}"))
    }
}

/// FNV-1a of 64 bits: proof against accidents, not against malice. Who can write here is root.
fn checksum(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let known = file.metadata()?;
    if !known.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file"));
    }
    // With room for the end to be seen.
    let length = usize::try_from(known.len().min(BYTES_MAX)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(length.saturating_add(1));
    if file.take(BYTES_MAX + 1).read_to_end(&mut bytes)? as u64 > BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is too long"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(folder: &Path) -> StateFile {
        StateFile::new(folder, "test", 2)
    }

    #[test]
    fn what_was_written_is_read_and_is_for_the_daemon_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("a/state");
        let file = file(&state);
        assert_eq!(file.read::<Vec<String>>().unwrap(), None);
        for value in [vec!["a".to_owned(), "b\n".to_owned()], vec![]] {
            file.write(&value).unwrap();
            assert_eq!(file.read::<Vec<String>>().unwrap(), Some(value));
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(file.path()), 0o600);
        assert_eq!(mode(&state) & 0o027, 0);
    }

    /// Whatever became of the file: it is as it was, or it is nothing and lies beside.
    #[test]
    fn a_file_that_was_cut_or_changed_anywhere_is_set_aside_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        let value = vec!["web1".to_owned(), "web2".to_owned()];
        file.write(&value).unwrap();
        let good = fs::read(file.path()).unwrap();
        let aside = folder.path().join("test.set-aside");
        for at in 0..good.len() {
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            for bad in [good[..at].to_vec(), flipped, [&good[..], b"x"].concat()] {
                fs::write(file.path(), &bad).unwrap();
                let refused = file.read::<Vec<String>>().unwrap_err();
                assert!(matches!(refused, Unusable::SetAside { .. }), "{at}: {refused}");
                assert!(!file.path().exists());
                assert_eq!(fs::read(&aside).unwrap(), bad);
            }
        }
        assert_eq!(file.read::<Vec<String>>().unwrap(), None);
        file.write(&value).unwrap();
        assert_eq!(file.read::<Vec<String>>().unwrap(), Some(value));
    }

    #[test]
    fn other_versions_other_kinds_other_forms_and_links_are_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        let newer = StateFile { version: 3, ..file.clone() };
        newer.write(&1).unwrap();
        let why = file.read::<u32>().unwrap_err().to_string();
        assert!(why.contains("has version 3, and this daemon knows version 2"), "{why}");
        StateFile { kind: "other", ..file.clone() }.write(&1).unwrap();
        assert!(file.read::<u32>().unwrap_err().to_string().contains("`other`"));
        file.write(&"text").unwrap();
        assert!(file.read::<u32>().unwrap_err().to_string().contains("is not understood"));
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "x").unwrap();
        std::os::unix::fs::symlink(&elsewhere, file.path()).unwrap();
        assert!(matches!(file.read::<u32>().unwrap_err(), Unusable::Unreadable { .. }));
        // What is written replaces the link, and nothing goes where it led.
        file.write(&1).unwrap();
        assert_eq!(fs::read(&elsewhere).unwrap(), b"x");
    }

    #[test]
    fn what_a_crash_has_left_is_no_obstacle_and_a_folder_that_is_a_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        fs::write(folder.path().join("test.new"), "half").unwrap();
        file.write(&1).unwrap();
        let blocked = StateFile::new(&folder.path().join("test.state"), "test", 2);
        blocked.write(&1).unwrap_err();
    }
}
