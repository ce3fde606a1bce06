//! One request of HTTP/1.1 of whose answer the head is enough: what is written and one buffer, which grows with the head that comes.
//!
//! hyper, which reads bodies ([`mod@super::exchange`]), has two buffers of 8 KiB and a good deal besides for each connection. Of ten thousand
//! checks most ask for a status.

use httparse::{EMPTY_HEADER, ParserConfig, Status};
use hyper::{Request, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::HEADER_LIMIT;
use super::exchange::{asked, shown};
use crate::talk::{Broken, Stream};
use crate::transcript;

/// So many header lines may an answer have, as in hyper.
const LINES_MAX: usize = 100;

/// What most heads have room in, in bytes.
const ROOM: usize = 512;

/// What a check wants to know of an answer's head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    /// The header of that name.
    pub(super) location: Option<Vec<u8>>,
}

/// Sends `request`, which has no body, and reads the head of the answer; what is told before it (103, RFC 8297) is passed over.
///
/// # Errors
/// There is no answer, or none of HTTP, or one of more than [`HEADER_LIMIT`] bytes.
pub(super) async fn read<B>(
    mut stream: Box<dyn Stream>,
    request: &Request<B>,
) -> Result<Head, Broken> {
    transcript::said(|| asked(request));
    stream.write_all(&written(request)).await.map_err(Broken::Io)?;
    stream.flush().await.map_err(Broken::Io)?;
    let mut heard = Vec::with_capacity(ROOM);
    let mut left = HEADER_LIMIT;
    loop {
        if left == 0 {
            let why = format!("the head of its answer has more than {HEADER_LIMIT} bytes");
            return Err(Broken::Foreign(why));
        }
        let before = heard.len();
        let limit = u64::try_from(left).unwrap_or(u64::MAX);
        let count = (&mut stream).take(limit).read_buf(&mut heard).await.map_err(Broken::Io)?;
        if count == 0 {
            return Err(Broken::Closed);
        }
        left -= count.min(left);
        // The first words tell what is no HTTP; from then on a head is looked through when it has an end.
        if before > 0 && !ends(&heard, before) {
            continue;
        }
        while let Some((head, length)) = parse(&heard)? {
            let status = head.status;
            if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(head);
            }
            heard.drain(..length);
        }
    }
}

/// The request as it goes over the wire.
fn written<B>(request: &Request<B>) -> Vec<u8> {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri()).into_bytes();
    for (name, value) in request.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// Whether an empty line ends in what came after the first `before` bytes.
fn ends(heard: &[u8], before: usize) -> bool {
    let new = heard.get(before.saturating_sub(3)..).unwrap_or_default();
    memchr::memmem::find(new, b"\n\r\n").is_some() || memchr::memmem::find(new, b"\n\n").is_some()
}

/// What is not quite as RFC 9112 has it and tells nothing of the server: a folded line (§5.2), a space before the colon, a line that is no header
/// (§5.1) are passed over or read on, as keepalived and browsers do.
fn lenient() -> ParserConfig {
    let mut lenient = ParserConfig::default();
    lenient
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    lenient
}

/// The head at the beginning of `heard` and how many bytes it has; none while more has to come.
fn parse(heard: &[u8]) -> Result<Option<(Head, usize)>, Broken> {
    let foreign = |why: &str| Broken::Foreign(format!("the answer is not valid HTTP: {why}"));
    let mut lines = [EMPTY_HEADER; LINES_MAX];
    let mut answer = httparse::Response::new(&mut lines);
    let length = match lenient().parse_response(&mut answer, heard) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(foreign(&error.to_string())),
    };
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or_else(|| foreign("its status is no number from 100 to 999"))?;
    transcript::heard(|| {
        let version = if answer.version == Some(0) { "HTTP/1.0" } else { "HTTP/1.1" };
        let lines = answer.headers.iter().map(|line| (line.name, line.value));
        shown(format!("{version} {status}\r\n"), lines)
    });
    let location = answer.headers.iter().find(|line| line.name.eq_ignore_ascii_case("location"));
    let location = location.map(|line| line.value.to_vec());
    Ok(Some((Head { status, location }, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_found_wherever_the_pieces_are_cut() {
        for whole in [&b"HTTP/1.1 200 OK\r\na: b\r\n\r\n"[..], b"HTTP/1.0 200\n\n"] {
            for cut in 1..whole.len() {
                assert!(ends(whole, cut), "{cut}");
            }
            assert!(!ends(&whole[..whole.len() - 1], 0));
            let (head, length) = parse(whole).unwrap().unwrap();
            assert_eq!((head.status.as_u16(), length), (200, whole.len()));
        }
    }

    #[test]
    fn more_lines_than_there_may_be_are_no_answer() {
        let with = |lines: usize| {
            let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
            head.extend(b"a: b\r\n".repeat(lines));
            head.extend(b"\r\n");
            head
        };
        assert!(parse(&with(LINES_MAX)).unwrap().is_some());
        assert!(parse(&with(LINES_MAX + 1)).is_err());
    }
}
