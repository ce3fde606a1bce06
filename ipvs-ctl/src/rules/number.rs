//! Numbers and addresses as the C library reads them.

use std::net::Ipv4Addr;

/// A decimal number that takes the whole text, as `strtol` with base 10 reads it: blanks and a sign may come first. `None` when it is
/// none or lies outside of `range`.
pub(super) fn decimal(text: &[u8], range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let (number, rest) = leading(text)?;
    (rest.is_empty() && range.contains(&number)).then_some(number)
}

/// What glibc's `atoi` makes of a text: its number as far as it goes, or 0. Beyond the range of an `i64` it stays at its end; of that
/// the lower 32 bits count, so that 4294967360 is 64.
#[expect(clippy::cast_possible_truncation, reason = "atoi does so")]
pub(super) fn leading_number(text: &[u8]) -> i32 {
    let text = skip_blanks(text);
    let (negative, digits) = sign(text);
    let mut number = 0_i64;
    for digit in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
        let digit = i64::from(digit - b'0');
        number = number.saturating_mul(10);
        number = if negative { number.saturating_sub(digit) } else { number.saturating_add(digit) };
    }
    number as i32
}

/// The number at the beginning and what follows it; `None` without a digit and beyond an `i64`.
fn leading(text: &[u8]) -> Option<(i64, &[u8])> {
    let (negative, digits) = sign(skip_blanks(text));
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at(length);
    if digits.is_empty() {
        return None;
    }
    let mut number = 0_i64;
    for digit in digits {
        let digit = i64::from(digit - b'0');
        number = number.checked_mul(10)?;
        number = if negative { number.checked_sub(digit)? } else { number.checked_add(digit)? };
    }
    Some((number, rest))
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _unsigned => (false, text),
    }
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| is_blank(**byte)).count();
    text.get(blanks..).unwrap_or_default()
}

/// `isspace` of the C locale.
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// An IPv4 address as `inet_aton` reads it: one to four numbers, the last one filling what is left, each decimal, octal after a
/// `0`, hexadecimal after `0x`. What follows a blank counts for nothing.
pub(super) fn aton(text: &[u8]) -> Option<Ipv4Addr> {
    let mut rest = text;
    let (mut address, mut parts) = (0_u32, 0_u32);
    loop {
        let (number, after) = part(rest)?;
        match after {
            [b'.', after @ ..] if parts < 3 && number <= 0xff => {
                address |= number << (24 - 8 * parts);
                parts += 1;
                rest = after;
            }
            [] => {
                return last(address, number, parts);
            }
            [next, ..] if is_blank(*next) => {
                return last(address, number, parts);
            }
            _garbage => return None,
        }
    }
}

fn last(address: u32, number: u32, parts: u32) -> Option<Ipv4Addr> {
    let greatest = u32::MAX.checked_shr(8 * parts)?;
    (number <= greatest).then(|| Ipv4Addr::from(address | number))
}

/// One number of an address and what follows it.
fn part(text: &[u8]) -> Option<(u32, &[u8])> {
    if !text.first()?.is_ascii_digit() {
        return None;
    }
    let (radix, digits) = match text {
        [b'0', b'x' | b'X', hex @ ..] if hex.first().is_some_and(u8::is_ascii_hexdigit) => {
            (16, hex)
        }
        [b'0', ..] => (8, text),
        _decimal => (10, text),
    };
    let length = digits.iter().take_while(|byte| char::from(**byte).is_digit(radix)).count();
    let (digits, rest) = digits.split_at(length);
    let mut number = 0_u32;
    for digit in digits {
        number = number.checked_mul(radix)?.checked_add(char::from(*digit).to_digit(radix)?)?;
    }
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_strtols() {
        for (text, number) in [
            ("80", Some(80)),
            ("+80", Some(80)),
            (" \t80", Some(80)),
            ("080", Some(80)),
            ("80 ", None),
            ("", None),
            ("-", None),
            ("0x50", None),
            ("-1", None),
            ("65536", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(decimal(text.as_bytes(), 0..=65535), number, "{text:?}");
        }
    }

    #[test]
    fn the_beginning_of_a_text_is_atois() {
        for (text, number) in [
            ("64", 64),
            ("64x", 64),
            (" 64", 64),
            ("x", 0),
            ("", 0),
            ("-3", -3),
            ("4294967360", 64),
            ("99999999999999999999", -1),
        ] {
            assert_eq!(leading_number(text.as_bytes()), number, "{text:?}");
        }
    }

    #[test]
    fn addresses_are_inet_atons() {
        for (text, address) in [
            ("10.0.0.1", Some("10.0.0.1")),
            ("10.1", Some("10.0.0.1")),
            ("10.1.2", Some("10.1.0.2")),
            ("64", Some("0.0.0.64")),
            ("0x0a000001", Some("10.0.0.1")),
            ("012.0.0.1", Some("10.0.0.1")),
            ("10.0.0.1 x", Some("10.0.0.1")),
            ("4294967295", Some("255.255.255.255")),
            ("4294967296", None),
            ("10.0.0.256", None),
            ("10.0.0.0.1", None),
            ("256.0.0.1", None),
            ("10.0.0.", None),
            ("10.0.0.1x", None),
            ("08", None),
            ("0x", None),
            ("", None),
            (" 10.0.0.1", None),
        ] {
            let expected = address.map(|text| text.parse::<Ipv4Addr>());
            assert_eq!(aton(text.as_bytes()).map(Ok), expected, "{text:?}");
        }
    }
}
