//! The beginning of a conversation, with TLS or without, and passwords.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use holdfast_config::{SecretFrom, Tls};
use tokio::sync::Semaphore;

use crate::deadline::Deadline;
use crate::finding::{Finding, describe};
use crate::place::Place;
use crate::talk::Talk;
use crate::tls::{self, Offer};
use crate::transcript;

/// A file with a password has at most so many bytes.
const PASSWORD_LIMIT: u64 = 1024;

/// So many of them are read at once, those included that a dead file server keeps. A run that gets no place within its timeout is
/// inconclusive.
const READS_AT_ONCE: usize = 32;

static PLACES: Semaphore = Semaphore::const_new(READS_AT_ONCE);

/// Connects, makes a handshake where TLS is asked for, and gives the conversation and what there is to say of the certificate.
///
/// # Errors
/// What the run found instead.
pub(crate) async fn opened(
    place: &Place<'_>,
    options: Option<&Tls>,
    deadline: Deadline<'_>,
) -> Result<(Talk, String), Finding> {
    let stream = place.connect(deadline).await?;
    match options {
        None => Ok((Talk::over(stream), String::new())),
        Some(options) => {
            let secured =
                tls::secure(stream, place, options, None, Offer::Nothing, deadline).await?;
            Ok((Talk::over(secured.stream), secured.note))
        }
    }
}

/// The password in a file or credential: its first line; none where there is no such thing. It is read at each run, so that a new one needs
/// no restart. `what` begins the sentence of one that can't be read.
///
/// # Errors
/// It can't be read, or not by the deadline: that is ours.
pub(crate) async fn password(
    from: Option<&SecretFrom>,
    what: &str,
    deadline: Deadline<'_>,
) -> Result<Option<Vec<u8>>, Finding> {
    let Some(from) = from else { return Ok(None) };
    let ours = |why: &str| Finding::ours(format!("{what}: {why}"));
    let asked = from.clone();
    let read = deadline.within(async {
        // The semaphore is never closed. The place goes along: a thread that is stuck keeps it.
        let place = PLACES.acquire().await.ok();
        tokio::task::spawn_blocking(move || (place, read_password(&asked)).1).await
    });
    match read.await {
        Some(Ok(Ok(password))) => {
            transcript::keep_secret(&password);
            Ok(Some(password))
        }
        Some(Ok(Err(why))) => Err(ours(&why)),
        Some(Err(_no_thread)) => Err(ours("the daemon is stopping")),
        None => {
            let late = format!("its password ({from}) was not read within {:?}", deadline.timeout);
            Err(ours(&late))
        }
    }
}

/// The same. Blocks.
///
/// # Errors
/// Why there is none: a sentence that names the file.
pub(crate) fn read_password(from: &SecretFrom) -> Result<Vec<u8>, String> {
    let path = &match from {
        SecretFrom::File(path) => path.clone(),
        SecretFrom::Credential(name) => {
            let folder = std::env::var_os(crate::files::CREDENTIALS).ok_or_else(|| {
                format!(
                    "{from} was not given to the daemon: `LoadCredential=` of the unit names it"
                )
            })?;
            PathBuf::from(folder).join(name)
        }
    };
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(PASSWORD_LIMIT + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(format!("read the password in {}: {}", path.display(), describe(&error))),
        Ok(_) if bytes.len() as u64 > PASSWORD_LIMIT => {
            Err(format!("{} has more than {PASSWORD_LIMIT} bytes: no password", path.display()))
        }
        Ok(_) => {
            let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() || line.contains(&0) {
                return Err(format!("{} has no password in its first line", path.display()));
            }
            Ok(line.to_vec())
        }
    }
}
