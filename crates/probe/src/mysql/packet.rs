//! Packets of MySQL's protocol: three bytes of length, a number, and the body.

use crate::finding::excerpt;
use crate::talk::{Broken, Talk};

/// A packet.
#[derive(Debug)]
pub(super) struct Packet {
    /// Its number in the exchange.
    pub(super) number: u8,
    pub(super) body: Vec<u8>,
}

pub(super) async fn read(talk: &mut Talk) -> Result<Packet, Broken> {
    let head = talk.take(4).await?;
    let [low, middle, high, number] = head.try_into().unwrap_or_default();
    let length = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
    // What is too long for a conversation is refused there, before anything of it is read.
    Ok(Packet { number, body: talk.take(length).await? })
}

pub(super) async fn write(talk: &mut Talk, number: u8, body: &[u8]) -> Result<(), Broken> {
    let [low, middle, high, ..] = u32::try_from(body.len()).unwrap_or_default().to_le_bytes();
    talk.say(&[&[low, middle, high, number][..], body].concat()).await
}

/// The number and the words of an ERR packet.
pub(super) fn error(body: &[u8]) -> Option<(u16, String)> {
    let (0xff, rest) = body.split_first().map(|(first, rest)| (*first, rest))? else { return None };
    let (number, text) = rest.split_first_chunk::<2>()?;
    let number = u16::from_le_bytes(*number);
    // `#` and SQLSTATE, once the client's abilities are known.
    let text = match text.split_first() {
        Some((b'#', state)) => state.get(5..).unwrap_or_default(),
        _ => text,
    };
    Some((number, format!("error {number} {}", excerpt(text))))
}

/// An answer that can't be.
pub(super) fn foreign(what: &str, body: &[u8]) -> Broken {
    Broken::Foreign(format!("{what} is not MySQL's: {}", excerpt(body)))
}

/// A place in a packet's body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    /// Text that ends with a NUL.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = self.bytes(end)?;
        self.byte()?;
        Some(text)
    }

    /// A number of one to nine bytes.
    pub(super) fn number(&mut self) -> Option<u64> {
        let count = match self.byte()? {
            small @ 0..=0xfa => return Some(u64::from(small)),
            0xfc => 2,
            0xfd => 3,
            0xfe => 8,
            _ => return None,
        };
        let bytes = self.bytes(count)?;
        Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// Text with its length before it; none inside for NULL.
    pub(super) fn value(&mut self) -> Option<Option<&'a [u8]>> {
        if self.0.first() == Some(&0xfb) {
            self.byte()?;
            return Some(None);
        }
        let length = usize::try_from(self.number()?).ok()?;
        self.bytes(length).map(Some)
    }
}
