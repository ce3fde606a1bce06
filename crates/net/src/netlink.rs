//! Route netlink by plain, synchronous system calls: one request socket, batches of changes, dumps. The messages are
//! netlink-packet-route's; this is the little that is needed around them.
//!
//! Only the kernel is believed: a message whose sender has a port id other than 0 comes from another process and is dropped.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{
    Emitable, ErrorBuffer, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer,
    NetlinkHeader, NetlinkMessage,
};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvmsg, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

/// The kernel never sends more than 32 KiB at a time for a dump; a message that were longer would be an overrun.
const RECEIVE_LEN: usize = 64 << 10;
/// Requests per system call. Each may be answered by one error, and that many fit into the default receive buffer.
const BATCH: usize = 64;
/// A dump that changes under the reader is begun again this often; then what was read is taken, for its watcher hears the changes.
pub(crate) const DUMP_ATTEMPTS: usize = 5;
/// The kernel answers while the request is being sent. A kernel that has not within this time is reported instead of waited for.
const ANSWER_TIMEOUT_S: i64 = 5;

/// `sizeof(struct nlmsghdr)` of linux/netlink.h.
const HEADER_LEN: usize = 16;
/// `NLMSG_ERROR` and `NLMSG_DONE` of linux/netlink.h.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NLMSG_MIN_TYPE`: lower types are about netlink itself.
const FIRST_OF_FAMILY: u16 = 16;

/// One netlink message, its header taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawMessage<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) payload: &'a [u8],
}

