//! Follows a file that another process appends to.

use std::{
    fs::File,
    io::{Read, Write},
    path::PathBuf,
};

use anyhow::{Context, Result};

/// What is read in one go; a round that finds more takes several.
const CHUNK: usize = 64 * 1024;

/// The most that one round passes on, so that a command that never stops writing can't keep its watcher from the clock.
const ROUND: u64 = 8 * 1024 * 1024;

/// A position in a growing file.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    file: Option<File>,
}

impl Tail {
    /// Follows `path` from its beginning.
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// Passes on what was appended since the last call: at most [`ROUND`] bytes, or all of it when this is the last
    /// call.
    pub(super) fn pass_on(&mut self, to: &mut dyn Write, last: bool) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = File::open(&self.path)
                    .with_context(|| format!("cannot read {}", self.path.display()))?;
                self.file.insert(file)
            }
        };
        let mut chunk = vec![0; CHUNK];
        let mut passed = 0;
        loop {
            let n = file
                .read(&mut chunk)
                .with_context(|| format!("cannot read {}", self.path.display()))?;
            let Some(bytes) = chunk.get(..n).filter(|bytes| !bytes.is_empty()) else { break };
            to.write_all(bytes).context("cannot pass the guest's output on")?;
            passed += bytes.len() as u64;
            if passed >= ROUND && !last {
                break;
            }
        }
        if passed > 0 {
            to.flush().context("cannot pass the guest's output on")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    #[test]
    fn each_call_passes_on_what_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut writer = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let mut tail = Tail::new(path);
        let mut seen = Vec::new();
        tail.pass_on(&mut seen, false).unwrap();
        assert!(seen.is_empty());
        writer.write_all(b"one").unwrap();
        tail.pass_on(&mut seen, false).unwrap();
        assert_eq!(seen, b"one");
        writer.write_all(b"two").unwrap();
        tail.pass_on(&mut seen, true).unwrap();
        assert_eq!(seen, b"onetwo");
    }
}
