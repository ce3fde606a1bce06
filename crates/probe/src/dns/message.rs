//! The messages of the DNS (RFC 1035 §4), as far as a check needs them: one question, the response code, and the values of the
//! answer section.
//!
//! A name's pointers may only lead backwards, each before the place where the last one led, so no loop is possible, and every name
//! ends within the message.

use std::net::{Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// QR, and RD for queries.
const RESPONSE: u16 = 0x8000;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const INTERNET: u16 = 1;
/// The pseudo-record of EDNS (RFC 6891 §6.1).
const OPT: u16 = 41;
/// A message has so many bytes at least (RFC 1035 §4.1.1).
const HEADER: usize = 12;
/// So many records are looked at; a message has room for no more that would be of use.
const RECORDS: u16 = 1024;
/// Records that point at one long name don't multiply it: so many bytes of values are kept.
const VALUES_LIMIT: usize = 64 * 1024;

/// A question to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a> {
    pub(super) identifier: u16,
    /// The name without the root's dot; valid, as the configuration has checked.
    pub(super) name: &'a str,
    pub(super) record: u16,
}

/// What a reply says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    flags: u16,
    /// The response code, with EDNS's upper bits.
    pub(super) rcode: u16,
    /// How many records the answer section has.
    pub(super) answers: u16,
    /// The values of those that are of the type that was asked for.
    pub(super) values: Vec<String>,
}

/// Why bytes are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Malformed {
    /// A reply to another question, or no reply: over UDP it is read past.
    #[error("it answers another question")]
    NotOurs,
    /// It ends before it should.
    #[error("it is cut short")]
    Short,
    /// A name that can't be.
    #[error("it has a name that can't be")]
    Name,
    /// More than anybody needs.
    #[error("it has too many records")]
    Long,
}

impl Query<'_> {
    /// The message; `room` is what EDNS offers.
    pub(super) fn encode(&self, room: usize) -> Vec<u8> {
        let mut message = Vec::with_capacity(64);
        // One question, one additional record.
        for word in [self.identifier, RECURSION_DESIRED, 1, 0, 0, 1] {
            message.extend_from_slice(&word.to_be_bytes());
        }
        for label in self.name.split('.').filter(|label| !label.is_empty()) {
            message.push(u8::try_from(label.len()).unwrap_or_default());
            message.extend_from_slice(label.as_bytes());
        }
        message.push(0);
        for word in [self.record, INTERNET] {
            message.extend_from_slice(&word.to_be_bytes());
        }
        message.push(0);
        let room = u16::try_from(room).unwrap_or(u16::MAX);
        for word in [OPT, room, 0, 0, 0] {
            message.extend_from_slice(&word.to_be_bytes());
        }
        message
    }

    /// Reads the reply to this query.
    pub(super) fn reply(&self, message: &[u8]) -> Result<Reply, Malformed> {
        if message.len() < HEADER {
            return Err(Malformed::NotOurs);
        }
        let mut cursor = Cursor { message, at: 0 };
        let (identifier, flags) = (cursor.word()?, cursor.word()?);
        let counts = [cursor.word()?, cursor.word()?, cursor.word()?, cursor.word()?];
        let [questions, answers, authorities, additional] = counts;
        if identifier != self.identifier || flags & RESPONSE == 0 || questions > 1 {
            return Err(Malformed::NotOurs);
        }
        // Some servers leave the question out of an error.
        if questions == 1 {
            let name = cursor.name()?;
            let (record, class) = (cursor.word()?, cursor.word()?);
            if !name.eq_ignore_ascii_case(self.name) || record != self.record || class != INTERNET {
                return Err(Malformed::NotOurs);
            }
        }
        let mut reply = Reply { flags, rcode: flags & 0x0f, answers, values: vec![] };
        let total =
            [authorities, additional].iter().fold(answers, |sum, count| sum.saturating_add(*count));
        if total > RECORDS {
            return Err(Malformed::Long);
        }
        let mut kept = 0;
        for index in 0..total {
            match self.record_at(&mut cursor, index < answers, &mut reply) {
                // What was cut short ends where there was no more room.
                Err(Malformed::Short) if reply.is_truncated() => break,
                other => other?,
            }
            kept += reply.values.last().map_or(0, String::len);
            if kept > VALUES_LIMIT {
                return Err(Malformed::Long);
            }
        }
        Ok(reply)
    }

    fn record_at(
        &self,
        cursor: &mut Cursor<'_>,
        is_answer: bool,
        reply: &mut Reply,
    ) -> Result<(), Malformed> {
        cursor.skip_name()?;
        let (record, class) = (cursor.word()?, cursor.word()?);
        let upper = cursor.word()?;
        let _rest_of_ttl = cursor.word()?;
        let length = usize::from(cursor.word()?);
        let data = Cursor { message: cursor.message, at: cursor.at };
        cursor.bytes(length)?;
        if record == OPT {
            reply.rcode |= upper >> 8 << 4;
        } else if is_answer && record == self.record && class == INTERNET {
            reply.values.push(value(data, length, record)?);
        }
        Ok(())
    }
}

