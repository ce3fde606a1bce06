//! Whether the files that checks name hold what they should, asked beforehand. All of these block.

use std::path::Path;

use holdfast_config::SecretFrom;

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

/// The variable with the folder of the service manager's credentials, for the daemon alone (systemd.exec(5)).
pub const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Whether the first line of the file or credential can be a password.
///
/// # Errors
/// It can't, or it can't be read: a sentence that names it.
pub fn password(from: &SecretFrom) -> Result<(), String> {
    read_password(from).map(drop)
}
