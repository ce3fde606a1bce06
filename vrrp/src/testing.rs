//! What the tests of several modules share.

use std::net::IpAddr;

use crate::address::AddressList;
use crate::router::Params;
use crate::types::{Interval, Version, Vrid};

/// The bytes that `digits` write down.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits = digits.as_bytes();
    assert!(digits.len().is_multiple_of(2), "a byte has two digits");
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// The address written as `text`.
pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The addresses written as `texts`.
pub(crate) fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| address(text)).collect()
}

/// An interval of version 3.
pub(crate) fn interval(centiseconds: u16) -> Interval {
    Interval::from_centiseconds(centiseconds).unwrap()
}

/// Parameters with the defaults.
pub(crate) fn params(version: Version, vrid: u8, texts: &[&str]) -> Params {
    let list = AddressList::new(addresses(texts)).unwrap();
    Params::new(version, Vrid::new(vrid).unwrap(), list).unwrap()
}