impl Reply {
    pub(super) const fn is_truncated(&self) -> bool {
        self.flags & TRUNCATED != 0
    }
}

/// A record's data as a zone file has it; of types without a form here, nothing.
fn value(mut data: Cursor<'_>, length: usize, record: u16) -> Result<String, Malformed> {
    let end = data.at + length;
    let text = match record {
        1 => data.array::<4>().map(|octets| Ipv4Addr::from(octets).to_string())?,
        28 => data.array::<16>().map(|octets| Ipv6Addr::from(octets).to_string())?,
        2 | 5 | 12 => data.name()?,
        15 => format!("{} {}", data.word()?, data.name()?),
        33 => format!("{} {} {} {}", data.word()?, data.word()?, data.word()?, data.name()?),
        6 => {
            let (primary, mailbox) = (data.name()?, data.name()?);
            let serial = u32::from_be_bytes(data.array()?);
            format!("{primary} {mailbox} {serial}")
        }
        16 => {
            let mut text = Vec::new();
            while data.at < end {
                let length = usize::from(data.byte()?);
                text.extend_from_slice(data.bytes(length)?);
            }
            String::from_utf8_lossy(&text).into_owned()
        }
        _ => String::new(),
    };
    // RDLENGTH says where it ends, and nothing may be left or taken from beyond.
    let exact = data.at == end || record == 6 && data.at < end;
    if exact || text.is_empty() { Ok(text) } else { Err(Malformed::Short) }
}

/// Two texts of one value are equal in this form: names without the last dot and in small letters; addresses in their shortest form.
pub(super) fn canonical(text: &str, record: u16) -> String {
    match record {
        16 => text.to_owned(),
        1 | 28 => {
            text.parse().map_or_else(|_| text.to_owned(), |ip: std::net::IpAddr| ip.to_string())
        }
        _ => {
            let words: Vec<_> = text
                .split_ascii_whitespace()
                .map(|word| word.strip_suffix('.').unwrap_or(word).to_ascii_lowercase())
                .collect();
            words.join(" ")
        }
    }
}

/// A response code by its name.
pub(super) fn rcode_name(rcode: u16) -> String {
    let names = [
        "noerror", "formerr", "servfail", "nxdomain", "notimp", "refused", "yxdomain", "yxrrset",
        "nxrrset", "notauth", "notzone",
    ];
    names
        .get(usize::from(rcode))
        .map_or_else(|| format!("rcode {rcode}"), |name| (*name).to_owned())
}

