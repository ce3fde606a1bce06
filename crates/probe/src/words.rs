//! What an agent says of its server: the words of HAProxy's agent-check (configuration manual §5.2, `agent-check`), which a file may
//! hold as well.

use holdfast_health::{Asked, Feedback, Wish};

use crate::finding::first_line;

/// What a line of an agent says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Which word says that the server can't serve; none = it can.
    pub(crate) down: Option<String>,
    /// What it says of weights and wishes.
    pub(crate) feedback: Feedback,
    /// All of it in order, for a sentence.
    words: Vec<String>,
    /// Why, where it says so.
    reason: String,
}

impl Said {
    /// The words and the reason: `75% drain: an upgrade`.
    pub(crate) fn sentence(&self) -> String {
        let words = match &self.down {
            Some(word) => word.clone(),
            None => self.words.join(" "),
        };
        if self.reason.is_empty() { words } else { format!("{words}: {}", self.reason) }
    }
}

/// What `line` says; none when a word of it is unknown or there is none. `plain` is what a number alone means.
pub(crate) fn read(line: &[u8], plain: impl Fn(u32) -> Option<Asked>) -> Option<Said> {
    let text = str::from_utf8(line).ok()?;
    // What follows a `#` is the reason.
    let (words, reason) = match text.split_once('#') {
        Some((words, reason)) => (words, first_line(reason.as_bytes())),
        None => (text, String::new()),
    };
    let mut said = Said { down: None, feedback: Feedback::NONE, words: vec![], reason };
    for word in words.split([' ', '\t', ',', '\r', '\n']).filter(|word| !word.is_empty()) {
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            "up" => {}
            "ready" => said.feedback.wish = Some(Wish::Ready),
            "drain" => said.feedback.wish = Some(Wish::Drain),
            "maint" => said.feedback.wish = Some(Wish::Maint),
            "down" | "fail" | "failed" | "stopped" => {
                said.down.get_or_insert_with(|| lower.clone());
            }
            word => {
                if let Some(percent) = word.strip_suffix('%') {
                    said.feedback.weight = Some(Asked::Percent(number(percent)?));
                } else if let Some(limit) = word.strip_prefix("maxconn:") {
                    number(limit)?;
                } else {
                    said.feedback.weight = Some(plain(number(word)?)?);
                }
            }
        }
        said.words.push(lower);
    }
    (!said.words.is_empty()).then_some(said)
}

fn number(digits: &str) -> Option<u32> {
    digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn agent(line: &str) -> Option<Said> {
        read(line.as_bytes(), |_| None)
    }

    fn feedback(line: &str) -> (Option<Asked>, Option<Wish>) {
        let said = agent(line).unwrap_or_else(|| panic!("{line:?} is an agent's"));
        assert_eq!(said.down, None, "{line}");
        (said.feedback.weight, said.feedback.wish)
    }

    #[test]
    fn the_words_of_haproxys_manual_are_understood() {
        for (line, weight, wish) in [
            ("up", None, None),
            ("READY\r", None, Some(Wish::Ready)),
            ("75%", Some(75), None),
            ("up 100%", Some(100), None),
            ("maxconn:30", None, None),
            ("ready, 50% maxconn:10", Some(50), Some(Wish::Ready)),
            ("1%", Some(1), None),
            ("0%", Some(0), None),
            ("drain", None, Some(Wish::Drain)),
            ("maint#for an hour", None, Some(Wish::Maint)),
        ] {
            assert_eq!(feedback(line), (weight.map(Asked::Percent), wish), "{line}");
        }
        for (line, says) in [
            ("down#disk full", "down: disk full"),
            ("stopped", "stopped"),
            ("75% failed", "failed"),
            ("fail#\x07", "fail: \u{fffd}"),
            ("up down", "down"),
        ] {
            let said = agent(line).unwrap();
            assert!(said.down.is_some(), "{line}");
            assert_eq!(said.sentence(), says);
        }
        assert_eq!(agent("75% drain # an upgrade").unwrap().sentence(), "75% drain: an upgrade");
        for line in [
            "",
            "#why",
            "hello",
            "HTTP/1.1 200 OK",
            "%",
            "-5%",
            "maxconn:",
            "maxconn:x",
            "\u{663}%",
            "5",
            "4294967296%",
        ] {
            assert_eq!(agent(line), None, "{line}");
        }
        assert_eq!(read(b"\xff", |_| None), None);
    }

    #[test]
    fn a_number_alone_is_what_its_reader_takes_it_for() {
        let said = read(b"12\n", |number| Some(Asked::Weight(number))).unwrap();
        assert_eq!(said.feedback.weight, Some(Asked::Weight(12)));
        assert_eq!(said.sentence(), "12");
    }

    proptest! {
        #[test]
        fn no_text_brings_it_down(line in ".{0,80}", bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _said = (agent(&line), read(&bytes, |number| Some(Asked::Weight(number))));
        }
    }
}
