//! The UDP check: a datagram, and a reply or a refusal.

use std::io;

use holdfast_config::UdpCheck;
use holdfast_health::Code;

use crate::deadline::Deadline;
use crate::finding::{Finding, describe, excerpt, is_own_shortage};
use crate::place::Place;
use crate::tcp::{expected, is_as_expected};
use crate::transcript;

/// A datagram's greatest payload.
const DATAGRAM: usize = 65_535;

pub(crate) async fn run(place: &Place<'_>, udp: &UdpCheck, deadline: Deadline<'_>) -> Finding {
    let what = format!("udp {}", place.address);
    let socket = match place.udp().await {
        Ok(socket) => socket,
        Err(finding) => return finding,
    };
    let heard = deadline.within(async {
        let payload = udp.bytes.send.as_deref().unwrap_or_default();
        transcript::sent(payload);
        socket.send(payload).await?;
        let mut reply = vec![0; DATAGRAM];
        let length = socket.recv(&mut reply).await?;
        reply.truncate(length);
        transcript::received(&reply);
        io::Result::Ok(reply)
    });
    match (heard.await, &udp.bytes.expect) {
        (Some(Ok(reply)), Some(expect)) if !is_as_expected(expect, &reply) => {
            let wanted = expected(expect);
            let sentence = format!("{what}: it said {}, expected {wanted}", excerpt(&reply));
            Finding::fail(Code::L7STS, sentence)
        }
        (Some(Ok(reply)), _) => {
            Finding::pass(Code::L7OK, format!("{what}: it said {}", excerpt(&reply)))
        }
        (Some(Err(error)), _) if is_own_shortage(&error) => {
            Finding::ours(format!("{what}: {}", describe(&error)))
        }
        // ICMP's answer comes as the socket's error: port unreachable, host unreachable.
        (Some(Err(error)), _) => {
            Finding::fail(Code::L4CON, format!("{what}: {}", describe(&error)))
        }
        (None, _) if udp.reply => {
            Finding::fail(Code::L7TOUT, format!("{what}: no reply within {:?}", deadline.timeout))
        }
        (None, _) => Finding::pass(
            Code::L4OK,
            format!("{what}: neither a reply nor a refusal within {:?}", deadline.timeout),
        ),
    }
}
