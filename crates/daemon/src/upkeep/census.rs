//! A census of connections by origin: this node's own packets, or the other director's messages (/proc/net/ip_vs_conn_sync).
//!
//! The kernel searches for its place in the list again at each read of 4 KiB, so that reading a million connections takes minutes. The list
//! is in the order of a hash that does not depend on the origin. Therefore only the first [`CONNECTIONS_MAX`] are read, as a fair sample of
//! all.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::time::Duration;

use holdfast_net::now;

/// How many connections are read at most: fifty milliseconds of the kernel's time, and a share that is right to less than a per cent.
const CONNECTIONS_MAX: u64 = 20_000;

/// After this time the census ends, on a busy machine with fewer connections.
const TIME_MAX: Duration = Duration::from_millis(250);

/// More than the longest line of the kernel's.
const LINE_MAX: usize = 512;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// How many connections were read.
    pub(super) looked_at: u64,
    /// How many of them came from the other director.
    pub(super) of_sync: u64,
    /// Whether these are all that there are.
    pub(super) complete: bool,
}

/// Counts the connections of the calling thread's network namespace.
///
/// # Errors
/// The kernel's list can't be read.
pub(super) fn take() -> io::Result<Census> {
    count(BufReader::new(File::open("/proc/thread-self/net/ip_vs_conn_sync")?))
}

fn count(mut list: impl BufRead) -> io::Result<Census> {
    let began = now();
    let mut census = Census::default();
    let mut line = Vec::with_capacity(LINE_MAX);
    let mut headed = false;
    while census.looked_at < CONNECTIONS_MAX && now().saturating_since(began) < TIME_MAX {
        line.clear();
        if io::Read::take(&mut list, LINE_MAX as u64).read_until(b'\n', &mut line)? == 0 {
            census.complete = true;
            break;
        }
        if !std::mem::replace(&mut headed, true) {
            continue;
        }
        // Pro FromIP FPrt ToIP TPrt DestIP DPrt State Origin Expires
        let origin = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(8);
        census.looked_at += 1;
        census.of_sync += u64::from(origin == Some(b"SYNC"));
    }
    Ok(census)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires\n";

    fn line(origin: &str) -> String {
        format!("TCP 0A4D0001 8000 0A4D000A 0050 0A4D0015 0050 ESTABLISHED {origin}     899\n")
    }

    #[test]
    fn the_origins_are_counted() {
        let text = format!("{HEAD}{}{}{}", line("LOCAL"), line("SYNC "), line("SYNC "));
        let census = count(text.as_bytes()).unwrap();
        assert_eq!(census, Census { looked_at: 3, of_sync: 2, complete: true });
        let none = Census { complete: true, ..Census::default() };
        assert_eq!(count(HEAD.as_bytes()).unwrap(), none);
        assert_eq!(count(&b""[..]).unwrap(), none);
    }

    #[test]
    fn no_more_than_so_many_are_looked_at() {
        let text = HEAD.to_owned() + &line("SYNC ").repeat(30_000);
        let census = count(text.as_bytes()).unwrap();
        assert!(census.looked_at <= CONNECTIONS_MAX && !census.complete, "{census:?}");
    }
}
