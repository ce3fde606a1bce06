//! A configuration's file read and checked on this host: the command line and the daemon do it alike.
//!
//! What is wrong with the text is found by `holdfast-config`, which reads no file and asks no kernel; this crate reads the file
//! and answers the questions that only the host can answer.

mod facts;
mod trial;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use holdfast_config::{Environment, MAX_BYTES, Outcome, Severity, host, parse};

pub use facts::{FactsError, facts};
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
    /// The host does not tell what was asked.
    #[error("look at this host (`--offline` leaves that out)")]
    Host(#[from] FactsError),
}

/// Reads and checks the configuration in `path`; `-` is standard input. `node` is the name to use where the file has none, by
/// default the short host name. Unless `offline`, a valid configuration is also checked against this host.
///
/// # Errors
/// The file can't be read, or the host can't be asked. What is wrong with the configuration is in the outcome.
pub fn check(path: &Path, node: Option<&str>, offline: bool) -> Result<Outcome, ReadError> {
    let text = read(path).map_err(|source| ReadError::File { path: path.to_owned(), source })?;
    check_text(&path.display().to_string(), &text, node, offline)
}

/// The same of a text that was read already; `file` is the name that diagnostics show.
///
/// # Errors
/// The host can't be asked.
pub fn check_text(
    file: &str,
    text: &[u8],
    node: Option<&str>,
    offline: bool,
) -> Result<Outcome, ReadError> {
    let node = node.map_or_else(facts::short_host_name, ToOwned::to_owned);
    let mut outcome = parse(file, text, &Environment::new(node));
    if let Some(config) = outcome.config.as_ref().filter(|_| !offline) {
        let facts = facts(&host::questions(config))?;
        let found = host::check(config, &outcome.source, &facts);
        let refused = found.iter().any(|found| found.severity == Severity::Error);
        outcome.diagnostics.extend(found);
        outcome.config = outcome.config.filter(|_| !refused);
    }
    Ok(outcome)
}

/// The file's bytes, one more at most than a configuration may have: the parser says what is wrong with that.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = Vec::new();
    if path == Path::new("-") {
        io::stdin().take(limit).read_to_end(&mut text)?;
    } else {
        let file = File::open(path)?;
        // What is no file has no length; a file's may change yet.
        let length = file.metadata()?.len().min(limit);
        text.reserve(usize::try_from(length).unwrap_or_default().saturating_add(1));
        file.take(limit).read_to_end(&mut text)?;
    }
    Ok(text)
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
        assert!(!facts::short_host_name().contains('.'));
    }
}
