//! Values of statements: numbers, switches, times.

use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::ledger::Ledger;
use crate::tree::Statement;

/// What keepalived makes of a value that it can't use.
const GOES_ON: &str = "keepalived logs it and goes on with its default; correct it";

/// The whole number that is word `index`.
pub(crate) fn number(
    statement: &Statement,
    index: usize,
    range: RangeInclusive<i64>,
    ledger: &mut Ledger,
) -> Option<i64> {
    let read = statement.word(index).parse().ok().filter(|number| range.contains(number));
    if read.is_none() {
        let (first, last) = (range.start(), range.end());
        let message = format!(
            "`{}` takes a whole number from {first} to {last}, not `{}`",
            statement.keyword(),
            statement.word(index)
        );
        ledger.wrong(statement.id, statement.column(index), message, GOES_ON);
    }
    read
}

/// The same, and the statement means the same.
pub(crate) fn exact_number(
    statement: &Statement,
    range: RangeInclusive<i64>,
    ledger: &mut Ledger,
) -> Option<i64> {
    let read = number(statement, 1, range, ledger)?;
    ledger.exact(statement.id);
    Some(read)
}

/// A switch: on without a word.
pub(crate) fn switch(statement: &Statement, ledger: &mut Ledger) -> Option<bool> {
    match statement.word(1) {
        "" | "on" | "true" | "yes" => Some(true),
        "off" | "false" | "no" => Some(false),
        other => {
            let message = format!("`{}` takes on or off, not `{other}`", statement.keyword());
            ledger.wrong(statement.id, statement.column(1), message, GOES_ON);
            None
        }
    }
}

/// A switch that keepalived takes for on whatever stands behind it; told where that says something else.
pub(crate) fn only_on(statement: &Statement, ledger: &mut Ledger) -> bool {
    let word = statement.word(1);
    if matches!(word, "" | "on" | "true" | "yes") {
        ledger.exact(statement.id);
    } else {
        let note = format!(
            "`{word}` is not looked at: in a virtual_server keepalived silently takes it for on, and so does the conversion; remove the line if off is meant"
        );
        ledger.note(statement.id, note);
    }
    true
}

/// The seconds that are word `index`, in microseconds: a decimal, up to `most` seconds.
pub(crate) fn time(
    statement: &Statement,
    index: usize,
    most: u64,
    ledger: &mut Ledger,
) -> Option<u64> {
    let read = micros(statement.word(index)).filter(|micros| *micros <= most * 1_000_000);
    if read.is_none() {
        let message = format!(
            "`{}` takes seconds from 0 to {most}, not `{}`",
            statement.keyword(),
            statement.word(index)
        );
        ledger.wrong(statement.id, statement.column(index), message, GOES_ON);
    }
    read
}

/// A decimal of seconds in microseconds; what is finer is cut.
fn micros(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    if !whole.chars().chain(part.chars()).all(|letter| letter.is_ascii_digit()) {
        return None;
    }
    let seconds: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: String = part.chars().chain("000000".chars()).take(6).collect();
    seconds.checked_mul(1_000_000)?.checked_add(part.parse().ok()?)
}

/// Microseconds as Holdfast writes a duration: whole seconds or milliseconds, at least one of the latter where it is not 0.
pub(crate) fn duration(micros: u64) -> String {
    if micros.is_multiple_of(1_000_000) {
        return format!("{}s", micros / 1_000_000);
    }
    format!("{}ms", (micros / 1000).max(1))
}

/// Tells of a word that names nothing, or that does not belong there.
pub(crate) fn refuse_word(
    statement: &Statement,
    index: usize,
    what: impl Into<String>,
    ledger: &mut Ledger,
) {
    ledger.wrong(statement.id, statement.column(index), what, GOES_ON);
}

/// Tells of a value that is wrong in another way.
pub(crate) fn refuse(statement: &Statement, index: usize, what: impl Display, ledger: &mut Ledger) {
    let message = format!("`{}`: {what}", statement.keyword());
    ledger.wrong(statement.id, statement.column(index), message, GOES_ON);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_decimals() {
        assert_eq!(micros("2.71828"), Some(2_718_280));
        assert_eq!(micros("3"), Some(3_000_000));
        assert_eq!(micros(".5"), Some(500_000));
        assert_eq!(micros("1s"), None);
        assert_eq!(micros("99999999999999999999"), None);
        assert_eq!(duration(1_500_000), "1500ms");
        assert_eq!(duration(2_000_000), "2s");
        assert_eq!(duration(10), "1ms");
    }
}
