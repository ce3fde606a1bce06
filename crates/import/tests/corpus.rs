//! The committed corpus of the fuzz target (`crates/import/fuzz`), and text that is made of keepalived's own words: nothing panics, and every
//! statement has its line.

use corpus::replay;
use proptest::prelude::*;

#[expect(unreachable_pub, reason = "a test has no outside")]
#[path = "../../testkit/shared/corpus.rs"]
mod corpus;
#[expect(unreachable_pub, reason = "the fuzz crate needs the functions public")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

#[test]
fn the_corpus_of_configurations_is_converted_or_refused() {
    replay("import", targets::convert);
}

/// What the language and the conversion react to.
const FRAGMENTS: [&str; 90] = [
    "\n",
    "\n",
    "\n",
    " ",
    " ",
    "{",
    "}",
    "{\n",
    "}\n",
    "\"",
    "'",
    "\\",
    "\\\n",
    "#",
    "!",
    "@lb1 ",
    "@^lb1 ",
    "$A=",
    "$A=${A}${A}\n",
    "$A",
    "${A}",
    "~SEQ(A, 1, 3) ",
    "~LST({A, B}, {1, 2}) ",
    "include *\n",
    "include missing\n",
    "global_defs",
    "vrrp_instance a",
    "vrrp_instance b",
    "vrrp_sync_group g",
    "group",
    "vrrp_script s",
    "vrrp_track_process p",
    "vrrp_track_file f",
    "bfd_instance bfd",
    "virtual_server 192.0.2.1 80",
    "virtual_server fwmark 7",
    "virtual_server group x",
    "virtual_server_group x",
    "real_server 10.0.0.1 80",
    "real_server 2001:db8::1",
    "TCP_CHECK",
    "HTTP_GET",
    "SSL_GET",
    "url",
    "path /\n",
    "MISC_CHECK",
    "misc_path /bin/true\n",
    "DNS_CHECK",
    "UDP_CHECK",
    "require_reply 0X\n",
    "PING_CHECK",
    "BFD_CHECK",
    "name bfd\n",
    "FILE_CHECK",
    "interface eth0\n",
    "virtual_router_id 7\n",
    "priority 255\n",
    "state MASTER\n",
    "nopreempt\n",
    "preempt_delay 5\n",
    "version 3\n",
    "advert_int 0.01\n",
    "virtual_ipaddress",
    "192.0.2.1/24 dev eth1\n",
    "2001:db8::1/64\n",
    "192.0.2.1-9 80\n",
    "track_script",
    "track_interface",
    "s weight 10 reverse\n",
    "eth1\n",
    "unicast_peer",
    "192.0.2.9\n",
    "notify \"/bin/a 'b c'\" root\n",
    "lb_algo mh\n",
    "lb_algo wlc\n",
    "lb_kind DR\n",
    "lvs_method TUN type gue port 1\n",
    "protocol TCP\n",
    "persistence_timeout\n",
    "quorum 3\n",
    "sorry_server 10.0.0.9 80\n",
    "weight 0\n",
    "delay_loop 6\n",
    "retry 3\n",
    "connect_timeout 0\n",
    "authentication",
    "auth_type PASS\n",
    "auth_pass 12345678901\n",
    "alpha\n",
    "99999999999999999999\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn text_of_keepaliveds_own_words_is_accounted_for(
        parts in prop::collection::vec(prop::sample::select(&FRAGMENTS[..]), 0..40)
    ) {
        targets::convert(parts.concat().as_bytes());
    }

    #[test]
    fn blocks_in_their_place_are_accounted_for(
        blocks in prop::collection::vec(
            (
                prop::sample::select(&[
                    "vrrp_instance a", "virtual_server 192.0.2.1 80", "global_defs", "vrrp_script s", "vrrp_sync_group g",
                    "virtual_server fwmark 7", "bfd_instance bfd",
                ][..]),
                prop::collection::vec(prop::sample::select(&FRAGMENTS[25..]), 0..12),
            ),
            0..4,
        )
    ) {
        let block = |(head, parts): (&str, Vec<&str>)| {
            let inner: String = parts.iter().map(|part| {
                if part.ends_with('\n') { (*part).to_owned() } else { format!("{part} {{\n}}\n") }
            }).collect();
            format!("{head} {{\n{inner}}}\n")
        };
        let text: String = blocks.into_iter().map(block).collect();
        targets::convert(text.as_bytes());
    }

    #[test]
    fn any_bytes_are_converted_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        targets::convert(&bytes);
    }
}

#[test]
fn what_grows_is_limited() {
    for text in [
        "$A=${A} ${A}\n$A\n".to_owned(),
        "$A= \\\n$A \\\n$A\n$A\n".to_owned(),
        "{\n".repeat(10_000),
        "a {\n".repeat(10_000),
        "~SEQ(A, 1, 4000000000) x\n".to_owned(),
        "~SEQ(A, 1, 1000) ~SEQ(B, 1, 1000) ~SEQ(C, 1, 1000) x${A}\n".to_owned(),
        "include keepalived.conf\n".repeat(100),
        "virtual_server_group x {\n::/0 80\n10.0.0.0/8 80\n}\n".to_owned(),
        "x".repeat(5 << 20),
        "vrrp_instance x {\n}\n".repeat(2000),
    ] {
        targets::convert(text.as_bytes());
    }
}