/// A place in a message.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(count).ok_or(Malformed::Short)?;
        let bytes = self.message.get(self.at..end).ok_or(Malformed::Short)?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.bytes(N)?.try_into().map_err(|_length| Malformed::Short)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    fn word(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    /// Goes past a name without following it.
    fn skip_name(&mut self) -> Result<(), Malformed> {
        loop {
            match self.byte()? {
                0 => return Ok(()),
                length @ 1..=63 => drop(self.bytes(usize::from(length))?),
                0xc0.. => return self.byte().map(drop),
                _ => return Err(Malformed::Name),
            }
        }
    }

    /// The name here, without the root's dot (RFC 1035 §4.1.4).
    fn name(&mut self) -> Result<String, Malformed> {
        let mut name = String::new();
        let mut place = *self;
        // A pointer leads before the name that has it began.
        let mut before = self.at;
        self.skip_name()?;
        loop {
            match place.byte()? {
                0 => return Ok(name),
                length @ 1..=63 => {
                    let label = place.bytes(usize::from(length))?;
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.extend(label.iter().map(|byte| match byte {
                        byte if byte.is_ascii_graphic() => char::from(*byte),
                        _ => char::REPLACEMENT_CHARACTER,
                    }));
                    if name.len() > 3 * 255 {
                        return Err(Malformed::Name);
                    }
                }
                high @ 0xc0.. => {
                    let target = usize::from(high & 0x3f) << 8 | usize::from(place.byte()?);
                    if target >= before {
                        return Err(Malformed::Name);
                    }
                    before = target;
                    place.at = target;
                }
                _ => return Err(Malformed::Name),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUERY: Query<'static> = Query { identifier: 0x1234, name: "www.example", record: 1 };

    /// A reply to `query` with `answers` records, whose bytes are `records`.
    fn reply(query: Query<'_>, flags: u16, answers: u16, records: &[u8]) -> Vec<u8> {
        let mut message = query.encode(0);
        message.truncate(message.len() - 11);
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        message[6..8].copy_from_slice(&answers.to_be_bytes());
        message[10..12].copy_from_slice(&[0, 0]);
        message.extend_from_slice(records);
        message
    }

    /// A record of the question's name.
    fn record(kind: u16, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len()).unwrap();
        [&[0xc0, 12][..], &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 60], &length.to_be_bytes(), data]
            .concat()
    }

    #[test]
    fn a_query_is_what_rfc_1035_has() {
        let message = QUERY.encode(1232);
        assert_eq!(message[..12], [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(message[12..29], *b"\x03www\x07example\0\0\x01\0\x01");
        assert_eq!(message[29..], [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Query { name: "", ..QUERY }.encode(0)[12..17], [0, 0, 1, 0, 1]);
    }

    #[test]
    fn values_of_each_type_are_read() {
        for (kind, data, text) in [
            (1, &[192, 0, 2, 1][..], "192.0.2.1"),
            (28, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], "2001:db8::1"),
            (5, b"\x01a\xc0\x10", "a.example"),
            (15, b"\0\x0a\x04mail\xc0\x10", "10 mail.example"),
            (16, b"\x05v=1; \x03abc", "v=1; abc"),
            (33, b"\0\x01\0\x02\0\x50\x01s\xc0\x10", "1 2 80 s.example"),
            (
                6,
                b"\xc0\x0c\xc0\x10\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
                "www.example example 7",
            ),
        ] {
            let query = Query { record: kind, ..QUERY };
            let found = query.reply(&reply(query, 0x8180, 1, &record(kind, data))).unwrap();
            assert_eq!((found.rcode, found.answers), (0, 1), "{kind}");
            assert_eq!(found.values, [text], "{kind}");
        }
    }

    #[test]
    fn only_the_reply_to_the_question_counts() {
        let good = reply(QUERY, 0x8180, 0, &[]);
        assert!(QUERY.reply(&good).is_ok());
        assert_eq!(Query { identifier: 1, ..QUERY }.reply(&good), Err(Malformed::NotOurs));
        assert_eq!(Query { name: "ww2.example", ..QUERY }.reply(&good), Err(Malformed::NotOurs));
        assert_eq!(Query { record: 28, ..QUERY }.reply(&good), Err(Malformed::NotOurs));
        assert_eq!(QUERY.reply(&QUERY.encode(0)), Err(Malformed::NotOurs), "a query");
        assert!(Query { name: "WWW.Example", ..QUERY }.reply(&good).is_ok());
        for length in 0..good.len() {
            let why = if length < HEADER { Malformed::NotOurs } else { Malformed::Short };
            assert_eq!(QUERY.reply(&good[..length]), Err(why), "{length}");
        }
    }

    #[test]
    fn loops_of_pointers_end() {
        let query = Query { record: 5, ..QUERY };
        // Where the data of the only record begins: header, question, name, type, class, time, length.
        let at = 12 + 17 + 12;
        let name = |data: &[u8]| query.reply(&reply(query, 0x8180, 1, &record(5, data)));
        assert_eq!(name(&[0xc0, at]), Err(Malformed::Name), "to itself");
        assert_eq!(name(&[0xc0, at + 2, 0xc0, at]), Err(Malformed::Name), "to and fro");
        assert_eq!(name(&[1, b'a', 0xc0, at]), Err(Malformed::Name), "growing for ever");
        assert_eq!(name(&[0xff, 0xff]), Err(Malformed::Name), "out of the message");
        assert_eq!(name(&[0x80, 1]), Err(Malformed::Name), "a label of no kind");
        let long = [[63; 64].as_slice()].concat().repeat(20);
        assert!(name(&long).is_err());
    }

    #[test]
    fn a_long_name_that_many_records_point_at_is_not_multiplied_without_bound() {
        let query = Query { record: 5, ..QUERY };
        let mut label = vec![63];
        label.resize(64, b'x');
        let mut records = record(5, &[label.repeat(3), vec![0]].concat());
        let at = u16::try_from(12 + 17 + 12).unwrap() | 0xc000;
        for _ in 1..1000 {
            records.extend(record(5, &at.to_be_bytes()));
        }
        assert_eq!(query.reply(&reply(query, 0x8180, 1000, &records)), Err(Malformed::Long));
        assert_eq!(query.reply(&reply(query, 0x8180, 65_535, &[])), Err(Malformed::Long));
    }

    #[test]
    fn an_extended_code_and_a_truncated_answer_are_understood() {
        let mut message = reply(QUERY, 0x8380, 3, &record(1, &[192, 0, 2, 1])[..12]);
        assert!(QUERY.reply(&message).unwrap().values.is_empty());
        message = reply(QUERY, 0x8180, 0, &[0, 0, 41, 4, 0xd0, 1, 0, 0, 0, 0, 0]);
        message[11] = 1;
        assert_eq!(QUERY.reply(&message).unwrap().rcode, 16);
        assert_eq!(rcode_name(16), "rcode 16");
        assert_eq!(rcode_name(3), "nxdomain");
    }

    #[test]
    fn values_are_compared_as_what_they_mean() {
        assert_eq!(canonical("WWW.Example.", 5), canonical("www.example", 5));
        assert_eq!(canonical("10  Mail.example.", 15), "10 mail.example");
        assert_eq!(canonical("2001:DB8:0::1", 28), "2001:db8::1");
        assert_ne!(canonical("V=1", 16), canonical("v=1", 16));
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _reply = QUERY.reply(&bytes);
        }

        #[test]
        fn no_records_bring_it_down(
            kind in prop_oneof![Just(1u16), Just(5), Just(6), Just(15), Just(16), Just(28), Just(33), any::<u16>()],
            answers in 0u16..5,
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let query = Query { record: kind, ..QUERY };
            let _reply = query.reply(&reply(query, 0x8180, answers, &bytes));
            let _reply = query.reply(&reply(query, 0x8180, answers, &record(kind, &bytes)));
        }
    }
}
