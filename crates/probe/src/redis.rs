//! The redis check: AUTH where there is a password, PING, and ROLE where one is expected (RESP2; Redis, Valkey, KeyDB).

use holdfast_config::{RedisCheck, Role};

use crate::deadline::Deadline;
use crate::finding::{Finding, excerpt};
use crate::opened::{opened, password};
use crate::place::Place;
use crate::talk::{Broken, Talk, judged};
use crate::tls::{self, Offer};
use crate::transcript;

/// No line that matters is longer.
const LINE: usize = 1024;

pub(crate) async fn run(place: &Place<'_>, redis: &RedisCheck, deadline: Deadline<'_>) -> Finding {
    let what = format!("redis {}", place.address);
    let (means, deadline) = tls::any_means(redis.tls.as_ref(), Offer::Nothing, deadline).await;
    let (password, deadline) = password(redis.login.password.as_ref(), &what, deadline).await;
    let (mut talk, note) = match opened(place, means.as_ref(), deadline).await {
        Ok(opened) => opened,
        Err(finding) => return finding,
    };
    let password = match password {
        Ok(password) => password,
        Err(finding) => return finding,
    };
    let converse = async { Ok(converse(&mut talk, redis, password.as_deref()).await? + &note) };
    judged(&what, deadline, converse).await
}

async fn converse(
    talk: &mut Talk,
    redis: &RedisCheck,
    password: Option<&[u8]>,
) -> Result<String, Broken> {
    if let Some(password) = password {
        let user = redis.login.user.as_deref().map(str::as_bytes);
        let words: Vec<&[u8]> =
            [Some(&b"AUTH"[..]), user, Some(password)].into_iter().flatten().collect();
        let hiding = transcript::hide();
        talk.say(&command(&words)).await?;
        drop(hiding);
        simple(talk, "OK").await?;
    }
    talk.say(&command(&[b"PING"])).await?;
    simple(talk, "PONG").await?;
    let Some(wanted) = redis.role else { return Ok("PONG".to_owned()) };
    talk.say(&command(&[b"ROLE"])).await?;
    let role = role(talk).await?;
    let is = match role.as_slice() {
        b"master" => Role::Primary,
        b"slave" => Role::Replica,
        other => return Err(Broken::Refused(format!("its role is {}", excerpt(other)))),
    };
    let names = |role| if role == Role::Primary { "primary" } else { "replica" };
    if is == wanted {
        Ok(format!("PONG, {}", names(is)))
    } else {
        Err(Broken::Refused(format!("it is a {}, expected a {}", names(is), names(wanted))))
    }
}

/// A command as an array of bulk strings.
fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Reads a simple string, which must be `wanted`.
async fn simple(talk: &mut Talk, wanted: &str) -> Result<(), Broken> {
    let line = reply(talk).await?;
    match line.split_first() {
        Some((b'+', word)) if word == wanted.as_bytes() => Ok(()),
        _ => Err(Broken::Foreign(format!("it answers {}, expected {wanted}", excerpt(&line)))),
    }
}

/// The next line, unless it is an error of the server's.
async fn reply(talk: &mut Talk) -> Result<Vec<u8>, Broken> {
    let line = talk.line(LINE).await?;
    match line.split_first() {
        Some((b'-', error)) => Err(Broken::Refused(format!("it answers {}", excerpt(error)))),
        Some((b'+' | b'$' | b'*' | b':', _)) => Ok(line),
        _ => Err(Broken::Foreign(format!("the answer is not Redis's: {}", excerpt(&line)))),
    }
}

/// The first element of the array that ROLE answers.
async fn role(talk: &mut Talk) -> Result<Vec<u8>, Broken> {
    let array = reply(talk).await?;
    let bulk = reply(talk).await?;
    match (array.first(), bulk.first()) {
        (Some(b'*'), Some(b'$')) => talk.line(LINE).await,
        _ => Err(Broken::Foreign(format!("ROLE is answered by {}", excerpt(&array)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_carries_any_bytes() {
        assert_eq!(command(&[b"AUTH", b"a\r\n b"]), b"*2\r\n$4\r\nAUTH\r\n$5\r\na\r\n b\r\n");
    }
}
