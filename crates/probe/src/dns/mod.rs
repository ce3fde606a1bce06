//! The DNS check: one query, judged by the response code and the answer.
//!
//! Over UDP, replies that are not to this query (another identifier, another question) are read past. An answer that was cut short
//! (TC) is asked for again over TCP when values are expected of it, as a resolver does.

mod message;

use holdfast_config::DnsCheck;
use holdfast_health::Code;
use ring::rand::SecureRandom as _;

use crate::deadline::Deadline;
use crate::finding::{Finding, describe, is_own_shortage};
use crate::place::Place;
use crate::talk::{Broken, Talk, judged};
use crate::transcript;
use message::{Malformed, Query, Reply};

/// What EDNS offers to take over UDP (RFC 9715 §3.2): it fits any path without fragments.
const DATAGRAM: usize = 1232;

pub(crate) async fn run(place: &Place<'_>, dns: &DnsCheck, deadline: Deadline<'_>) -> Finding {
    let name = if dns.name.is_empty() { "." } else { &dns.name };
    let transport = if dns.tcp { "tcp" } else { "udp" };
    let what = format!("dns {} ({transport}) {name} {}", place.address, dns.record.0);
    let mut identifier = [0; 2];
    if ring::rand::SystemRandom::new().fill(&mut identifier).is_err() {
        return Finding::ours(format!("{what}: the kernel gives no random numbers"));
    }
    let query =
        Query { identifier: u16::from_be_bytes(identifier), name: &dns.name, record: dns.record.1 };
    match asked(place, dns, query, &what, deadline).await {
        Ok(finding) | Err(finding) => finding,
    }
}

async fn asked(
    place: &Place<'_>,
    dns: &DnsCheck,
    query: Query<'_>,
    what: &str,
    deadline: Deadline<'_>,
) -> Result<Finding, Finding> {
    if !dns.tcp {
        let reply = over_udp(place, query, what, deadline).await?;
        if !reply.is_truncated() || dns.answer.is_empty() || !is_expected_code(dns, &reply) {
            return Ok(judged(what, deadline, async { judge(dns, &reply) }).await);
        }
    }
    let stream = place.connect(deadline).await?;
    let mut talk = Talk::over(stream);
    let exchange = async {
        let message = query.encode(DATAGRAM);
        let length = u16::try_from(message.len()).unwrap_or_default().to_be_bytes();
        talk.say(&[&length[..], &message].concat()).await?;
        let length = talk.take(2).await?;
        let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let bytes = talk.take(length).await?;
        judge(dns, &query.reply(&bytes).map_err(foreign)?)
    };
    Ok(judged(what, deadline, exchange).await)
}

async fn over_udp(
    place: &Place<'_>,
    query: Query<'_>,
    what: &str,
    deadline: Deadline<'_>,
) -> Result<Reply, Finding> {
    let socket = place.udp().await?;
    let failed = |error: std::io::Error| {
        let sentence = format!("{what}: {}", describe(&error));
        if is_own_shortage(&error) {
            Finding::ours(sentence)
        } else {
            Finding::fail(Code::L4CON, sentence)
        }
    };
    let heard = deadline.within(async {
        let message = query.encode(DATAGRAM);
        transcript::sent(&message);
        socket.send(&message).await.map_err(failed)?;
        let mut bytes = [0; DATAGRAM];
        loop {
            let length = socket.recv(&mut bytes).await.map_err(failed)?;
            let heard = bytes.get(..length).unwrap_or_default();
            transcript::received(heard);
            match query.reply(heard) {
                Err(Malformed::NotOurs) => tokio::task::yield_now().await,
                Err(malformed) => return Err(foreign(malformed).finding(what)),
                Ok(reply) => return Ok(reply),
            }
        }
    });
    let late =
        || Finding::fail(Code::L7TOUT, format!("{what}: no answer within {:?}", deadline.timeout));
    heard.await.ok_or_else(late)?
}

fn foreign(malformed: Malformed) -> Broken {
    Broken::Foreign(format!("the answer is not valid DNS: {malformed}"))
}

fn is_expected_code(dns: &DnsCheck, reply: &Reply) -> bool {
    dns.rcodes.iter().any(|(_, number)| *number == reply.rcode)
}

fn judge(dns: &DnsCheck, reply: &Reply) -> Result<String, Broken> {
    let rcode = message::rcode_name(reply.rcode);
    if !is_expected_code(dns, reply) {
        let names: Vec<_> = dns.rcodes.iter().map(|(name, _)| *name).collect();
        return Err(Broken::Refused(format!("{rcode}, expected {}", names.join(" or "))));
    }
    let has = |wanted: &String| {
        let wanted = message::canonical(wanted, dns.record.1);
        reply.values.iter().any(|value| message::canonical(value, dns.record.1) == wanted)
    };
    if let Some(missing) = dns.answer.iter().find(|wanted| !has(wanted)) {
        let found = match reply.values.as_slice() {
            [] => "nothing".to_owned(),
            values => crate::finding::excerpt(values.join(", ").as_bytes()),
        };
        return Err(Broken::Refused(format!("{rcode}, but {found} instead of \"{missing}\"")));
    }
    let records = match reply.answers {
        1 => "1 record".to_owned(),
        count => format!("{count} records"),
    };
    Ok(format!("{rcode}, {records}"))
}
