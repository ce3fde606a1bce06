//! Whether the files that checks name hold what they should, asked beforehand. All of these block.

use std::path::Path;

use crate::opened::read_password;
use crate::tls::settings;

/// Whether the file at `path` has certificates of authorities.
///
/// # Errors
/// It has not, or it can't be read: a sentence that names it.
pub fn authorities(path: &Path) -> Result<(), String> {
    settings::examine_authorities(path)
}

/// Whether the files at `certificate` and `key` are a certificate and the private key that goes with it.
///
/// # Errors
/// They are not, or can't be read: a sentence that names them.
pub fn identity(certificate: &Path, key: &Path) -> Result<(), String> {
    settings::examine_identity(certificate, key)
}

/// Whether the first line of the file at `path` can be a password.
///
/// # Errors
/// It can't, or the file can't be read: a sentence that names it.
pub fn password(path: &Path) -> Result<(), String> {
    read_password(path).map(drop)
}
