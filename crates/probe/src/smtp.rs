//! The smtp check: greeting, EHLO, STARTTLS where it is asked for, QUIT (RFC 5321, RFC 3207).

use holdfast_config::SmtpCheck;

use crate::deadline::Deadline;
use crate::finding::{Finding, excerpt};
use crate::opened::opened;
use crate::place::Place;
use crate::talk::{Broken, Talk, judged};
use crate::tls::{self, Means, Offer};

/// RFC 5321 §4.5.3.1.5 has 512; servers say more.
const LINE: usize = 2048;

pub(crate) async fn run(place: &Place<'_>, smtp: &SmtpCheck, deadline: Deadline<'_>) -> Finding {
    let what = format!("smtp {}", place.address);
    let (means, deadline) = tls::any_means(smtp.starttls.as_ref(), Offer::Nothing, deadline).await;
    match opened(place, None, deadline).await {
        Err(finding) => finding,
        Ok((talk, _)) => {
            let converse = converse(talk, place, smtp, means.as_ref(), deadline);
            judged(&what, deadline, converse).await
        }
    }
}

async fn converse(
    mut talk: Talk,
    place: &Place<'_>,
    smtp: &SmtpCheck,
    means: Option<&Means<'_>>,
    deadline: Deadline<'_>,
) -> Result<String, Broken> {
    let greeting = reply(&mut talk, 220, "the greeting").await?;
    let hello = format!("EHLO {}\r\n", smtp.hello);
    talk.say(hello.as_bytes()).await?;
    let extensions = reply(&mut talk, 250, "EHLO").await?;
    let mut note = String::new();
    if let Some(means) = means {
        let offers = extensions.iter().any(|line| line.eq_ignore_ascii_case(b"STARTTLS"));
        if !offers {
            return Err(Broken::Refused("it does not offer STARTTLS".to_owned()));
        }
        talk.say(b"STARTTLS\r\n").await?;
        reply(&mut talk, 220, "STARTTLS").await?;
        let secured = tls::secure(talk.into_stream(), place, means, None, deadline).await?;
        note = secured.note;
        talk = Talk::over(secured.stream);
        talk.say(hello.as_bytes()).await?;
        reply(&mut talk, 250, "EHLO under TLS").await?;
    }
    // It said what was to be heard: how it takes the farewell changes nothing.
    talk.say(b"QUIT\r\n").await?;
    let _farewell = reply(&mut talk, 221, "QUIT").await;
    let greeting = greeting.first().map(|line| excerpt(line)).unwrap_or_default();
    let secured = if means.is_some() { ", STARTTLS" } else { "" };
    Ok(format!("220 {greeting}{secured}{note}"))
}

/// The lines of a reply without their code, which must be `wanted`, to `what`.
async fn reply(talk: &mut Talk, wanted: u16, what: &str) -> Result<Vec<Vec<u8>>, Broken> {
    let mut lines = vec![];
    loop {
        let line = talk.line(LINE).await?;
        let (code, is_last, text) = parts(&line).ok_or_else(|| {
            Broken::Foreign(format!("the answer to {what} is not SMTP: {}", excerpt(&line)))
        })?;
        if code != wanted {
            return Err(Broken::Refused(format!(
                "{what} is answered by {}, expected {wanted}",
                excerpt(&line)
            )));
        }
        lines.push(text.to_vec());
        if is_last {
            return Ok(lines);
        }
    }
}

/// The code of a reply's line, whether the line is the last, and its text (RFC 5321 §4.2).
fn parts(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (code, rest) = line.split_at_checked(3)?;
    let code =
        str::from_utf8(code).ok().filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()))?;
    let code = code.parse().ok()?;
    match rest.split_first() {
        None => Some((code, true, rest)),
        Some((b' ', text)) => Some((code, true, text)),
        Some((b'-', text)) => Some((code, false, text)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_replies_are_taken_apart() {
        assert_eq!(parts(b"250-SIZE 10"), Some((250, false, &b"SIZE 10"[..])));
        assert_eq!(parts(b"250 OK"), Some((250, true, &b"OK"[..])));
        assert_eq!(parts(b"221"), Some((221, true, &b""[..])));
        for line in [&b"+OK POP3"[..], b"SSH-2.0", b"22", b"", b"250_x", b"\xff\xff\xff "] {
            assert_eq!(parts(line), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(line in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _parts = parts(&line);
        }
    }
}
