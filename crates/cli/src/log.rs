//! `holdfast log`: what the daemon says in its log.

use holdfast_control::{Client, Log, SetLog};

use crate::args;
use crate::failure::Failure;
use crate::output::{Answer, to_answer};

/// Shows what is logged, after a change where one is asked for.
pub(crate) async fn run(client: &Client, verb: args::Log) -> Result<Answer, Failure> {
    let args::Log::Level { filter } = verb;
    let log = match filter {
        None => client.log().await?,
        Some(filter) => client.set_log(&SetLog { filter }).await?,
    };
    to_answer(&log, render)
}

fn render(log: &Log) -> String {
    let lost = match log.lost_lines {
        0 => String::new(),
        lost => format!(", {lost} lines were lost"),
    };
    format!("{} ({}{lost})\n", log.filter, log.format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_is_one_line() {
        let log = Log { filter: "info".into(), format: "json".into(), ..Log::default() };
        assert_eq!(render(&log), "info (json)\n");
        assert_eq!(render(&Log { lost_lines: 3, ..log }), "info (json, 3 lines were lost)\n");
    }
}
