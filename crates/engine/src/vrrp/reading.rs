//! What a watcher says of the thing that it watches.

use serde::{Deserialize, Serialize};

/// How many bytes of a sentence are kept; it may come from a script.
pub const SENTENCE_LIMIT: usize = 256;

/// What is said of a tracker that has read nothing yet.
pub const WAITS: &str = "waits for its first result";

/// What a tracker stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing is known yet.
    Unknown,
    /// As it should be.
    Up,
    /// Not as it should be.
    Down,
    /// The whole number of a file. 0 counts as up and any other number as down.
    Value(i64),
}

impl Level {
    /// Whether it is as it should be; none while nothing is known.
    pub const fn is_up(self) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::Up | Self::Value(0) => Some(true),
            Self::Down | Self::Value(_) => Some(false),
        }
    }
}

/// A level and why it is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    level: Level,
    sentence: String,
}

impl Reading {
    /// `level`, and a sentence for people that says what was seen: `exit status 1`. Lower case, no full stop; control characters
    /// become spaces, and what is beyond [`SENTENCE_LIMIT`] bytes is cut off.
    pub fn new(level: Level, sentence: impl AsRef<str>) -> Self {
        let mut kept = String::new();
        for c in sentence.as_ref().chars() {
            if kept.len() + c.len_utf8() > SENTENCE_LIMIT {
                break;
            }
            kept.push(if c.is_control() { ' ' } else { c });
        }
        Self { level, sentence: kept }
    }

    /// As it should be.
    pub fn up(sentence: impl AsRef<str>) -> Self {
        Self::new(Level::Up, sentence)
    }

    /// Not as it should be.
    pub fn down(sentence: impl AsRef<str>) -> Self {
        Self::new(Level::Down, sentence)
    }

    /// A file's number.
    pub fn value(value: i64, sentence: impl AsRef<str>) -> Self {
        Self::new(Level::Value(value), sentence)
    }

    /// It could not be found out: the watcher's fault, not the watched thing's.
    pub fn unknown(sentence: impl AsRef<str>) -> Self {
        Self::new(Level::Unknown, sentence)
    }

    /// What it stands at.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Why.
    pub fn sentence(&self) -> &str {
        &self.sentence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_bounded_and_has_one_line() {
        let reading = Reading::down(format!("a\nb\u{1b}{}", "é".repeat(SENTENCE_LIMIT)));
        assert!(reading.sentence().starts_with("a b é"));
        assert!(reading.sentence().len() <= SENTENCE_LIMIT);
    }

    #[test]
    fn a_number_other_than_0_is_down() {
        assert_eq!(Level::Value(0).is_up(), Some(true));
        assert_eq!(Level::Value(-1).is_up(), Some(false));
        assert_eq!(Level::Unknown.is_up(), None);
    }
}
