//! Replays the committed corpus of a fuzz target with the stable toolchain: what the fuzzer has found once is tried at every test run. A
//! file that fails prints its name before the panic.
//!
//! A module of each test that includes it by its path, since the crates with fuzz targets can't depend on the testkit, which uses them.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![expect(clippy::print_stderr, reason = "the file's name says which input failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// The corpus of a target of the crate that includes this, sorted.
pub fn files(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Runs a target with every file of its corpus, and with every beginning of it.
pub fn replay(target: &str, run: fn(&[u8])) {
    let files = files(target);
    assert!(files.len() >= 10, "the corpus of {target} is not there");
    for file in files {
        eprintln!("{}", file.display());
        let bytes = fs::read(file).unwrap();
        run(&bytes);
        // Every beginning is an input too, and most are reached by no mutation.
        for end in 0..bytes.len() {
            run(bytes.get(..end).unwrap());
        }
    }
}
