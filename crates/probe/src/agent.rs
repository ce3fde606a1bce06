//! The agent check: a line of HAProxy's agent-check text, over a connection.

use holdfast_health::Feedback;

use crate::deadline::Deadline;
use crate::finding::{Finding, excerpt};
use crate::opened::opened;
use crate::place::Place;
use crate::talk::{Broken, Talk, judged};
use crate::words;

/// HAProxy reads no more of it.
const LINE: usize = 16 * 1024;

pub(crate) async fn run(place: &Place<'_>, send: Option<&[u8]>, deadline: Deadline<'_>) -> Finding {
    let what = format!("agent {}", place.address);
    let (mut talk, _) = match opened(place, None, deadline).await {
        Ok(opened) => opened,
        Err(finding) => return finding,
    };
    let mut feedback = Feedback::NONE;
    let converse = async {
        if let Some(send) = send {
            talk.say(send).await?;
        }
        let line = line(&mut talk).await?;
        let Some(said) = words::read(&line, |_no_agents_word| None) else {
            return Err(Broken::Foreign(format!(
                "the answer is not an agent's: {}",
                excerpt(&line)
            )));
        };
        let words = said.sentence();
        let sentence = format!("the agent says {}", excerpt(words.as_bytes()).trim_matches('"'));
        feedback = said.feedback;
        if said.down.is_some() { Err(Broken::Refused(sentence)) } else { Ok(sentence) }
    };
    judged(&what, deadline, converse).await.advising(feedback)
}

/// The agent's line, which the end of the connection ends as well.
async fn line(talk: &mut Talk) -> Result<Vec<u8>, Broken> {
    match talk.line(LINE).await {
        Err(Broken::Closed) if !talk.heard().is_empty() => Ok(talk.heard().to_vec()),
        line => line,
    }
}
