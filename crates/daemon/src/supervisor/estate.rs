//! What a worker leaves to its successor: a file in memory that the supervisor holds, and that no disk ever has.
//!
//! ```text
//!  0        the beat: until when the VRRP thread sleeps at most            written in each turn
//!  64       a slot an instance: Active or not, its last advertisement      written after each advertisement, 32 bytes
//!  1 MiB    the will: which instance has which slot, its goodbye,          written when something of it changes
//!           what trackers have read
//! ```
//!
//! One process writes, and who reads does so when that one is dead, or believes no part of it that is not whole: slots and the will have
//! checksums, and a slot counts for the will of its number only. What is not whole is nothing, and then a successor begins as at any
//! other start. Instants are those of CLOCK_BOOTTIME, which all processes of a host have in common; the file does not outlive the boot.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use holdfast_engine::vrrp::Level;
use holdfast_time::Instant;
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use vrrp::State;

/// Instances beyond this have no slot, and no heir.
pub(crate) const SLOTS_MAX: usize = 16_384;

const BEAT_AT: u64 = 0;
const SLOTS_AT: u64 = 64;
const SLOT_LEN: usize = 32;
const WILL_AT: u64 = 1 << 20;
const WILL_HEAD: usize = 24;

/// No will is longer; one that is, is not written.
const WILL_MAX: usize = 64 << 20;

/// The file.
#[derive(Debug)]
pub(crate) struct Estate(File);

/// How one instance stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stood {
    /// It had no addresses.
    Aside,
    /// It was Active, and this is when it advertised last.
    Active(Instant),
    /// It had said goodbye at this time, and still had the addresses.
    Releasing(Instant),
}

/// What is left in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Will {
    /// In the order of their slots.
    pub(crate) instances: Vec<Bequest>,
    /// What trackers had read.
    pub(crate) readings: Vec<LeftReading>,
}

/// What is left of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bequest {
    /// Its name, for the log.
    pub(crate) name: String,
    /// Which virtual router it is: whoever is another one inherits nothing.
    pub(crate) router: String,
    /// How long after its last advertisement somebody may go on in its place ([`vrrp::Params::inheritance_interval`]), in nanoseconds.
    pub(crate) lasts_ns: u64,
    /// It was told to step back until it is told to resume.
    pub(crate) released: bool,
    /// It has given its role away once.
    pub(crate) yields: bool,
    /// This node owns the addresses: those that are there without the daemon's mark are its own.
    pub(crate) owner: bool,
    /// The addresses that move with it.
    pub(crate) addresses: Vec<IpAddr>,
    /// What says for it that it gives up: a packet for each destination. Empty while its interface can't be used.
    pub(crate) goodbyes: Vec<Goodbye>,
}

/// An advertisement of priority 0, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Goodbye {
    /// The interface's number and name.
    pub(crate) interface: (u32, String),
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) hop_limit: u8,
    /// The virtual MAC address that it comes from.
    pub(crate) mac: Option<[u8; 6]>,
    pub(crate) payload: Vec<u8>,
}

/// What a tracker had read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftReading {
    pub(crate) tracker: String,
    /// What it watched: a reading of something else is none of its.
    pub(crate) watched: String,
    pub(crate) level: Level,
    pub(crate) sentence: String,
}

/// All that was left and is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// The will's number.
    pub(crate) number: u64,
    /// Each instance and how it stood.
    pub(crate) instances: Vec<(Bequest, Stood)>,
    pub(crate) readings: Vec<LeftReading>,
}

impl Stood {
    /// How a machine in `state` stands.
    pub(crate) const fn of(state: &State, since: Instant) -> Self {
        match *state {
            State::Initialize | State::Backup { .. } => Self::Aside,
            State::Active { advertised, .. } => Self::Active(advertised),
            State::Releasing { .. } => Self::Releasing(since),
        }
    }
}

impl Bequest {
    /// How long after its last advertisement somebody may go on in its place.
    pub(crate) const fn lasts(&self) -> Duration {
        Duration::from_nanos(self.lasts_ns)
    }
}

