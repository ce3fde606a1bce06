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

#[test]
fn the_corpus_of_messages_is_read_by_both_ways_and_written_back() {
    replay("wire", targets::wire);
}

/// Changed inputs, a few thousand, for those who have no fuzzer at hand: the same each time.
#[test]
fn changed_messages_are_read_without_a_panic() {
    let files: Vec<Vec<u8>> = corpus("wire").iter().map(|file| fs::read(file).unwrap()).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % u64::try_from(below.max(1)).unwrap()).unwrap()
    };
    for _ in 0..ROUNDS {
        let mut bytes = files[next(files.len())].clone();
        for _ in 0..=next(4) {
            let at = next(bytes.len());
            match next(4) {
                0 => bytes[at] ^= 1 << next(8),
                1 => bytes[at] = u8::try_from(next(256)).unwrap(),
                2 => bytes.truncate(at.max(1)),
                _ => {
                    let other = &files[next(files.len())];
                    bytes.extend(&other[next(other.len())..]);
                }
            }
        }
        targets::wire(&bytes);
    }
}

/// A second's worth in a debug build.
const ROUNDS: usize = 5_000;
