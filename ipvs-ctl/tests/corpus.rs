//! The committed corpora of the fuzz targets (`ipvs-ctl/fuzz`).

use std::fs;

use corpus::{files, replay};

#[expect(unreachable_pub, reason = "a test has no outside")]
#[path = "../../crates/testkit/shared/corpus.rs"]
mod corpus;
#[expect(unreachable_pub, reason = "the fuzz crate needs the functions public")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

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
    let files: Vec<Vec<u8>> = files("wire").iter().map(|file| fs::read(file).unwrap()).collect();
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