impl Estate {
    /// An empty one.
    ///
    /// # Errors
    /// The kernel has no memory or descriptor left.
    pub(crate) fn create() -> io::Result<Self> {
        let file = memfd_create(c"holdfast-estate", MFdFlags::MFD_CLOEXEC)?;
        Ok(Self(file.into()))
    }

    /// The one behind a descriptor that was handed over.
    pub(crate) fn behind(descriptor: OwnedFd) -> Self {
        Self(descriptor.into())
    }

    /// Until when the VRRP thread sleeps at most: a moment after that it is hung.
    pub(crate) fn beat(&self, until: Instant) -> io::Result<()> {
        self.0.write_all_at(&nanos(until).to_le_bytes(), BEAT_AT)
    }

    /// The last beat; none before the first one of a worker.
    pub(crate) fn last_beat(&self) -> Option<Instant> {
        self.number_at(BEAT_AT).filter(|nanos| *nanos > 0).map(instant)
    }

    /// Forgets the beat: the worker that it was of is dead.
    pub(crate) fn forget_beat(&self) -> io::Result<()> {
        self.0.write_all_at(&[0; 8], BEAT_AT)
    }

    /// Writes how the instance of a slot of the will of this number stands.
    pub(crate) fn write_slot(&self, number: u64, slot: usize, stood: Stood) -> io::Result<()> {
        let (status, at) = match stood {
            Stood::Aside => (0_u64, Instant::ZERO),
            Stood::Active(at) => (1, at),
            Stood::Releasing(at) => (2, at),
        };
        let words = [number, status, nanos(at)].map(u64::to_le_bytes).concat();
        let sum = checksum(&words).to_le_bytes();
        self.0.write_all_at(&[words.as_slice(), &sum].concat(), slot_at(slot))
    }

    fn read_slot(&self, number: u64, slot: usize) -> Option<Stood> {
        let mut bytes = [0; SLOT_LEN];
        self.0.read_exact_at(&mut bytes, slot_at(slot)).ok()?;
        let (words, sum) = bytes.split_at_checked(SLOT_LEN - 8)?;
        let word = |at: usize| Some(u64::from_le_bytes(words.get(at..at + 8)?.try_into().ok()?));
        if checksum(words).to_le_bytes() != sum || word(0)? != number {
            return None;
        }
        let at = instant(word(16)?);
        match word(8)? {
            0 => Some(Stood::Aside),
            1 => Some(Stood::Active(at)),
            2 => Some(Stood::Releasing(at)),
            _ => None,
        }
    }

    /// Writes the will of this number, from 1. One of another number needs its slots written anew.
    pub(crate) fn write_will(&self, number: u64, will: &Will) -> io::Result<()> {
        let json = serde_json::to_vec(will)?;
        if json.len() > WILL_MAX {
            return Err(io::Error::other("what is to be left is longer than 64 MiB"));
        }
        let length = u64::try_from(json.len()).unwrap_or(u64::MAX);
        let head = [number, length, checksum(&json)].map(u64::to_le_bytes).concat();
        self.0.write_all_at(&[head, json].concat(), WILL_AT)
    }

    /// The number of the will, be it whole or not; 0 when there is none.
    pub(crate) fn number(&self) -> u64 {
        self.number_at(WILL_AT).unwrap_or_default()
    }

    /// All that was left, if it is whole.
    pub(crate) fn read(&self) -> Option<Left> {
        let mut head = [0; WILL_HEAD];
        self.0.read_exact_at(&mut head, WILL_AT).ok()?;
        let word = |at: usize| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
        let (number, length, sum) = (word(0)?, usize::try_from(word(8)?).ok()?, word(16)?);
        if number == 0 || length > WILL_MAX {
            return None;
        }
        let mut json = vec![0; length];
        let at = WILL_AT + u64::try_from(WILL_HEAD).ok()?;
        self.0.read_exact_at(&mut json, at).ok()?;
        if checksum(&json) != sum {
            return None;
        }
        let Will { instances, readings } = serde_json::from_slice(&json).ok()?;
        let stood = |slot| self.read_slot(number, slot).unwrap_or(Stood::Aside);
        let instances = instances.into_iter().enumerate();
        let instances = instances.map(|(slot, one)| (one, stood(slot))).collect();
        Some(Left { number, instances, readings })
    }

