//! Who made a run folder or a lab: a process id, and the tick that it started at, so that a later process with the same
//! id is not taken for it.

use std::{fmt, fs, str::FromStr};

/// A process of this machine, now or in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pid: u32,
    started: u64,
}

impl Owner {
    /// This process.
    pub(crate) fn this() -> Self {
        let pid = std::process::id();
        Self { pid, started: start_tick(pid).unwrap_or_default() }
    }

    /// Its process id.
    pub(crate) const fn pid(self) -> u32 {
        self.pid
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(self) -> bool {
        start_tick(self.pid) == Some(self.started)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.started)
    }
}

impl FromStr for Owner {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split_ascii_whitespace().map(str::parse::<u64>);
        match (words.next(), words.next(), words.next()) {
            (Some(Ok(pid)), Some(Ok(started)), None) => {
                Ok(Self { pid: u32::try_from(pid).map_err(drop)?, started })
            }
            _ => Err(()),
        }
    }
}

/// A field of `/proc/PID/stat`, counted as in proc(5), from 3 on; `None` when there is no such process.
///
/// The second field is the program's name in parentheses, and may hold anything, so counting starts behind it.
fn stat_field(pid: u32, number: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?).map(str::to_owned)
}

/// When a process started, in clock ticks since boot (`starttime`, field 22).
fn start_tick(pid: u32) -> Option<u64> {
    stat_field(pid, 22)?.parse().ok()
}

/// Whether a process has ended: it is gone, or waits for its parent to notice (`Z`).
pub(crate) fn has_ended(pid: u32) -> bool {
    stat_field(pid, 3).is_none_or(|state| state == "Z" || state == "X")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_its_namesake_is_not() {
        let this = Owner::this();
        assert!(this.is_alive());
        assert_eq!(this.to_string().parse(), Ok(this));
        assert!(!Owner { pid: this.pid, started: this.started + 1 }.is_alive());
        assert!(!Owner { pid: 999_999_999, started: 1 }.is_alive());
    }

    #[test]
    fn an_owner_s_line_is_two_numbers() {
        for bad in ["", "1", "1 x", "1 2 3", "-1 2", "99999999999 2"] {
            assert_eq!(bad.parse::<Owner>(), Err(()), "{bad:?}");
        }
    }

    #[test]
    fn a_process_ends_for_its_parent_before_it_is_reaped() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        while !has_ended(child.id()) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(has_ended(child.id()));
        assert!(!has_ended(std::process::id()));
    }
}
