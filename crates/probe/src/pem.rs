//! Certificates and keys in PEM files, as rustls takes them. All of these block.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::finding::describe;

/// A PEM file of more bytes is not read.
const FILE_LIMIT: u64 = 4 << 20;

/// The authorities in the file at `path`; at least one.
///
/// # Errors
/// It can't be read, or has something else: a sentence that names it.
pub fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| {
            format!("{} has a certificate that can't be an authority: {error}", path.display())
        })?;
    }
    Ok(roots)
}

/// The certificates in the file at `path`; at least one.
///
/// # Errors
/// As [`authorities`].
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| format!("{} is not PEM: {error}", path.display()))?;
    if found.is_empty() {
        return Err(format!("{} has no certificate in PEM", path.display()));
    }
    Ok(found)
}

/// The private key in the file at `path`.
///
/// # Errors
/// As [`authorities`]. No message has anything of it.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = read(path)?;
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| format!("{} has no private key in PEM: {error}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| format!("read {}: {}", path.display(), describe(&error)))?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(format!("{} has more than {FILE_LIMIT} bytes", path.display()));
    }
    Ok(bytes)
}
