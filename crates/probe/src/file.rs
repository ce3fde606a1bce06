//! The file check: what somebody has written into a file about a server. The words are those of an agent, and a number is the server's
//! weight.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::Missing;
use holdfast_health::{Asked, Code};
use nix::fcntl::OFlag;

use crate::deadline::Deadline;
use crate::finding::{Finding, describe, excerpt, is_own_shortage};
use crate::readers::Readers;
use crate::transcript;
use crate::words;

/// A file may hold so many bytes; a longer one is none of ours.
const LIMIT: u64 = 1024;

/// So many files are read at once, those included that a dead file server keeps: each has one place, however often it is asked for. A run
/// whose file has not been read within its timeout is inconclusive.
pub const READS_AT_ONCE: usize = 32;

static READERS: Readers<PathBuf, Arc<Content>> = Readers::new(READS_AT_ONCE);

/// A file to look into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its absolute path.
    pub path: PathBuf,
    /// What it means that it is not there.
    pub missing: Missing,
}

enum Content {
    Missing,
    Text(Vec<u8>),
    Unreadable(io::Error),
    /// A directory, a FIFO, a device.
    NoFile,
}

impl File {
    pub(crate) async fn run(&self, timeout: Duration) -> Finding {
        let deadline = Deadline::after(timeout);
        let path = self.path.clone();
        let waits = READERS.is_reading(&path);
        let read = READERS.read(&self.path, move || Arc::new(read(&path)));
        let what = format!("file {}", self.path.display());
        match deadline.within(read).await {
            Some(Some(content)) => self.judge(&what, &content),
            Some(None) => Finding::ours(format!("{what}: the daemon is stopping")),
            None if waits => Finding::ours(format!(
                "{what}: an earlier run waits for it still, not read within {timeout:?}"
            )),
            None => Finding::ours(format!("{what}: not read within {timeout:?}")),
        }
    }

    fn judge(&self, what: &str, content: &Content) -> Finding {
        let text = match content {
            Content::Text(text) => {
                transcript::received(text);
                text
            }
            Content::Missing => {
                return match self.missing {
                    Missing::Up => Finding::pass(Code::L7OK, format!("{what}: it is not there")),
                    Missing::Down => Finding::fail(Code::L7STS, format!("{what}: it is not there")),
                };
            }
            Content::NoFile => {
                return Finding::ours(format!("{what}: it is not a regular file"));
            }
            Content::Unreadable(error) if is_own_shortage(error) => {
                return Finding::ours(format!("{what}: {}", describe(error)));
            }
            Content::Unreadable(error) => {
                return Finding::ours(format!("{what}: it can't be read: {}", describe(error)));
            }
        };
        // A writer may have truncated it just now: that is nothing that was said.
        if text.iter().all(u8::is_ascii_whitespace) {
            return Finding::ours(format!("{what}: it is empty"));
        }
        if text.len() as u64 > LIMIT {
            return Finding::ours(format!("{what}: it holds more than {LIMIT} bytes"));
        }
        let Some(said) = words::read(text, |weight| Some(Asked::Weight(weight))) else {
            let sentence = format!("{what}: it holds {}, which says nothing", excerpt(text));
            return Finding::ours(sentence);
        };
        let words = said.sentence();
        let sentence = format!("{what}: it says {}", excerpt(words.as_bytes()).trim_matches('"'));
        match said.down {
            Some(_) => Finding::fail(Code::L7STS, sentence),
            None => Finding::pass(Code::L7OK, sentence).advising(said.feedback),
        }
    }
}

/// Reads `path` without ever waiting for a writer: a FIFO is no file. Blocks.
fn read(path: &Path) -> Content {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Content::Missing,
        Err(error) => return Content::Unreadable(error),
    };
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Content::NoFile,
        Err(error) => return Content::Unreadable(error),
    }
    let mut bytes = Vec::new();
    match file.take(LIMIT + 1).read_to_end(&mut bytes) {
        Ok(_) => Content::Text(bytes),
        Err(error) => Content::Unreadable(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use holdfast_health::Verdict;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// However often a check is tried whose file does not come, it has one place: others find theirs.
    #[tokio::test]
    async fn a_file_that_does_not_come_has_one_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, "up\n").unwrap();
            File { path, missing: Missing::Down }
        };
        let (stuck, other) = (file("web1"), file("web2"));
        let (free, server) = sync_channel::<()>(0);
        let path = stuck.path.clone();
        let first = tokio::spawn(async move {
            READERS
                .read(&path.clone(), move || {
                    let _answers = server.recv();
                    Arc::new(read(&path))
                })
                .await
        });
        while !READERS.is_reading(&stuck.path) {
            tokio::task::yield_now().await;
        }
        for _ in 0..=READS_AT_ONCE {
            let finding = stuck.run(Duration::from_millis(5)).await;
            assert_eq!(finding.verdict, Verdict::Inconclusive);
            let said = finding.reason.sentence;
            assert!(
                said.ends_with("an earlier run waits for it still, not read within 5ms"),
                "{said}"
            );
        }
        assert_eq!(other.run(PATIENCE).await.verdict, Verdict::Pass);
        let late = tokio::spawn(async move { stuck.run(PATIENCE).await });
        tokio::task::yield_now().await;
        drop(free);
        assert_eq!(late.await.unwrap().verdict, Verdict::Pass, "what comes late counts");
        assert!(first.await.unwrap().is_some());
    }
}
