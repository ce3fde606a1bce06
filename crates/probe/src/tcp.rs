//! The TCP check: a connection, with or without bytes that are sent and expected.

use std::time::Duration;

use holdfast_config::{Bytes, Expect};
use holdfast_health::Code;
use tokio::time::timeout;

use crate::deadline::Deadline;
use crate::finding::{Finding, excerpt};
use crate::place::Place;
use crate::talk::{Broken, Talk, judged};

/// A server that pauses for so long may have said all: what came is looked through.
const PAUSE: Duration = Duration::from_millis(5);

/// Connects and closes.
pub(crate) async fn connects(place: &Place<'_>, deadline: Deadline<'_>) -> Finding {
    match place.connect(deadline).await {
        Ok(_closed_here) => {
            Finding::pass(Code::L4OK, format!("connect to {}: connected", place.address))
        }
        Err(finding) => finding,
    }
}

/// Connects, says what there is to say, listens where something is expected, and closes.
pub(crate) async fn run(place: &Place<'_>, bytes: &Bytes, deadline: Deadline<'_>) -> Finding {
    let address = place.address;
    let stream = match place.connect(deadline).await {
        Ok(stream) => stream,
        Err(finding) => return finding,
    };
    let mut talk = Talk::over(stream);
    let what = format!("tcp {address}");
    let finding = judged(&what, deadline, converse(&mut talk, bytes)).await;
    if finding.reason.code == Code::L7TOUT && !talk.heard().is_empty() {
        let sentence = format!("{}; it said {}", finding.reason.sentence, excerpt(talk.heard()));
        return Finding::fail(Code::L7TOUT, sentence);
    }
    finding
}

async fn converse(talk: &mut Talk, bytes: &Bytes) -> Result<String, Broken> {
    if let Some(send) = &bytes.send {
        talk.say(send).await?;
    }
    let Some(expect) = &bytes.expect else { return Ok("connected and sent".to_owned()) };
    let mut search = Search { expect, searched: 0 };
    loop {
        if search.is_due(talk.heard().len()) && search.found(talk.heard()) {
            return Ok(format!("it said {}", excerpt(talk.heard())));
        }
        let open = match timeout(PAUSE, talk.listen()).await {
            Ok(open) => open?,
            Err(_pause) if search.found(talk.heard()) => {
                return Ok(format!("it said {}", excerpt(talk.heard())));
            }
            Err(_pause) => talk.listen().await?,
        };
        if open {
            continue;
        }
        return match (search.found(talk.heard()), talk.heard()) {
            (true, heard) => Ok(format!("it said {}", excerpt(heard))),
            (false, []) => Err(Broken::Closed),
            (false, heard) => {
                let wanted = expected(expect);
                Err(Broken::Refused(format!("it said {}, expected {wanted}", excerpt(heard))))
            }
        };
    }
}

/// A search in what comes piece by piece: all of it is looked through again only when it has grown by an eighth, or at a pause, so
/// that a server that sends byte after byte costs no more than one that sends all at once.
struct Search<'a> {
    expect: &'a Expect,
    searched: usize,
}

impl Search<'_> {
    const fn is_due(&self, length: usize) -> bool {
        length > self.searched + self.searched / 8
    }

    fn found(&mut self, heard: &[u8]) -> bool {
        if heard.len() == self.searched && self.searched > 0 {
            return false;
        }
        self.searched = heard.len();
        is_as_expected(self.expect, heard)
    }
}

/// Whether `bytes` are what is expected.
pub(crate) fn is_as_expected(expect: &Expect, bytes: &[u8]) -> bool {
    match expect {
        Expect::Contains(needle) => memchr::memmem::find(bytes, needle).is_some(),
        Expect::Matches(pattern) => pattern.is_match(bytes),
        Expect::Sha256(hash) => ring::digest::digest(&ring::digest::SHA256, bytes).as_ref() == hash,
    }
}

/// What is expected, for a sentence.
pub(crate) fn expected(expect: &Expect) -> String {
    match expect {
        Expect::Contains(bytes) => excerpt(bytes),
        Expect::Matches(pattern) => format!("a match of {}", excerpt(pattern.as_str().as_bytes())),
        Expect::Sha256(_) => "another hash".to_owned(),
    }
}