/// The messages in one datagram. It ends early at bytes that are no message.
pub(crate) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = RawMessage<'_>> {
    std::iter::from_fn(move || {
        let buffer = NetlinkBuffer::new_checked(datagram).ok()?;
        let length = usize::try_from(buffer.length()).ok()?;
        let message = RawMessage {
            kind: buffer.message_type(),
            flags: buffer.flags(),
            sequence: buffer.sequence_number(),
            payload: datagram.get(HEADER_LEN..length)?,
        };
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The errno in the payload of an error or of the end of a dump; none for "no error". Bytes that hold neither are EBADMSG.
fn error_code(payload: &[u8]) -> Option<Errno> {
    match ErrorBuffer::new_checked(payload) {
        Ok(buffer) => buffer.code().map(|code| Errno::from_raw(code.get().saturating_neg())),
        Err(_) => Some(Errno::EBADMSG),
    }
}

/// Sets a receive buffer of `bytes`, beyond the host's limit (net.core.rmem_max) where the process may, up to it otherwise.
pub(crate) fn enlarge_receive_buffer(socket: &impl AsFd, bytes: usize) -> Result<(), Errno> {
    setsockopt(socket, sockopt::RcvBufForce, &bytes)
        .or_else(|_| setsockopt(socket, sockopt::RcvBuf, &bytes))
}

/// A route netlink socket, bound to the multicast groups it was opened with.
#[derive(Debug)]
pub(crate) struct RouteSocket {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl RouteSocket {
    /// A socket for requests, whose answers are waited for.
    pub(crate) fn for_requests() -> Result<Self, Errno> {
        let route = Self::bound(SockFlag::SOCK_CLOEXEC, 0, SockProtocol::NetlinkRoute)?;
        let timeout = TimeVal::new(ANSWER_TIMEOUT_S, 0);
        setsockopt(&route.socket, sockopt::ReceiveTimeout, &timeout)?;
        Ok(route)
    }

    /// A socket for questions to netfilter, whose answers are waited for.
    pub(crate) fn for_netfilter() -> Result<Self, Errno> {
        let netfilter = Self::bound(SockFlag::SOCK_CLOEXEC, 0, SockProtocol::NetlinkNetFilter)?;
        let timeout = TimeVal::new(ANSWER_TIMEOUT_S, 0);
        setsockopt(&netfilter.socket, sockopt::ReceiveTimeout, &timeout)?;
        Ok(netfilter)
    }

    /// A non-blocking socket that hears `groups` (a mask of `RTMGRP_…`).
    pub(crate) fn for_events(groups: u32, receive_buffer: usize) -> Result<Self, Errno> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let route = Self::bound(flags, groups, SockProtocol::NetlinkRoute)?;
        enlarge_receive_buffer(&route.socket, receive_buffer)?;
        Ok(route)
    }

    fn bound(flags: SockFlag, groups: u32, protocol: SockProtocol) -> Result<Self, Errno> {
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; RECEIVE_LEN] })
    }

    /// Receives one datagram from the kernel; a socket for requests waits for it.
    pub(crate) fn receive(&mut self) -> Result<&[u8], Errno> {
        self.receive_with(MsgFlags::empty())
    }

    fn receive_with(&mut self, flags: MsgFlags) -> Result<&[u8], Errno> {
        let length = loop {
            let mut slices = [IoSliceMut::new(&mut self.buffer)];
            let received =
                recvmsg::<NetlinkAddr>(self.socket.as_raw_fd(), &mut slices, None, flags);
            let message = match received {
                Ok(message) => message,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            };
            if message.address.is_none_or(|from| from.pid() != 0) {
                continue;
            }
            // What was cut off is lost like what did not fit into the queue, and is dealt with in the same way.
            if message.flags.contains(MsgFlags::MSG_TRUNC) {
                return Err(Errno::ENOBUFS);
            }
            break message.bytes;
        };
        Ok(self.buffer.get(..length).unwrap_or_default())
    }

    /// Carries out `requests`, each with its flags, in their order, [`BATCH`] at a time with one acknowledgement, and says how each one went. One that
    /// fails does not keep the others from being tried.
    pub(crate) fn change(
        &mut self,
        requests: impl IntoIterator<Item = (RouteNetlinkMessage, u16)>,
    ) -> Vec<Result<(), Errno>> {
        let mut results = Vec::new();
        let mut requests = requests.into_iter();
        loop {
            let batch: Vec<_> = requests.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return results;
            }
            let length = batch.len();
            match self.change_batch(batch) {
                Ok(batch_results) => results.extend(batch_results),
                // Nothing is known about any of them; all may be asked for again, for a change that is in place is no error.
                Err(errno) => results.extend(std::iter::repeat_n(Err(errno), length)),
            }
        }
    }

    fn change_batch(
        &mut self,
        batch: Vec<(RouteNetlinkMessage, u16)>,
    ) -> Result<Vec<Result<(), Errno>>, Errno> {
        let mut results = vec![Ok(()); batch.len()];
        let first = self.sequence.wrapping_add(1);
        let last = batch.len() - 1;
        let mut bytes = Vec::new();
        for (position, (request, flags)) in batch.into_iter().enumerate() {
            let acknowledge = if position == last { NLM_F_ACK } else { 0 };
            self.append(&mut bytes, request, flags | acknowledge);
        }
        self.send(&bytes)?;
        loop {
            for message in messages(self.receive()?) {
                let position =
                    usize::try_from(message.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                // Others answer an earlier batch that was given up.
                let Some(result) = results.get_mut(position) else { continue };
                if message.kind == ERROR {
                    if let Some(errno) = error_code(message.payload) {
                        *result = Err(errno);
                    }
                    if position == last {
                        return Ok(results);
                    }
                }
            }
        }
    }

    /// Everything that `request` lists and `read`, given the kind and the payload of a message, understands. It is listed again
    /// when the kernel says that it changed meanwhile.
    pub(crate) fn dump<T>(
        &mut self,
        request: &RouteNetlinkMessage,
        read: impl Fn(u16, &[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Errno> {
        let mut attempt = 1;
        loop {
            let (listed, consistent) = self.dump_once(request.clone(), &read)?;
            if consistent || attempt == DUMP_ATTEMPTS {
                return Ok(listed);
            }
            attempt += 1;
        }
    }

    fn dump_once<T>(
        &mut self,
        request: RouteNetlinkMessage,
        read: impl Fn(u16, &[u8]) -> Option<T>,
    ) -> Result<(Vec<T>, bool), Errno> {
        let mut dump = self.begin_dump(request)?;
        let mut listed = Vec::new();
        loop {
            let datagram = self.receive()?;
            if dump.take(datagram, |kind, payload| listed.extend(read(kind, payload)))? {
                return Ok((listed, dump.is_consistent()));
            }
        }
    }

    /// Asks for everything that `request` lists. A socket has one dump at a time.
    pub(crate) fn begin_dump(&mut self, request: RouteNetlinkMessage) -> Result<Dump, Errno> {
        let mut bytes = Vec::new();
        self.append(&mut bytes, request, NLM_F_DUMP);
        self.send(&bytes)?;
        Ok(Dump { sequence: self.sequence, consistent: true })
    }

    /// Gives the next part of a dump, 32 KiB at most, to `take` without waiting for it; whether it was the last one. EAGAIN: there is
    /// nothing yet.
    pub(crate) fn continue_dump(
        &mut self,
        dump: &mut Dump,
        take: impl FnMut(u16, &[u8]),
    ) -> Result<bool, Errno> {
        dump.take(self.receive_with(MsgFlags::MSG_DONTWAIT)?, take)
    }

    /// Appends `request` to `bytes` under the next sequence number.
    fn append(&mut self, bytes: &mut Vec<u8>, request: RouteNetlinkMessage, flags: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(request);
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut encoded = vec![0; message.buffer_len()];
        message.serialize(&mut encoded);
        bytes.extend_from_slice(&encoded);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }

    /// Asks a question of this kind, what follows the message's header being `payload`, and says how it went; what it answers is not read.
    pub(crate) fn question(&mut self, kind: u16, payload: &[u8]) -> Result<(), Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.length =
            u32::try_from(HEADER_LEN + payload.len()).map_err(|_too_long| Errno::EMSGSIZE)?;
        header.message_type = kind;
        header.flags = NLM_F_REQUEST | NLM_F_ACK;
        header.sequence_number = self.sequence;
        let mut bytes = vec![0; HEADER_LEN];
        header.emit(&mut bytes);
        bytes.extend_from_slice(payload);
        self.send(&bytes)?;
        let sequence = self.sequence;
        loop {
            let mut answers = messages(self.receive()?);
            if let Some(end) = answers.find(|one| one.sequence == sequence && one.kind == ERROR) {
                return error_code(end.payload).map_or(Ok(()), Err);
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Errno> {
        let kernel = NetlinkAddr::new(0, 0);
        loop {
            match sendto(self.socket.as_raw_fd(), bytes, &kernel, MsgFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// A dump that is being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dump {
    sequence: u32,
    consistent: bool,
}

impl Dump {
    /// Whether nothing has changed under the reader so far.
    pub(crate) const fn is_consistent(&self) -> bool {
        self.consistent
    }

    /// Gives kind and payload of each message of it in `datagram` to `take`; whether it ends there.
    fn take(&mut self, datagram: &[u8], mut take: impl FnMut(u16, &[u8])) -> Result<bool, Errno> {
        for message in messages(datagram).filter(|message| message.sequence == self.sequence) {
            self.consistent &= message.flags & NLM_F_DUMP_INTR == 0;
            match message.kind {
                ERROR | DONE => return error_code(message.payload).map_or(Ok(true), Err),
                FIRST_OF_FAMILY.. => take(message.kind, message.payload),
                _ => {}
            }
        }
        Ok(false)
    }
}

impl AsFd for RouteSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::getsockname;
    use proptest::prelude::*;

    use super::*;

    /// A message of this kind and sequence number with this payload, padded.
    fn message(kind: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(16 + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&0u16.to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// Root may send to another process's socket; anybody else can't (netlink(7)).
    #[test]
    fn only_the_kernel_is_heard() {
        let mut ours = RouteSocket::for_events(0, RECEIVE_LEN).unwrap();
        let address = getsockname::<NetlinkAddr>(ours.socket.as_raw_fd()).unwrap();
        let other = RouteSocket::for_requests().unwrap();
        // That the first link is gone, in the kernel's words.
        let forged =
            message(libc::RTM_DELLINK, 0, &[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let sent = sendto(other.socket.as_raw_fd(), &forged, &address, MsgFlags::empty());
        assert_eq!(sent, Ok(forged.len()), "this test sends to a socket: run it as root");
        assert_eq!(ours.receive().map(<[u8]>::len), Err(Errno::EAGAIN));
        // It was there, and is not any more.
        let mut space = [0; 1];
        let left = nix::sys::socket::recv(ours.socket.as_raw_fd(), &mut space, MsgFlags::MSG_PEEK);
        assert_eq!(left, Err(Errno::EAGAIN));
    }

    #[test]
    fn a_datagram_is_taken_apart_into_its_messages() {
        let mut datagram = message(20, 7, b"five.");
        datagram.extend(message(21, 8, b""));
        let kinds: Vec<_> =
            messages(&datagram).map(|m| (m.kind, m.sequence, m.payload.to_vec())).collect();
        assert_eq!(kinds, [(20, 7, b"five.".to_vec()), (21, 8, Vec::new())]);
    }

    #[test]
    fn a_message_that_is_cut_short_ends_the_datagram() {
        let mut datagram = message(20, 7, b"");
        datagram.extend(message(21, 8, b"payload"));
        datagram.truncate(datagram.len() - 4);
        assert_eq!(messages(&datagram).count(), 1);
    }

    #[test]
    fn the_code_of_an_error_is_an_errno_and_zero_is_none() {
        assert_eq!(error_code(&(-17i32).to_ne_bytes()), Some(Errno::EEXIST));
        assert_eq!(error_code(&0i32.to_ne_bytes()), None);
        assert_eq!(error_code(&[1, 2]), Some(Errno::EBADMSG));
        assert!(error_code(&i32::MIN.to_ne_bytes()).is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_apart_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for message in messages(&bytes) {
                let _ = error_code(message.payload);
            }
        }
    }
}
