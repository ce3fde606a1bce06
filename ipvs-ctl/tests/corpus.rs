//! Replays the committed corpora of the fuzz targets (`ipvs-ctl/fuzz`) with the stable toolchain: what the fuzzer has found once is
//! tried at every test run. A file that fails prints its name before the panic.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![expect(clippy::print_stderr, reason = "the file's name says which input failed")]

use std::fs;
use std::path::{Path, PathBuf};

#[expect(unreachable_pub, reason = "the fuzz crate needs the functions public")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

/// The corpus of a target, sorted.
fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(target: &str, run: fn(&[u8])) {
    let files = corpus(target);
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

#[test]
fn the_corpus_of_rule_files_is_read_and_written_back() {
    replay("rules", targets::rules);
}
