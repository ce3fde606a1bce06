//! A list of all links and addresses that is read in parts, while changes go on and are heard.
//!
//! What is listed may be older than a change that was heard meanwhile, or newer. Every change since the beginning is therefore kept, and
//! made once more of the complete list: of whatever changed meanwhile the last message holds, of all else the list.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use nix::errno::Errno;

use crate::link_state::{Change, Interfaces, parse};
use crate::netlink::{DUMP_ATTEMPTS, Dump, RouteSocket};

/// Of more changes during one listing it is given up.
const CHANGES_MAX: usize = 1 << 14;

/// The parts of a list, in their order: an address is of a link that is known.
#[derive(Clone, Copy, Debug)]
enum Part {
    Links,
    Addresses,
}

impl Part {
    fn request(self) -> RouteNetlinkMessage {
        match self {
            Self::Links => RouteNetlinkMessage::GetLink(LinkMessage::default()),
            Self::Addresses => RouteNetlinkMessage::GetAddress(AddressMessage::default()),
        }
    }
}

/// Everything, waited for.
pub(super) fn all(requests: &mut RouteSocket) -> Result<Interfaces, Errno> {
    let mut listed = requests.dump(&Part::Links.request(), parse)?;
    listed.extend(requests.dump(&Part::Addresses.request(), parse)?);
    Ok(Interfaces::listed(listed))
}

/// A listing under way. A socket has one dump at a time, so that one of no use is read to its end all the same.
#[derive(Debug)]
pub(super) struct Listing {
    part: Part,
    dump: Dump,
    /// How often this part was begun.
    attempt: usize,
    listed: Vec<Change>,
    /// How many of `listed` are of earlier parts.
    complete: usize,
    /// What was heard meanwhile, in its order.
    heard: Vec<Change>,
    /// It is of no use any more.
    is_vain: bool,
    /// The socket has reported an error; there may be no end of the dump.
    has_failed: bool,
}

/// What came of one step.
pub(super) enum Progress {
    /// There is nothing to read yet.
    Waits,
    /// A part was read.
    Read,
    /// It has ended, and was of no use.
    Vain,
    /// This is what there is.
    Complete(Interfaces),
}

impl Listing {
    pub(super) fn begin(requests: &mut RouteSocket) -> Result<Self, Errno> {
        let part = Part::Links;
        Ok(Self {
            part,
            dump: requests.begin_dump(part.request())?,
            attempt: 1,
            listed: Vec::new(),
            complete: 0,
            heard: Vec::new(),
            is_vain: false,
            has_failed: false,
        })
    }

    /// Takes note of a change that was heard while the listing is under way.
    pub(super) fn hear(&mut self, change: &Change) {
        if self.heard.len() < CHANGES_MAX {
            self.heard.push(change.clone());
        } else {
            self.give_up();
        }
    }

    /// Takes note that changes were not heard.
    pub(super) fn give_up(&mut self) {
        self.is_vain = true;
        (self.listed, self.heard) = (Vec::new(), Vec::new());
    }

    /// Reads one datagram, if there is one.
    pub(super) fn read(&mut self, requests: &mut RouteSocket) -> Result<Progress, Errno> {
        let Self { dump, listed, is_vain, .. } = self;
        let take = |kind, payload: &[u8]| {
            if !*is_vain {
                listed.extend(parse(kind, payload));
            }
        };
        match requests.continue_dump(dump, take) {
            Err(Errno::EAGAIN) if self.has_failed => Ok(Progress::Vain),
            Err(Errno::EAGAIN) => Ok(Progress::Waits),
            Err(errno) => {
                self.give_up();
                self.has_failed = true;
                Err(errno)
            }
            Ok(false) => Ok(Progress::Read),
            Ok(true) if self.is_vain => Ok(Progress::Vain),
            Ok(true) => self.go_on(requests),
        }
    }

    /// Begins what comes after a part that has ended.
    fn go_on(&mut self, requests: &mut RouteSocket) -> Result<Progress, Errno> {
        match (self.dump.is_consistent(), self.part) {
            // What the kernel left out because something else changed must not count as gone.
            (false, _) if self.attempt >= DUMP_ATTEMPTS => return Ok(Progress::Vain),
            (false, part) => {
                self.listed.truncate(self.complete);
                self.begin_part(requests, part, self.attempt + 1)?;
            }
            (true, Part::Links) => {
                self.complete = self.listed.len();
                self.begin_part(requests, Part::Addresses, 1)?;
            }
            (true, Part::Addresses) => {
                let mut target = Interfaces::listed(std::mem::take(&mut self.listed));
                for change in self.heard.drain(..) {
                    target.apply(change);
                }
                return Ok(Progress::Complete(target));
            }
        }
        Ok(Progress::Read)
    }

    fn begin_part(
        &mut self,
        requests: &mut RouteSocket,
        part: Part,
        attempt: usize,
    ) -> Result<(), Errno> {
        let begun = requests.begin_dump(part.request());
        self.has_failed |= begun.is_err();
        self.dump = begun?;
        (self.part, self.attempt) = (part, attempt);
        Ok(())
    }
}
