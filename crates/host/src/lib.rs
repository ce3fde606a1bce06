//! A configuration's file read and checked on this host: the command line and the daemon do it alike.
//!
//! What is wrong with the text is found by `holdfast-config`, which reads no file and asks no kernel; this crate reads the file
//! and answers the questions that only the host can answer.

mod facts;
mod files;
mod interfaces;
pub mod pair;
mod secret;
mod trial;

use std::io;
use std::path::{Path, PathBuf};

use holdfast_config::host::{Claimed, Facts};
use holdfast_config::{Environment, Outcome, Severity, host, parse_files};
use holdfast_probe::trust::{self, Distrust};

pub use facts::{FactsError, facts, short_host_name};
pub use files::{Files, read, with_includes};
pub use trial::{told, trial};

/// Why a configuration could not be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file can't be read.
    #[error("read the configuration {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// A pattern of `include` stands for too many files.
    #[error("the configuration includes more than {0} files: correct the patterns of `include`")]
    TooManyFiles(usize),
    /// The host does not tell what was asked.
    #[error("look at this host (`--offline` leaves that out)")]
    Host(#[from] FactsError),
}

/// Reads and checks the configuration in `path`, with what it includes; `-` is standard input. `node` is the name to use where the file has none, by
/// default the short host name. Unless `offline`, a valid configuration is also checked against this host.
///
/// # Errors
/// A file can't be read, or the host can't be asked. What is wrong with the configuration is in the outcome.
pub fn check(path: &Path, node: Option<&str>, offline: bool) -> Result<Outcome, ReadError> {
    look(path, node, (!offline).then_some(Claimed::Nothing))
}

/// The same on this host, for a daemon that runs already, or goes on with what another one left: `claimed` is what it knows.
///
/// # Errors
/// As [`check`].
pub fn check_again(
    path: &Path,
    node: Option<&str>,
    claimed: Claimed,
) -> Result<Outcome, ReadError> {
    look(path, node, Some(claimed))
}

fn look(path: &Path, node: Option<&str>, claimed: Option<Claimed>) -> Result<Outcome, ReadError> {
    let files = read(path)?;
    let offline = claimed.is_none();
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| PathBuf::from(name)).collect();
    let mut outcome = check_files(files, node, claimed)?;
    if let Some(why) = paths.iter().filter(|_| !offline).find_map(|path| distrust(path)) {
        outcome.diagnostics.push(host::untrusted(&outcome.source, &why));
        outcome.config = None;
    }
    Ok(outcome)
}

/// Why the file at `path` is not to be believed: somebody else than root and this process's user could write it, or replace it or a
/// directory on the way to it. None of standard input, and of what is no file.
fn distrust(path: &Path) -> Option<String> {
    if path == Path::new("-") {
        return None;
    }
    // What can't be looked at was refused when it was read.
    let path = std::path::absolute(path).ok()?;
    match trust::examine_file(&path) {
        Ok(()) | Err(Distrust::NotAFile { .. } | Distrust::Unreadable { .. }) => None,
        Err(distrust) => Some(distrust.to_string()),
    }
}

/// The same of files that were read already; without `claimed` not against this host.
///
/// # Errors
/// The host can't be asked.
pub fn check_files(
    files: Files,
    node: Option<&str>,
    claimed: Option<Claimed>,
) -> Result<Outcome, ReadError> {
    let node = node.map_or_else(short_host_name, ToOwned::to_owned);
    let mut outcome = parse_files(files, &Environment::new(node));
    if let (Some(config), Some(claimed)) = (outcome.config.as_mut(), claimed) {
        let facts = Facts { claimed, ..facts(&host::questions(config))? };
        let found = host::check(config, &outcome.source, &facts);
        config.fill_secrets(&facts);
        let refused = found.iter().any(|found| found.severity == Severity::Error);
        outcome.diagnostics.extend(found);
        outcome.config = outcome.config.filter(|_| !refused);
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn checked(text: &str, offline: bool) -> Outcome {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        check(file.path(), Some("lb1"), offline).unwrap()
    }

    const MISSING: &str =
        "vrrp: {instances: {edge: {interface: hf-none, vrid: 1, addresses: [192.0.2.1/24]}}}\n";

    #[test]
    fn a_missing_interface_is_a_warning_on_this_host_only() {
        let outcome = checked(MISSING, false);
        assert!(outcome.config.is_some(), "it may come yet");
        let said = outcome.render(false);
        assert!(said.contains("warning[HF0701") && said.contains("hf-none"), "{said}");
        assert_eq!(checked(MISSING, true).diagnostics, []);
    }

    #[test]
    fn a_file_that_others_could_write_is_refused_on_this_host_only() {
        use std::fs::{Permissions, set_permissions};
        use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

        assert!(nix::unistd::geteuid().is_root(), "this test gives files away: run it as root");
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let (file, link) = (folder.path().join("holdfast.yaml"), folder.path().join("link"));
        std::fs::write(&file, "services: {}\n").unwrap();
        symlink(&file, &link).unwrap();
        let said = |path: &Path, offline| check(path, Some("lb1"), offline).unwrap().render(false);
        let mode = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
        for own in [0o600, 0o640, 0o644] {
            mode(&file, own);
            assert_eq!((said(&file, false), said(&link, false)), (String::new(), String::new()));
        }
        for others in [0o620, 0o602] {
            mode(&file, others);
            for path in [&file, &link] {
                let said = said(path, false);
                assert!(said.contains("error[HF0720]") && said.contains("chmod go-w"), "{said}");
            }
            assert!(check(&file, Some("lb1"), false).unwrap().config.is_none());
            assert_eq!(said(&file, true), "");
        }
        mode(&file, 0o600);
        chown(&file, Some(1234), None).unwrap();
        assert!(said(&file, false).contains("belongs to user 1234"), "its owner");
        chown(&file, Some(0), None).unwrap();
        mode(folder.path(), 0o777);
        assert!(said(&file, false).contains("error[HF0720]"), "its folder");
    }

    #[test]
    fn a_missing_group_refuses_the_configuration_on_this_host_only() {
        const GROUP: &str = "daemon: {control: {group: hf-no-such-group}}\nservices: {}\n";
        let outcome = checked(GROUP, false);
        assert!(outcome.config.is_none());
        assert!(outcome.render(false).contains("error[HF0705]"), "{}", outcome.render(false));
        assert!(checked(GROUP, true).config.is_some());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = check(Path::new("/nowhere/holdfast.yaml"), None, true).unwrap_err();
        assert_eq!(error.to_string(), "read the configuration /nowhere/holdfast.yaml");
    }

    #[test]
    fn without_a_name_the_node_is_the_short_host_name() {
        assert!(!short_host_name().contains('.'));
    }
}
