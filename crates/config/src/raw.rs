//! The document as YAML has it, before any key has a meaning: scalars resolved, nothing checked.
//!
//! A tree of our own instead of `serde_yaml::Value` because that one refuses a document with a duplicate key whole, and
//! its other problems would go unreported; and because it is put together by [`crate::positions`] from the events by which that
//! looks at the structure, so that a file is read once. Of a key that appears twice the first value is taken in; the duplicate is
//! reported there.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use crate::source::Style;

/// A YAML value. Text is that of the document where it stands there as it reads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node<'a> {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a point or exponent, or a whole one beyond `i64`, which no key takes.
    Float,
    /// Text.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Self>),
    /// A mapping in the order of the text, no key twice. Keys that are not text are taken as they are written.
    Mapping(Vec<(Cow<'a, str>, Self)>),
}

impl<'a> Node<'a> {
    /// What the value is, with its article, for messages.
    pub(crate) const fn noun(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Integer(_) | Self::Float => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }

    /// The value of a scalar that is written so.
    ///
    /// What a plain one means is `serde_yaml`'s decision (YAML 1.2's core schema), which is asked where it could be anything but text: a
    /// file of ten thousand real servers has as many addresses, and none of them is a number.
    pub(crate) fn scalar(text: Cow<'a, str>, style: Style) -> Self {
        if style == Style::Quoted || is_surely_text(&text) {
            return Self::Text(text);
        }
        if let Some(number) = plain_number(&text) {
            return Self::Integer(number);
        }
        serde_yaml::from_str::<Node<'static>>(&text).unwrap_or(Self::Text(text))
    }
}

/// Whether a plain scalar can be neither nothing nor a number nor true nor false: it begins with a letter and is none of their words, or
/// with a digit and has a letter that no number has, or it has a character that none of them has, such as the colon of an address and a port.
fn is_surely_text(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    if first.is_ascii_alphabetic() {
        let words = ["null", "true", "false"];
        return !words.iter().any(|word| text.eq_ignore_ascii_case(word));
    }
    let foreign = |byte: &u8| {
        !byte.is_ascii_alphanumeric() && !matches!(byte, b'+' | b'-' | b'.' | b'~' | b'_')
    };
    if text.as_bytes().iter().any(foreign) {
        return true;
    }
    // Of `0xff`, `0o17` and `1e6`.
    let of_number = |c: char| matches!(c.to_ascii_lowercase(), 'a'..='f' | 'o' | 'x');
    if first.is_ascii_digit() && text.contains(|c: char| c.is_ascii_alphabetic() && !of_number(c)) {
        return true;
    }
    // An IPv4 address; a document's marks, which would not be read as scalars by themselves.
    text.matches('.').count() > 1 || text.starts_with("--")
}

/// A whole number as it is mostly written: decimal, without a sign and zeros before it.
fn plain_number(text: &str) -> Option<i64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let usual = digits && (1..=18).contains(&text.len()) && (text == "0" || !text.starts_with('0'));
    usual.then(|| text.parse().ok()).flatten()
}

/// Scalars only: lists and mappings are put together by [`crate::positions`].
impl<'de> Deserialize<'de> for Node<'static> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Node<'static>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML scalar")
    }

    fn visit_unit<E>(self) -> Result<Node<'static>, E> {
        Ok(Node::Null)
    }

    /// A document with nothing in it.
    fn visit_none<E>(self) -> Result<Node<'static>, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'static>, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node<'static>, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node<'static>, E> {
        Ok(Node::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node<'static>, E> {
        Ok(i64::try_from(value).map_or(Node::Float, Node::Integer))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node<'static>, E> {
        Ok(i64::try_from(value).map_or(Node::Float, Node::Integer))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node<'static>, E> {
        Ok(i64::try_from(value).map_or(Node::Float, Node::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node<'static>, E> {
        Ok(Node::Float)
    }

    fn visit_str<E>(self, value: &str) -> Result<Node<'static>, E> {
        Ok(Node::Text(value.to_owned().into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diagnostic::Problems;
    use crate::positions;
    use crate::source::Source;

    fn read(text: &str) -> Node<'_> {
        let mut problems = Problems::default();
        let mut source = Source::new("f", text.to_owned());
        positions::index(text, &mut source, &mut problems).unwrap()
    }

    fn plain(text: &str) -> Node<'_> {
        Node::scalar(text.into(), Style::Plain)
    }

    proptest! {
        /// The short cuts say what `serde_yaml` says of the same text as a mapping's value.
        #[test]
        fn a_plain_scalar_means_what_serde_yaml_says(
            text in "[0-9a-fxoXOinNtTfFrRuUeEaAlLsS_~.+:/-]{1,12}",
        ) {
            if let Ok(Some(value)) = serde_yaml::from_str::<Held>(&format!("k: {text}")).map(|held| held.k) {
                prop_assert_eq!(plain(&text), value);
            }
        }
    }

    #[derive(Debug, Deserialize)]
    struct Held {
        k: Option<Node<'static>>,
    }

    #[test]
    fn words_and_numbers_are_told_from_text() {
        for nothing in ["", "~", "null", "Null", "NULL"] {
            assert_eq!(plain(nothing), Node::Null, "{nothing:?}");
        }
        for (text, value) in [("true", true), ("True", true), ("FALSE", false)] {
            assert_eq!(plain(text), Node::Bool(value));
        }
        for (text, value) in
            [("0", 0), ("42", 42), ("-7", -7), ("+7", 7), ("0x1f", 31), ("0o17", 15)]
        {
            assert_eq!(plain(text), Node::Integer(value), "{text}");
        }
        for text in ["1.5", ".inf", "-.inf", "1e3"] {
            assert_eq!(plain(text), Node::Float, "{text}");
        }
        for text in [
            "tcp 10.0.0.1:80",
            "10.0.0.1:80",
            "10.0.0.1",
            "250ms",
            "yes",
            "007",
            "nat",
            "-",
            "---",
            "...",
        ] {
            assert_eq!(plain(text), Node::Text(text.into()), "{text}");
        }
        assert_eq!(Node::scalar("42".into(), Style::Quoted), Node::Text("42".into()));
    }

    #[test]
    fn of_a_key_that_appears_twice_the_first_value_is_taken_in() {
        let document = read("a: {b: 1}\nc: 3\na: {b: 2}\n");
        assert_eq!(document, read("a: {b: 1}\nc: 3\n"));
    }

    #[test]
    fn keys_that_look_like_numbers_or_booleans_are_text() {
        let Node::Mapping(entries) = read("1: a\ntrue: b\n") else { panic!("a mapping") };
        let keys: Vec<_> = entries.iter().map(|(key, _)| key.as_ref()).collect();
        assert_eq!(keys, ["1", "true"]);
    }

    #[test]
    fn a_number_beyond_every_integer_is_a_float() {
        assert_eq!(plain("99999999999999999999999999999999999999999999"), Node::Float);
    }
}
