//! The agent check: HAProxy's agent-check text (configuration manual §5.2, `agent-check`), as a verdict.
//!
//! An agent says words on one line, and of what they say this looks at whether the server may have new connections. Weights above
//! zero (`75%`) and `maxconn:` pass and change no weight.

use crate::deadline::Deadline;
use crate::finding::{Finding, excerpt, first_line};
use crate::opened::opened;
use crate::place::Place;
use crate::talk::{Broken, judged};

/// HAProxy reads no more of it.
const LINE: usize = 16 * 1024;

/// What an agent says of its server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// New connections are welcome.
    In(String),
    /// They are not: which word says so, and why.
    Out(String),
}

pub(crate) async fn run(place: &Place<'_>, send: Option<&[u8]>, deadline: Deadline) -> Finding {
    let what = format!("agent {}", place.address);
    let (mut talk, _) = match opened(place, None, deadline).await {
        Ok(opened) => opened,
        Err(finding) => return finding,
    };
    let converse = async {
        if let Some(send) = send {
            talk.say(send).await?;
        }
        let line = line(&mut talk).await?;
        match read(&line) {
            Some(Word::In(said)) => Ok(said),
            Some(Word::Out(said)) => Err(Broken::Refused(said)),
            None => {
                Err(Broken::Foreign(format!("the answer is not an agent's: {}", excerpt(&line))))
            }
        }
    };
    judged(&what, deadline, converse).await
}

/// The agent's line, which the end of the connection ends as well.
async fn line(talk: &mut crate::talk::Talk) -> Result<Vec<u8>, Broken> {
    match talk.line(LINE).await {
        Err(Broken::Closed) if !talk.heard().is_empty() => Ok(talk.heard().to_vec()),
        line => line,
    }
}

/// What an agent's line says; none when a word of it is unknown or there is none.
fn read(line: &[u8]) -> Option<Word> {
    let text = str::from_utf8(line).ok()?;
    // What follows a `#` is the reason.
    let (words, reason) = match text.split_once('#') {
        Some((words, reason)) => (words, first_line(reason.as_bytes())),
        None => (text, String::new()),
    };
    let mut out = None;
    let mut said = vec![];
    for word in words.split([' ', '\t', ',', '\r']).filter(|word| !word.is_empty()) {
        let lower = word.to_ascii_lowercase();
        let number = |digits: &str| {
            digits.parse::<u32>().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let is_out = match lower.as_str() {
            "up" | "ready" => false,
            "down" | "failed" | "stopped" | "maint" | "drain" => true,
            percent if percent.ends_with('%') => number(percent.trim_end_matches('%'))? == 0,
            limit => {
                number(limit.strip_prefix("maxconn:")?)?;
                false
            }
        };
        if is_out && out.is_none() {
            out = Some(lower.clone());
        }
        said.push(lower);
    }
    if said.is_empty() {
        return None;
    }
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    Some(match out {
        Some(word) => Word::Out(format!("the agent says {word}{because}")),
        None => Word::In(format!(
            "the agent says {}{because}",
            excerpt(said.join(" ").as_bytes()).trim_matches('"')
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_words_of_haproxys_manual_are_understood() {
        for line in ["up", "READY\r", "75%", "up 100%", "maxconn:30", "ready, 50% maxconn:10", "1%"]
        {
            assert!(matches!(read(line.as_bytes()), Some(Word::In(_))), "{line}");
        }
        for (line, says) in [
            ("down#disk full", "the agent says down: disk full"),
            ("drain", "the agent says drain"),
            ("maint#for an hour\x07", "the agent says maint: for an hour\u{fffd}"),
            ("stopped", "the agent says stopped"),
            ("up 0%", "the agent says 0%"),
            ("75% failed", "the agent says failed"),
        ] {
            assert_eq!(read(line.as_bytes()), Some(Word::Out(says.to_owned())), "{line}");
        }
        for line in [
            "",
            "#why",
            "hello",
            "HTTP/1.1 200 OK",
            "%",
            "-5%",
            "maxconn:",
            "maxconn:x",
            "\u{663}%",
        ] {
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
        assert_eq!(read(b"\xff"), None);
    }

    proptest! {
        #[test]
        fn no_text_brings_it_down(line in ".{0,80}", bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _word = (read(line.as_bytes()), read(&bytes));
        }
    }
}
