//! The committed corpora of the fuzz targets (`crates/bfd/fuzz`).

use corpus::replay;

#[expect(unreachable_pub, reason = "a test has no outside")]
#[path = "../../testkit/shared/corpus.rs"]
mod corpus;
#[expect(unreachable_pub, reason = "the fuzz crate needs the functions public")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

#[test]
fn s4_1_the_corpus_of_packets_is_read_and_written_back() {
    replay("wire", targets::wire);
}

#[test]
fn s6_8_the_corpus_of_histories_keeps_the_invariants() {
    replay("session", targets::session);
}
