//! The file check with real files.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use holdfast_config::Missing;
use holdfast_health::{Asked, Code, Feedback, Verdict, Wish};
use holdfast_probe::{File, Found, Probe};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

const PATIENCE: Duration = Duration::from_secs(20);

async fn look(path: PathBuf, missing: Missing) -> Found {
    Probe::File(File { path, missing }).find(PATIENCE).await
}

#[tokio::test]
async fn what_is_written_there_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("web1");
    let weight = |weight| Feedback { weight: Some(weight), wish: None };
    for (text, verdict, feedback) in [
        ("up\n", Verdict::Pass, Feedback::NONE),
        ("down # a disk\n", Verdict::Fail, Feedback::NONE),
        ("12\n", Verdict::Pass, weight(Asked::Weight(12))),
        ("0", Verdict::Pass, weight(Asked::Weight(0))),
        ("75%\n", Verdict::Pass, weight(Asked::Percent(75))),
        ("drain", Verdict::Pass, Feedback { weight: None, wish: Some(Wish::Drain) }),
        // Neither is anything that somebody meant.
        ("", Verdict::Inconclusive, Feedback::NONE),
        ("maybe\n", Verdict::Inconclusive, Feedback::NONE),
        ("-3\n", Verdict::Inconclusive, Feedback::NONE),
    ] {
        fs::write(&path, text).expect("a file of ours");
        let found = look(path.clone(), Missing::Down).await;
        assert_eq!(found.outcome.verdict, verdict, "{text:?}: {}", found.outcome.reason);
        assert_eq!(found.feedback, feedback, "{text:?}");
    }
    let long = "u".repeat(5000);
    fs::write(&path, long).expect("a file of ours");
    let found = look(path, Missing::Up).await;
    assert!(found.outcome.reason.sentence.ends_with("more than 1024 bytes"), "{found:?}");
}

#[tokio::test]
async fn a_file_that_is_not_there_means_what_is_configured() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("web1");
    for (missing, verdict) in [(Missing::Up, Verdict::Pass), (Missing::Down, Verdict::Fail)] {
        let found = look(path.clone(), missing).await;
        assert_eq!(found.outcome.verdict, verdict);
        assert!(found.outcome.reason.sentence.ends_with("/web1: it is not there"));
    }
}

#[tokio::test]
async fn what_is_no_file_holds_nothing_up_and_is_no_fault_of_a_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let fifo = folder.path().join("fifo");
    mkfifo(&fifo, Mode::from_bits_truncate(0o600)).expect("a FIFO");
    for path in [fifo, folder.path().to_owned()] {
        let found = look(path, Missing::Down).await;
        assert_eq!(found.outcome.reason.code, Code::SOCKERR, "{}", found.outcome.reason);
        assert!(found.outcome.reason.sentence.ends_with("it is not a regular file"), "{found:?}");
    }
}
