//! Secrets in files and credentials of the service manager.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use holdfast_config::SecretFrom;
use holdfast_config::host::Secret;
use holdfast_probe::files::CREDENTIALS;

/// A secret is a line; a file that is longer is another one.
const BYTES_MAX: u64 = 4096;

/// The file that a secret is in; none where nobody here can have it.
pub(crate) fn file(place: &SecretFrom) -> Option<PathBuf> {
    let folder = std::env::var_os(CREDENTIALS).map(PathBuf::from);
    match place {
        SecretFrom::File(path) => Some(path.clone()),
        SecretFrom::Credential(name) => folder.map(|folder| folder.join(name)),
    }
}

/// Reads a secret.
pub(crate) fn read(place: &SecretFrom) -> Secret {
    file(place).map_or(Secret::Elsewhere, |path| read_file(&path))
}

/// The first line of a file, without its end.
fn read_file(path: &Path) -> Secret {
    match first_line(path) {
        Ok(line) => Secret::Read(line),
        // The words of the kernel name no content.
        Err(error) => Secret::Unreadable(error.to_string()),
    }
}

fn first_line(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.len() as u64 > BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its first line is too long"));
    }
    let text = String::from_utf8(line.strip_suffix(b"\r").unwrap_or(line).to_vec());
    text.map_err(|_bytes| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_secret_and_an_error_has_nothing_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (bytes, expected) in [
            (&b"hunter2\n"[..], Some("hunter2")),
            (b"hunter2", Some("hunter2")),
            (b"hunter2\r\nmore\n", Some("hunter2")),
            (b"", Some("")),
            (b"hunt\xff", None),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let secret = read(&SecretFrom::File(path.clone()));
            match expected {
                Some(line) => assert_eq!(secret, Secret::Read(line.to_owned())),
                None => assert!(!format!("{secret:?}").contains("hunt"), "{secret:?}"),
            }
        }
        std::fs::write(&path, vec![b'x'; 5000]).unwrap();
        assert!(matches!(read_file(&path), Secret::Unreadable(_)));
        assert!(matches!(read_file(&folder.path().join("none")), Secret::Unreadable(_)));
    }
}
