//! A sentence that is kept in several places and rarely read.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A sentence for people, whose copies share the text: what a check of each of ten thousand servers found is remembered in four places.
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub struct Sentence(Text);

#[derive(Clone)]
enum Text {
    Fixed(&'static str),
    Shared(Arc<str>),
}

impl Sentence {
    /// The text.
    pub fn as_str(&self) -> &str {
        self
    }
}

impl Deref for Sentence {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Text::Fixed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

impl PartialEq for Sentence {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Sentence {}

impl fmt::Debug for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl From<&'static str> for Sentence {
    fn from(text: &'static str) -> Self {
        Self(Text::Fixed(text))
    }
}

impl From<String> for Sentence {
    fn from(text: String) -> Self {
        Self(Text::Shared(text.into()))
    }
}

impl From<Sentence> for String {
    fn from(sentence: Sentence) -> Self {
        (*sentence).to_owned()
    }
}

impl PartialEq<str> for Sentence {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Sentence {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl PartialEq<String> for Sentence {
    fn eq(&self, other: &String) -> bool {
        **self == **other
    }
}