    fn number_at(&self, at: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, at).ok()?;
        Some(u64::from_le_bytes(bytes))
    }
}

impl AsFd for Estate {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn slot_at(slot: usize) -> u64 {
    let before = slot.saturating_mul(SLOT_LEN);
    SLOTS_AT + u64::try_from(before).unwrap_or(u64::MAX - SLOTS_AT)
}

fn nanos(at: Instant) -> u64 {
    u64::try_from(at.since_start().as_nanos()).unwrap_or(u64::MAX)
}

fn instant(nanos: u64) -> Instant {
    Instant::from_start(Duration::from_nanos(nanos))
}

/// FNV-1a of 64 bits: what it has to find is half a write, not malice.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bequest(name: &str) -> Bequest {
        Bequest {
            name: name.to_owned(),
            router: format!("eth0 {name}"),
            lasts_ns: 3_000_000_000,
            released: false,
            yields: true,
            owner: false,
            addresses: vec!["192.0.2.1".parse().unwrap()],
            goodbyes: vec![Goodbye {
                interface: (7, "eth0".to_owned()),
                source: "192.0.2.2".parse().unwrap(),
                destination: "224.0.0.18".parse().unwrap(),
                hop_limit: 255,
                mac: Some([0, 0, 0x5e, 0, 1, 9]),
                payload: vec![0x31, 9, 0],
            }],
        }
    }

    fn will() -> Will {
        let level = Level::Value(3);
        let reading = LeftReading {
            tracker: "t".to_owned(),
            watched: "a file".to_owned(),
            level,
            sentence: "it says 3".to_owned(),
        };
        Will { instances: vec![bequest("a"), bequest("b")], readings: vec![reading] }
    }

    const AT: Instant = Instant::from_start(Duration::from_millis(123_456));

    #[test]
    fn what_was_left_is_found() {
        let estate = Estate::create().unwrap();
        assert_eq!((estate.read(), estate.number(), estate.last_beat()), (None, 0, None));
        estate.write_will(1, &will()).unwrap();
        estate.write_slot(1, 0, Stood::Active(AT)).unwrap();
        estate.beat(AT).unwrap();
        let left = estate.read().unwrap();
        assert_eq!(left.number, 1);
        assert_eq!(left.readings, will().readings);
        let stood: Vec<Stood> = left.instances.iter().map(|(_, stood)| *stood).collect();
        assert_eq!(stood, [Stood::Active(AT), Stood::Aside]);
        assert_eq!(left.instances[0].0, bequest("a"));
        assert_eq!(estate.last_beat(), Some(AT));
        estate.forget_beat().unwrap();
        assert_eq!(estate.last_beat(), None);
    }

    #[test]
    fn slots_of_another_will_are_nobodys() {
        let estate = Estate::create().unwrap();
        estate.write_will(1, &will()).unwrap();
        estate.write_slot(1, 0, Stood::Active(AT)).unwrap();
        estate.write_will(2, &will()).unwrap();
        assert!(estate.read().unwrap().instances.iter().all(|(_, stood)| *stood == Stood::Aside));
    }

    #[test]
    fn what_is_not_whole_is_nothing() {
        for at in [WILL_AT + 8, WILL_AT + 16, WILL_AT + 30] {
            let estate = Estate::create().unwrap();
            estate.write_will(1, &will()).unwrap();
            estate.0.write_all_at(b"?", at).unwrap();
            assert_eq!(estate.read(), None, "{at}");
        }
        let estate = Estate::create().unwrap();
        estate.write_will(1, &will()).unwrap();
        estate.write_slot(1, 0, Stood::Active(AT)).unwrap();
        estate.0.write_all_at(b"?", SLOTS_AT + 17).unwrap();
        assert_eq!(estate.read().unwrap().instances[0].1, Stood::Aside);
    }
}
