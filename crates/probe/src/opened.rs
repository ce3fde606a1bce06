//! The beginning of a conversation, with TLS or without, and passwords.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use holdfast_config::SecretFrom;

use crate::deadline::Deadline;
use crate::finding::{Finding, describe};
use crate::place::Place;
use crate::readers::Readers;
use crate::talk::Talk;
use crate::tls::{self, Means};
use crate::transcript;

/// A file with a password has at most so many bytes.
const PASSWORD_LIMIT: u64 = 1024;

/// So many of them are read at once, those included that a dead file server keeps. A run whose password has not come within its
/// timeout is inconclusive.
const READS_AT_ONCE: usize = 32;

static READERS: Readers<SecretFrom, Result<Vec<u8>, String>> = Readers::new(READS_AT_ONCE);

/// Connects, makes a handshake where TLS is asked for, and gives the conversation and what there is to say of the certificate.
///
/// # Errors
/// What the run found instead.
pub(crate) async fn opened(
    place: &Place<'_>,
    means: Option<&Means<'_>>,
    deadline: Deadline<'_>,
) -> Result<(Talk, String), Finding> {
    let stream = place.connect(deadline).await?;
    match means {
        None => Ok((Talk::over(stream), String::new())),
        Some(means) => {
            let secured = tls::secure(stream, place, means, None, deadline).await?;
            Ok((Talk::over(secured.stream), secured.note))
        }
    }
}

/// The password in a file or credential: its first line; none where there is no such thing. It is read at each run, so that a new one needs
/// no restart. `what` begins the sentence of one that can't be read. With it comes the deadline of what follows: the time that it takes is
/// none of the server's.
///
/// # Errors
/// It can't be read, or not by the deadline: that is ours.
pub(crate) async fn password<'d>(
    from: Option<&SecretFrom>,
    what: &str,
    deadline: Deadline<'d>,
) -> (Result<Option<Vec<u8>>, Finding>, Deadline<'d>) {
    let Some(from) = from else { return (Ok(None), deadline) };
    let asked = from.clone();
    let read = deadline.within(READERS.read(from, move || read_password(&asked))).await;
    let read = match read {
        Some(read) => read.unwrap_or_else(|| Err("the daemon is stopping".to_owned())),
        None => Err(format!("its password ({from}) was not read within {:?}", deadline.timeout)),
    };
    let password = match read {
        Ok(password) => {
            transcript::keep_secret(&password);
            Ok(Some(password))
        }
        Err(why) => Err(Finding::ours(format!("{what}: {why}"))),
    };
    (password, deadline.anew())
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
