//! Messages of PostgreSQL's protocol: a type, a length that counts itself, and the body.

use crate::finding::excerpt;
use crate::talk::{Broken, Talk};

/// Length 8, and the number that asks for TLS.
pub(super) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// 3.0.
const VERSION: u32 = 3 << 16;

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) body: Vec<u8>,
}

pub(super) async fn read(talk: &mut Talk) -> Result<Message, Broken> {
    let head = talk.take(5).await?;
    let [kind, length @ ..] = <[u8; 5]>::try_from(head).unwrap_or_default();
    let length =
        usize::try_from(u32::from_be_bytes(length)).ok().and_then(|length| length.checked_sub(4));
    let length =
        length.ok_or_else(|| Broken::Foreign("the answer is not PostgreSQL's".to_owned()))?;
    // Another protocol's text would be a length of gigabytes.
    if !b"RESZKNDTC1ItsAGHWdcnV2".contains(&kind) {
        return Err(Broken::Foreign(format!(
            "the answer is not PostgreSQL's: it begins with {}",
            excerpt(&[kind])
        )));
    }
    Ok(Message { kind, body: talk.take(length).await? })
}

pub(super) async fn write(talk: &mut Talk, kind: u8, body: &[u8]) -> Result<(), Broken> {
    let length = u32::try_from(body.len() + 4).unwrap_or_default().to_be_bytes();
    talk.say(&[&[kind][..], &length, body].concat()).await
}

/// The start-up message, which has no type.
pub(super) fn start_up(user: &str, database: &str) -> Vec<u8> {
    let mut body = VERSION.to_be_bytes().to_vec();
    for text in ["user", user, "database", database, "application_name", "holdfast", ""] {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    let length = u32::try_from(body.len() + 4).unwrap_or_default().to_be_bytes();
    [&length[..], &body].concat()
}

/// The kind of an authentication request, and what belongs to it.
pub(super) fn authentication(body: &[u8]) -> Option<(u32, &[u8])> {
    let (kind, rest) = body.split_first_chunk()?;
    Some((u32::from_be_bytes(*kind), rest))
}

/// The first value of a data row; none when it is NULL.
pub(super) fn first_value(body: &[u8]) -> Option<&[u8]> {
    let (_columns, rest) = body.split_first_chunk::<2>()?;
    let (length, rest) = rest.split_first_chunk()?;
    // -1 is NULL.
    rest.get(..usize::try_from(i32::from_be_bytes(*length)).ok()?)
}

/// An ErrorResponse.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ServerError {
    /// Its SQLSTATE.
    pub(super) state: Vec<u8>,
    text: Vec<u8>,
}

impl ServerError {
    pub(super) fn read(body: &[u8]) -> Self {
        let mut error = Self::default();
        for field in body.split(|byte| *byte == 0) {
            match field.split_first() {
                Some((b'C', state)) => error.state = state.to_vec(),
                Some((b'M', text)) => error.text = text.to_vec(),
                _ => {}
            }
        }
        error
    }

    pub(super) fn refused(&self) -> Broken {
        let state = excerpt(&self.state);
        Broken::Refused(format!("it answers {} {}", state.trim_matches('"'), excerpt(&self.text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_are_those_of_the_protocol() {
        assert_eq!(start_up("a", "b")[..16], *b"\0\0\0\x35\0\x03\0\0user\0a\0d");
        assert_eq!(first_value(b"\0\x01\0\0\0\x01t"), Some(&b"t"[..]));
        assert_eq!(first_value(b"\0\x01\xff\xff\xff\xff"), None);
        assert_eq!(first_value(b"\0\x01\x7f\xff\xff\xfft"), None);
        assert_eq!(authentication(b"\0\0\0\x0aSCRAM\0"), Some((10, &b"SCRAM\0"[..])));
        let error = ServerError::read(b"SFATAL\0C57P03\0Mthe database system is starting up\0\0");
        assert_eq!(error.state, b"57P03");
        assert_eq!(error.text, b"the database system is starting up");
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _all = (first_value(&bytes), authentication(&bytes), ServerError::read(&bytes));
        }
    }
}
