//! The file check: what somebody has written into a file about a server. The words are those of an agent, and a number is the server's
//! weight.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_config::Missing;
use holdfast_health::{Asked, Code};
use nix::fcntl::OFlag;
use tokio::sync::Semaphore;

use crate::deadline::Deadline;
use crate::finding::{Finding, describe, excerpt, is_own_shortage};
use crate::transcript;
use crate::words;

/// A file may hold so many bytes; a longer one is none of ours.
const LIMIT: u64 = 1024;

/// So many files are read at once, those included that a dead file server keeps. A run that gets no place within its timeout is
/// inconclusive.
pub const READS_AT_ONCE: usize = 32;

static PLACES: Semaphore = Semaphore::const_new(READS_AT_ONCE);

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
        let read = deadline.within(async {
            // The semaphore is never closed. The place goes along: a thread that is stuck keeps it.
            let place = PLACES.acquire().await.ok();
            tokio::task::spawn_blocking(move || (place, read(&path)).1).await
        });
        let what = format!("file {}", self.path.display());
        match read.await {
            Some(Ok(content)) => self.judge(&what, content),
            Some(Err(_no_thread)) => Finding::ours(format!("{what}: the daemon is stopping")),
            None => Finding::ours(format!("{what}: not read within {timeout:?}")),
        }
    }

    fn judge(&self, what: &str, content: Content) -> Finding {
        let text = match content {
            Content::Text(text) => {
                transcript::received(&text);
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
            Content::Unreadable(error) if is_own_shortage(&error) => {
                return Finding::ours(format!("{what}: {}", describe(&error)));
            }
            Content::Unreadable(error) => {
                return Finding::ours(format!("{what}: it can't be read: {}", describe(&error)));
            }
        };
        // A writer may have truncated it just now: that is nothing that was said.
        if text.iter().all(u8::is_ascii_whitespace) {
            return Finding::ours(format!("{what}: it is empty"));
        }
        if text.len() as u64 > LIMIT {
            return Finding::ours(format!("{what}: it holds more than {LIMIT} bytes"));
        }
        let Some(said) = words::read(&text, |weight| Some(Asked::Weight(weight))) else {
            let sentence = format!("{what}: it holds {}, which says nothing", excerpt(&text));
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
