//! Waiting for something that another process does.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often the question is asked again.
const POLL: Duration = Duration::from_millis(20);

/// Asks again and again until there is an answer; it is always asked once more at the end of `limit`.
///
/// # Errors
/// There was no answer within `limit`: says for how long it waited, and for `what`.
pub fn wait_until<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        let late = start.elapsed() >= limit;
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if late {
            bail!("waited {limit:?} in vain for {what}");
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_ends_it() {
        let mut asked = 0;
        let answer = wait_until(Duration::from_secs(60), "three", || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(answer.unwrap(), 3);
    }

    #[test]
    fn it_says_what_it_waited_for() {
        let error = wait_until(Duration::ZERO, "godot", || None::<()>).unwrap_err();
        assert_eq!(error.to_string(), "waited 0ns in vain for godot");
    }
}
