//! What the attribute sets share: reading and writing of single payloads.

use netlink_packet_core::{DecodeError, DefaultNla, NlaBuffer, NlasIterator, Parseable};

/// IPv4 uses the first four bytes; the rest is 0.
pub(super) const ADDRESS_LEN: usize = 16;

/// Reads the attributes of a nest one by one.
pub(super) fn parse_all<A>(
    payload: &[u8],
    parse: impl Fn(&NlaBuffer<&[u8]>) -> Result<A, DecodeError>,
) -> Result<Vec<A>, DecodeError> {
    NlasIterator::new(payload).map(|attribute| parse(&attribute?)).collect()
}

/// An attribute that has no name here.
pub(super) fn parse_other(buffer: &NlaBuffer<&[u8]>) -> Result<DefaultNla, DecodeError> {
    DefaultNla::parse(buffer)
}

/// An address of 4 to 16 bytes, filled up with zeros: the kernel takes any of these lengths and answers 16.
pub(super) fn parse_address(payload: &[u8]) -> Result<[u8; ADDRESS_LEN], DecodeError> {
    let mut address = [0; ADDRESS_LEN];
    match address.get_mut(..payload.len()) {
        Some(prefix) if payload.len() >= 4 => prefix.copy_from_slice(payload),
        Some(_) | None => {
            return Err(DecodeError::from(format!(
                "an IPVS address has 4 to 16 bytes, got {}",
                payload.len()
            )));
        }
    }
    Ok(address)
}

/// The text up to the first NUL, or all of it.
pub(super) fn parse_text(payload: &[u8]) -> Result<String, DecodeError> {
    let text = payload.split(|byte| *byte == 0).next().unwrap_or_default();
    match std::str::from_utf8(text) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(DecodeError::from(format!("text that is not UTF-8: {error}"))),
    }
}

/// The length of a text's payload: with its NUL.
pub(super) const fn text_len(text: &str) -> usize {
    text.len() + 1
}

/// Writes `text` and a NUL into a buffer of [`text_len`].
pub(super) fn emit_text(text: &str, buffer: &mut [u8]) {
    if let Some((nul, rest)) = buffer.split_last_mut() {
        rest.copy_from_slice(text.as_bytes());
        *nul = 0;
    }
}

/// Two halves of a payload that an attribute packs: `struct ip_vs_flags`.
pub(super) fn split_word(payload: &[u8]) -> Result<([u8; 4], [u8; 4]), DecodeError> {
    payload
        .split_first_chunk::<4>()
        .and_then(|(first, rest)| Some((*first, <[u8; 4]>::try_from(rest).ok()?)))
        .ok_or_else(|| DecodeError::from(format!("IPVS flags have 8 bytes, got {}", payload.len())))
}
