//! When a certificate ends, read from its bytes (RFC 5280 §4.1). Nothing else is: whether it is valid, rustls has judged.

/// The tags of DER that lie on the way (X.690 §8).
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

/// The `notAfter` of a certificate in DER, in seconds since 1970; none when these are not the bytes of a certificate.
pub(super) fn not_after(der: &[u8]) -> Option<i64> {
    let (certificate, _) = value(der, SEQUENCE)?;
    let (body, _) = value(certificate, SEQUENCE)?;
    // The version has a default and may be missing.
    let body = value(body, VERSION).map_or(body, |(_, rest)| rest);
    let (_serial, body) = value(body, INTEGER)?;
    let (_signature, body) = value(body, SEQUENCE)?;
    let (_issuer, body) = value(body, SEQUENCE)?;
    let (validity, _) = value(body, SEQUENCE)?;
    let (_not_before, rest) =
        value(validity, UTC_TIME).or_else(|| value(validity, GENERALIZED_TIME))?;
    match value(rest, UTC_TIME) {
        Some((text, _)) => {
            let (year, rest) = number(text, 2)?;
            // RFC 5280 §4.1.2.5.1.
            seconds(if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        None => {
            let (text, _) = value(rest, GENERALIZED_TIME)?;
            let (year, rest) = number(text, 4)?;
            seconds(year, rest)
        }
    }
}

/// The value with `tag` at the beginning of `der`, and what follows it.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        // A certificate of more than 64 KiB comes through no handshake.
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x0f))?;
            (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A number of `digits` decimal digits, and what follows it.
fn number(text: &[u8], digits: usize) -> Option<(i64, &[u8])> {
    let (number, rest) = text.split_at_checked(digits)?;
    let value = number.iter().try_fold(0, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
    });
    Some((value?, rest))
}

/// `MMDDHHMMSSZ` of `year`, in seconds since 1970.
fn seconds(year: i64, text: &[u8]) -> Option<i64> {
    let (month, text) = number(text, 2)?;
    let (day, text) = number(text, 2)?;
    let (hour, text) = number(text, 2)?;
    let (minute, text) = number(text, 2)?;
    let (second, text) = number(text, 2)?;
    let fits = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61
        && text == b"Z";
    fits.then(|| ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar: years begin in March, so that the leap day is the last.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year
        - 719_468
}

/// The date, in UTC, of a moment in seconds since 1970: `2026-12-05`.
pub(super) fn date(seconds: i64) -> String {
    let shifted = seconds.div_euclid(24 * 3600) + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = era * 400 + year + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_end_of_a_real_certificate_is_found_in_either_form_of_time() {
        for (year, month, day, end) in [
            (2031, 2, 3, 1_927_843_200),
            (2049, 12, 31, 2_524_521_600),
            (2051, 1, 1, 2_556_144_000),
        ] {
            let mut parameters =
                rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            parameters.not_after = rcgen::date_time_ymd(year, month, day);
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = parameters.self_signed(&key).unwrap();
            assert_eq!(not_after(certificate.der()), Some(end), "{year}");
            assert_eq!(date(end), format!("{year}-{month:02}-{day:02}"));
            for cut in 0..100 {
                assert_eq!(not_after(&certificate.der()[..cut]), None, "{cut} bytes");
            }
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (-1, "1969-12-31"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _end = not_after(&bytes);
        }

        #[test]
        fn a_date_and_its_days_agree(day in -500_000i64..2_000_000) {
            let text = date(day * 24 * 3600);
            let mut parts = text.rsplitn(3, '-').map(|part| part.parse::<i64>().unwrap());
            let (d, m, y) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            prop_assert_eq!(days(y, m, d), day);
        }
    }
}
