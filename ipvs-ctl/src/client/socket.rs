//! A generic-netlink socket: bytes to the kernel, messages from it. It knows sequence numbers, not IPVS.

use std::fmt::Debug;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd as _, OwnedFd};

use netlink_packet_core::{
    DecodeError, Emitable, NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer,
    NetlinkMessage, NetlinkPayload, ParseableParametrized,
};
use netlink_packet_generic::constants::GENL_HDRLEN;
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, MultiHeaders, NetlinkAddr, SockFlag, SockProtocol, SockType, bind,
    connect, getsockopt, recvmmsg, send, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

/// The kernel answers within the call that sends, so this is long: it is reached when something is stuck.
const RECEIVE_TIMEOUT_S: i64 = 10;

/// The answers of one batch fit in it even if every message fails. Beyond it the kernel drops answers and says ENOBUFS.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A batch and the kernel's bookkeeping for it fit in it. Beyond it a send is refused whole with EMSGSIZE.
const SEND_BUFFER: usize = 512 << 10;

/// The kernel fills dumps up to 32 KiB a message; a longer one would be reported as cut short.
const READ_BUFFER: usize = 64 << 10;

/// What a queued answer takes of the receive buffer at most: 768 bytes were seen, and the refused message comes on top.
const ANSWER_COST: usize = 2048;

/// `sizeof(struct nlmsghdr)`, and the kinds of message that are netlink's own (`include/uapi/linux/netlink.h`).
const HEADER_LEN: usize = 16;
const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;

/// One message from the kernel.
///
/// A request gets none if the kernel's function for it returns EINTR: netlink takes that for "later" and keeps silent. Stopping
/// a sync daemon whose thread has not yet run does so.
#[derive(Debug)]
pub(super) enum Answer<F> {
    /// Data, or bytes that aren't any.
    Message(Result<F, DecodeError>),
    /// The end of a dump.
    Done(Result<(), Errno>),
    /// An acknowledgement or a refusal.
    Status(Result<(), Errno>),
}

/// One message of a dump, undecoded.
#[derive(Debug)]
pub(super) enum Dumped<'a> {
    /// The attributes of the family's message.
    Attributes(&'a [u8]),
    /// The end of the dump, or a refusal.
    End(Result<(), Errno>),
}

/// Who is at the other end.
#[derive(Debug)]
enum Peer {
    /// The kernel, by a netlink socket.
    Kernel(OwnedFd),
    /// Answers that a test has written.
    #[cfg(test)]
    Script(super::tests::script::Script),
}

impl Peer {
    fn fd(&self) -> &OwnedFd {
        match self {
            Self::Kernel(fd) => fd,
            #[cfg(test)]
            Self::Script(_) => panic!("a script has no descriptor"),
        }
    }
}

/// An open socket of the namespace in which the thread was when it opened it.
#[derive(Debug)]
pub(super) struct Socket {
    peer: Peer,
    buffer: Vec<u8>,
    /// The part of `buffer` that holds messages that were received and not yet taken.
    pending: std::ops::Range<usize>,
    /// The same of what came after it in the same system call.
    following: std::ops::Range<usize>,
    sequence: u32,
    answers_limit: usize,
    /// Whether a message since [`Self::take_interrupted`] said that its dump is not of one moment.
    interrupted: bool,
}

