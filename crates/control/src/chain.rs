//! An error and what caused it, in one line.

use std::error::Error;

/// `error` and its causes, outermost first, with colons between: what a person reads. An error's own text never repeats its
/// cause, so nothing stands twice.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("read the file")]
    struct Outer(#[source] std::num::ParseIntError);

    #[test]
    fn causes_follow_after_colons() {
        let inner = "x".parse::<u8>().expect_err("no number");
        assert_eq!(chain(&Outer(inner)), "read the file: invalid digit found in string");
    }
}
