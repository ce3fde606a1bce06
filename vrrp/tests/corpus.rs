//! The committed corpora of the fuzz targets (`vrrp/fuzz`).

use corpus::replay;

#[expect(unreachable_pub, reason = "a test has no outside")]
#[path = "../../crates/testkit/shared/corpus.rs"]
mod corpus;
#[expect(unreachable_pub, reason = "the fuzz crate needs the functions public")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

#[test]
fn i12_the_corpus_of_messages_is_read_and_written_back() {
    replay("wire", targets::wire);
}

#[test]
fn i8_the_corpus_of_packets_meets_a_router() {
    replay("receive", targets::receive);
}

#[test]
fn i6_i7_i10_the_corpus_of_histories_keeps_the_invariants() {
    replay("router", targets::router);
}