impl Socket {
    pub(super) fn open() -> Result<Self, Errno> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkGeneric,
        )?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        // Connected to the kernel's port 0, the socket takes no message of another process.
        connect(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(RECEIVE_TIMEOUT_S))?;
        setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER)
            .or_else(|_no_privilege| setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER))?;
        setsockopt(&fd, sockopt::SndBufForce, &SEND_BUFFER)
            .or_else(|_no_privilege| setsockopt(&fd, sockopt::SndBuf, &SEND_BUFFER))?;
        let answers_limit = getsockopt(&fd, sockopt::RcvBuf)? / ANSWER_COST;
        Ok(Self::new(Peer::Kernel(fd), answers_limit))
    }

    fn new(peer: Peer, answers_limit: usize) -> Self {
        let buffer = vec![0; 2 * READ_BUFFER];
        let (pending, following) = (0..0, 0..0);
        Self { peer, buffer, pending, following, sequence: 0, answers_limit, interrupted: false }
    }

    /// A socket whose other end is a test.
    #[cfg(test)]
    pub(super) fn scripted(script: super::tests::script::Script) -> Self {
        Self::new(Peer::Script(script), RECEIVE_BUFFER / ANSWER_COST)
    }

    #[cfg(test)]
    pub(super) fn fd(&self) -> &OwnedFd {
        self.peer.fd()
    }

    /// The sequence number of the message that was encoded last.
    pub(super) const fn sequence(&self) -> u32 {
        self.sequence
    }

    /// How many answers may wait unread without one being dropped.
    pub(super) const fn answers_limit(&self) -> usize {
        self.answers_limit
    }

    /// Appends a message to `batch` and answers its sequence number.
    pub(super) fn encode<F>(
        &mut self,
        payload: &F,
        family: u16,
        flags: u16,
        batch: &mut Vec<u8>,
    ) -> u32
    where
        F: GenlFamily + Emitable,
    {
        let family = if family == 0 { payload.family_id() } else { family };
        let start = self.begin(family, GENL_HDRLEN + payload.buffer_len(), flags, batch);
        // `struct genlmsghdr`, and the attributes behind it.
        let generic = batch.get_mut(start..).and_then(|space| space.split_first_chunk_mut::<2>());
        if let Some((header, space)) = generic {
            *header = [payload.command(), payload.version()];
            if let Some(space) = space.get_mut(GENL_HDRLEN - header.len()..) {
                payload.emit(space);
            }
        }
        self.sequence
    }

    /// Appends a message that netlink itself acknowledges, and answers its sequence number: once it is answered, everything
    /// before it has been worked off. Requests alone don't tell that, as the kernel leaves some unanswered (see [`Answer`]).
    pub(super) fn encode_barrier(&mut self, batch: &mut Vec<u8>) -> u32 {
        self.begin(NLMSG_NOOP, 0, NLM_F_REQUEST | NLM_F_ACK, batch);
        self.sequence
    }

    /// Appends the header of a message of this kind and room for its payload, and answers where that begins.
    fn begin(&mut self, kind: u16, payload: usize, flags: u16, batch: &mut Vec<u8>) -> usize {
        self.sequence = self.sequence.wrapping_add(1);
        let length = HEADER_LEN + payload;
        // A batch is far smaller than what doesn't fit.
        batch.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        batch.extend(kind.to_ne_bytes());
        batch.extend(flags.to_ne_bytes());
        batch.extend(self.sequence.to_ne_bytes());
        // The kernel knows the sender.
        batch.extend(0_u32.to_ne_bytes());
        let start = batch.len();
        batch.resize(start + payload, 0);
        start
    }

    /// Sends a batch; the kernel works it off before this returns.
    pub(super) fn send(&self, batch: &[u8]) -> Result<(), Errno> {
        #[cfg(test)]
        if let Peer::Script(script) = &self.peer {
            return script.send(batch);
        }
        let fd = self.peer.fd();
        loop {
            match send(fd.as_raw_fd(), batch, MsgFlags::empty()) {
                Ok(sent) if sent == batch.len() => return Ok(()),
                Ok(_cut_short) => return Err(Errno::EMSGSIZE),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// The next message and the sequence number of the request that it answers. Waits for it.
    ///
    /// EAGAIN: none came in time. ENOBUFS: answers were lost. EBADMSG: what came is cut short.
    pub(super) fn next<F>(&mut self) -> Result<(u32, Answer<F>), Errno>
    where
        F: ParseableParametrized<[u8], GenlHeader> + Debug,
    {
        loop {
            let bytes = self.buffer.get(self.pending.clone()).unwrap_or_default();
            match split(bytes)? {
                Some((message, sequence)) => {
                    let answer = read(message);
                    self.pending.start += message.len().next_multiple_of(4);
                    if let Some(answer) = answer {
                        return Ok((sequence, answer));
                    }
                }
                None => self.receive(MsgFlags::empty())?,
            }
        }
    }

    /// The next message of a dump and the sequence number of the request that it answers, without a copy: a table has thousands.
    /// Waits for it, and fails as [`Self::next`] does.
    pub(super) fn next_dumped(&mut self) -> Result<(u32, Dumped<'_>), Errno> {
        loop {
            let bytes = self.buffer.get(self.pending.clone()).unwrap_or_default();
            let Some((message, sequence)) = split(bytes)? else {
                self.receive(MsgFlags::empty())?;
                continue;
            };
            let start = self.pending.start;
            let range = start..start + message.len();
            self.pending.start += message.len().next_multiple_of(4);
            let header = NetlinkBuffer::new(message);
            let kind = header.message_type();
            self.interrupted |= header.flags() & NLM_F_DUMP_INTR != 0;
            if kind == NLMSG_NOOP {
                continue;
            }
            let message = self.buffer.get(range).unwrap_or_default();
            return Ok((sequence, dumped(kind, message)));
        }
    }

    /// Whether a message since this was asked last was of a dump that a change has interrupted (NLM_F_DUMP_INTR). IPVS sets no such
    /// mark up to Linux 6.12; netlink has it.
    pub(super) const fn take_interrupted(&mut self) -> bool {
        std::mem::replace(&mut self.interrupted, false)
    }

    /// Throws away what waits, so that the kernel sends again after an ENOBUFS.
    pub(super) fn drain(&mut self) -> Result<(), Errno> {
        loop {
            match self.receive(MsgFlags::MSG_DONTWAIT) {
                Ok(()) | Err(Errno::ENOBUFS) => self.pending = 0..0,
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Receives, or goes on to what was received before. Two datagrams in one system call, where there are two: the end of a dump, which has a
    /// datagram of its own, is queued while what it ends is received.
    fn receive(&mut self, flags: MsgFlags) -> Result<(), Errno> {
        self.pending = std::mem::replace(&mut self.following, 0..0);
        if !self.pending.is_empty() {
            return Ok(());
        }
        #[cfg(test)]
        if let Peer::Script(script) = &self.peer {
            self.pending = 0..script.receive(&mut self.buffer)?;
            return Ok(());
        }
        while self.pending.is_empty() {
            let flags = flags | MsgFlags::MSG_WAITFORONE;
            let fd = self.peer.fd().as_raw_fd();
            let (first, second) = self.buffer.split_at_mut(READ_BUFFER);
            let mut space = [[IoSliceMut::new(first)], [IoSliceMut::new(second)]];
            let mut headers = MultiHeaders::<NetlinkAddr>::preallocate(space.len(), None);
            let received = match recvmmsg(fd, &mut headers, space.iter_mut(), flags, None) {
                Ok(received) => received,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            };
            let mut cut_short = false;
            // Port 0 is the kernel; what another process sends is not believed.
            for (at, one) in received.enumerate() {
                cut_short |= one.flags.contains(MsgFlags::MSG_TRUNC);
                if one.address.is_some_and(|sender| sender.pid() == 0) {
                    let start = at * READ_BUFFER;
                    let range = if self.pending.is_empty() {
                        &mut self.pending
                    } else {
                        &mut self.following
                    };
                    *range = start..start + one.bytes;
                }
            }
            if cut_short {
                (self.pending, self.following) = (0..0, 0..0);
                return Err(Errno::EMSGSIZE);
            }
        }
        Ok(())
    }
}

/// The first message of `bytes` and its sequence number; `None` where there is nothing more. EBADMSG: there is, and it is no whole
/// message. To pass over it would mean to take an object that it holds for gone.
fn split(bytes: &[u8]) -> Result<Option<(&[u8], u32)>, Errno> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let header = NetlinkBuffer::new_checked(bytes).map_err(|_cut_short| Errno::EBADMSG)?;
    let length = usize::try_from(header.length()).map_err(|_too_long| Errno::EBADMSG)?;
    let message = bytes.get(..length).ok_or(Errno::EBADMSG)?;
    Ok(Some((message, header.sequence_number())))
}

/// What a message says; `None` for one that says nothing.
fn read<F>(message: &[u8]) -> Option<Answer<F>>
where
    F: ParseableParametrized<[u8], GenlHeader> + Debug,
{
    let message = match NetlinkMessage::<GenlMessage<F>>::deserialize(message) {
        Ok(message) => message,
        Err(error) => return Some(Answer::Message(Err(error))),
    };
    match message.payload {
        NetlinkPayload::InnerMessage(generic) => Some(Answer::Message(Ok(generic.payload))),
        NetlinkPayload::Error(error) => Some(Answer::Status(status(error.raw_code()))),
        NetlinkPayload::Done(done) => Some(Answer::Done(status(done.code))),
        NetlinkPayload::Overrun(_) => Some(Answer::Status(Err(Errno::ENOBUFS))),
        NetlinkPayload::Noop => None,
        // The enum is open; a kind of message that this version of the library doesn't know answers nothing of ours.
        _unknown => None,
    }
}

/// What a message of a dump says.
fn dumped(kind: u16, message: &[u8]) -> Dumped<'_> {
    let payload = message.get(HEADER_LEN..).unwrap_or_default();
    match kind {
        NLMSG_OVERRUN => Dumped::End(Err(Errno::ENOBUFS)),
        // Both begin with a negative errno, or 0; a DONE may have none.
        NLMSG_ERROR | NLMSG_DONE => {
            let code = payload.first_chunk::<4>().map_or(0, |code| i32::from_ne_bytes(*code));
            Dumped::End(status(code))
        }
        _of_the_family => Dumped::Attributes(payload.get(GENL_HDRLEN..).unwrap_or_default()),
    }
}

/// A negative errno, or 0.
const fn status(code: i32) -> Result<(), Errno> {
    if code == 0 { Ok(()) } else { Err(Errno::from_raw(code.saturating_neg())) }
}
