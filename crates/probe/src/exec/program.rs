//! Whether the kernel itself can start a file.
//!
//! It must be asked before the start: where the kernel refuses a file as of no known format, the C library's `execvp` hands it to
//! a shell, and no command of ours runs by a shell that it did not name.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// What is wrong with a file that cannot be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAProgram {
    /// It cannot be looked at.
    #[error("{}", crate::finding::describe(_0))]
    Unreadable(io::Error),
    /// It is a directory or a device.
    #[error("not a regular file")]
    NotAFile,
    /// It is text without an interpreter, or empty, or data.
    #[error("neither a program nor a script: a script begins with a line such as #!/bin/sh")]
    Format,
}

impl NotAProgram {
    /// The kernel's answer, where it gave one.
    pub(super) const fn cause(&self) -> Option<&io::Error> {
        match self {
            Self::Unreadable(error) => Some(error),
            Self::NotAFile | Self::Format => None,
        }
    }
}

/// Looks at the file at `path`. Blocks.
pub(super) fn inspect(path: &Path) -> Result<(), NotAProgram> {
    let metadata = fs::metadata(path).map_err(NotAProgram::Unreadable)?;
    if !metadata.is_file() {
        return Err(NotAProgram::NotAFile);
    }
    let file = match File::open(path) {
        Ok(file) => file,
        // A program may be executable and not readable; a script may not.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        Err(error) => return Err(NotAProgram::Unreadable(error)),
    };
    let mut head = Vec::new();
    file.take(4).read_to_end(&mut head).map_err(NotAProgram::Unreadable)?;
    let known = head.starts_with(b"#!") || head == b"\x7fELF";
    if known { Ok(()) } else { Err(NotAProgram::Format) }
}
