//! The beginning of a conversation, with TLS or without, and passwords.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use holdfast_config::{SecretFrom, Tls};

use crate::deadline::Deadline;
use crate::finding::{Finding, describe};
use crate::place::Place;
use crate::talk::{Broken, Talk};
use crate::tls::{self, Offer};
use crate::transcript;

/// A file with a password has at most so many bytes.
const PASSWORD_LIMIT: u64 = 1024;

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

/// The password in a file or credential: its first line. It is read at each run, so that a new one needs no restart.
///
/// # Errors
/// It can't be read: that is ours.
pub(crate) async fn password(from: &SecretFrom) -> Result<Vec<u8>, Broken> {
    let from = from.clone();
    let read = tokio::task::spawn_blocking(move || read_password(&from));
    let read = read.await.map_err(|_stopping| Broken::Ours("the daemon is stopping".to_owned()))?;
    let password = read.map_err(Broken::Ours)?;
    transcript::keep_secret(&password);
    Ok(password)
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
