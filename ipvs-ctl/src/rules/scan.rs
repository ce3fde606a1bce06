//! Words into options, as popt 1.19 does it for ipvsadm.
//!
//! - `--long`, `--long=argument`, `--long argument`; `-l`, `-largument`, `-l=argument`, `-l argument`; letters may be bundled.
//! - Options and other words may be mixed; after `--` everything is another word, as is `-` alone.
//! - An argument may begin with `-`, but for the optional one of `-p`.
//!
//! popt's aliases and its `!#:+`, which stands for the next word, are left out.

use super::options::{Argument, KNOWN, Known, Meaning};

/// Why a word is no option. What popt says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    Unknown,
    ArgumentMissing,
    ArgumentUnwanted,
}

impl Bad {
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::Unknown => "unknown option",
            Self::ArgumentMissing => "missing argument",
            Self::ArgumentUnwanted => "option does not take an argument",
        }
    }
}

/// An option as it stands in the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) meaning: Meaning,
    pub(super) argument: Option<&'a [u8]>,
}

/// Walks over the words.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    words: &'a [&'a [u8]],
    next: usize,
    /// The letters of a bundle that have not been looked at.
    letters: Option<&'a [u8]>,
    only_others: bool,
    /// POSIXLY_CORRECT: after the first word that is no option there are no more options.
    posix: bool,
    others: Vec<&'a [u8]>,
}

impl<'a> Scanner<'a> {
    /// A walk over `words`, the program's name not being among them.
    pub(super) const fn new(words: &'a [&'a [u8]], posix: bool) -> Self {
        Self { words, next: 0, letters: None, only_others: false, posix, others: Vec::new() }
    }

    /// The next option; `None` at the end.
    pub(super) fn option(&mut self) -> Option<Result<Found<'a>, Bad>> {
        loop {
            if let Some(letters) = self.letters.take() {
                return Some(self.letter(letters));
            }
            let word = *self.words.get(self.next)?;
            self.next += 1;
            match word {
                b"--" if !self.only_others => self.only_others = true,
                [b'-', b'-', long @ ..] if !self.only_others => return Some(self.long(long)),
                [b'-', letters @ ..] if !self.only_others && !letters.is_empty() => {
                    self.letters = Some(letters);
                }
                other => {
                    self.only_others |= self.posix;
                    self.others.push(other);
                }
            }
        }
    }

    /// The words that are no options, as far as the walk went.
    pub(super) fn others(self) -> Vec<&'a [u8]> {
        self.others
    }

    /// The word that was looked at last; popt calls it the bad one.
    pub(super) fn word(&self) -> &'a [u8] {
        self.next.checked_sub(1).and_then(|last| self.words.get(last)).copied().unwrap_or_default()
    }

    fn long(&mut self, long: &'a [u8]) -> Result<Found<'a>, Bad> {
        let (name, given) = match long.iter().position(|byte| *byte == b'=') {
            Some(at) => (long.get(..at).unwrap_or_default(), long.get(at + 1..)),
            None => (long, None),
        };
        let known = KNOWN.iter().find(|known| known.long.as_bytes() == name).ok_or(Bad::Unknown)?;
        if given.is_some() && known.argument == Argument::No {
            return Err(Bad::ArgumentUnwanted);
        }
        self.with_argument(known, given)
    }

    fn letter(&mut self, letters: &'a [u8]) -> Result<Found<'a>, Bad> {
        let (letter, rest) = letters.split_first().ok_or(Bad::Unknown)?;
        let known = KNOWN.iter().find(|known| known.short == Some(*letter)).ok_or(Bad::Unknown)?;
        if known.argument == Argument::No {
            if rest.first() == Some(&b'=') {
                return Err(Bad::ArgumentUnwanted);
            }
            self.letters = Some(rest).filter(|rest| !rest.is_empty());
            return self.with_argument(known, None);
        }
        let given = match rest {
            [] => None,
            [b'=', argument @ ..] => Some(argument),
            argument => Some(argument),
        };
        self.with_argument(known, given)
    }

    fn with_argument(&mut self, known: &Known, given: Option<&'a [u8]>) -> Result<Found<'a>, Bad> {
        let following = self.words.get(self.next).copied();
        let argument = match (known.argument, given, following) {
            (Argument::No, _, _) | (Argument::Optional, None, None | Some([b'-', ..])) => None,
            (_, Some(given), _) => Some(given),
            (Argument::Required, None, None) => return Err(Bad::ArgumentMissing),
            (Argument::Required | Argument::Optional, None, Some(following)) => {
                self.next += 1;
                Some(following)
            }
        };
        Ok(Found { meaning: known.meaning, argument })
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::{Once, Verb};
    use super::*;

    /// An option's meaning and argument.
    type Scanned = Result<(Meaning, Option<String>), Bad>;

    fn scan(line: &str) -> (Vec<Scanned>, Vec<String>) {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let mut scanner = Scanner::new(&words, false);
        let mut found = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        while let Some(option) = scanner.option() {
            let stop = option.is_err();
            found.push(option.map(|found| (found.meaning, found.argument.map(text))));
            if stop {
                break;
            }
        }
        (found, scanner.others().into_iter().map(text).collect())
    }

    #[test]
    fn letters_are_bundled_and_arguments_stand_in_three_places() {
        let list = Ok((Meaning::Verb(Verb::List), None));
        let numeric = Ok((Meaning::Once(Once::Numeric), None));
        let weight = |text: &str| Ok((Meaning::Once(Once::Weight), Some(text.to_owned())));
        assert_eq!(scan("-Ln").0, [list.clone(), numeric.clone()]);
        assert_eq!(scan("-w5").0, [weight("5")]);
        assert_eq!(scan("-w=5").0, [weight("5")]);
        assert_eq!(scan("-w -5").0, [weight("-5")]);
        assert_eq!(scan("--weight=5").0, [weight("5")]);
        assert_eq!(scan("--weight 5").0, [weight("5")]);
        assert_eq!(scan("-nw5").0, [numeric, weight("5")]);
        assert_eq!(scan("--list").0, [list]);
    }

    #[test]
    fn the_optional_argument_is_no_option() {
        let persistent =
            |text: Option<&str>| Ok((Meaning::Once(Once::Persistent), text.map(str::to_owned)));
        assert_eq!(scan("-p").0, [persistent(None)]);
        assert_eq!(scan("-p 30").0, [persistent(Some("30"))]);
        assert_eq!(scan("-p -o").0.first(), Some(&persistent(None)));
        assert_eq!(scan("-p-1").0, [persistent(Some("-1"))]);
    }

    #[test]
    fn what_popt_refuses() {
        for (line, bad) in [
            ("--wei", Bad::Unknown),
            ("-weight", Bad::Unknown),
            ("--", Bad::Unknown),
            ("-q", Bad::Unknown),
            ("-w", Bad::ArgumentMissing),
            ("--clear=x", Bad::ArgumentUnwanted),
            ("-L=n", Bad::ArgumentUnwanted),
        ] {
            let refused = scan(line).0.into_iter().find_map(Result::err);
            let expected = match line {
                "--" => None,
                // It is `-w eight`.
                "-weight" => None,
                _other => Some(bad),
            };
            assert_eq!(refused, expected, "{line}");
        }
    }

    #[test]
    fn other_words_may_stand_anywhere() {
        let (found, others) = scan("a -n - b -- -n");
        assert_eq!(found.len(), 1);
        assert_eq!(others, ["a", "-", "b", "-n"]);
    }
}
