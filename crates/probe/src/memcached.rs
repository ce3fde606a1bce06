//! The memcached check: its version, in the text protocol.

use crate::deadline::Deadline;
use crate::finding::{Finding, excerpt};
use crate::opened::opened;
use crate::place::Place;
use crate::talk::{Broken, judged};

pub(crate) async fn run(place: &Place<'_>, deadline: Deadline<'_>) -> Finding {
    let what = format!("memcached {}", place.address);
    let (mut talk, _) = match opened(place, None, deadline).await {
        Ok(opened) => opened,
        Err(finding) => return finding,
    };
    let converse = async {
        talk.say(b"version\r\n").await?;
        let line = talk.line(256).await?;
        match line.strip_prefix(b"VERSION ") {
            Some(version) => Ok(format!("version {}", excerpt(version).trim_matches('"'))),
            None if line.starts_with(b"SERVER_ERROR") => {
                Err(Broken::Refused(format!("it answers {}", excerpt(&line))))
            }
            None => {
                Err(Broken::Foreign(format!("the answer is not memcached's: {}", excerpt(&line))))
            }
        }
    };
    judged(&what, deadline, converse).await
}
