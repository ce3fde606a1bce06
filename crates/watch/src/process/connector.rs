//! The kernel's word of every process that begins, ends or becomes another (linux/cn_proc.h, linux/connector.h).
//!
//! It is spoken in the first network, user and process namespace of the host only, and to who has CAP_NET_ADMIN. Elsewhere the
//! kernel refuses, or says nothing at all: a listener that is not acknowledged is taken for refused.

use std::io;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, NetlinkAddr, bind, recvfrom, sendto, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::timeout;

use holdfast_probe::Readable;

/// AF_NETLINK of linux/socket.h.
const AF_NETLINK: i32 = 16;
/// NETLINK_CONNECTOR of linux/netlink.h.
const NETLINK_CONNECTOR: i32 = 11;
/// CN_IDX_PROC and CN_VAL_PROC of linux/connector.h; the first is the group's number, too.
const PROC: u32 = 1;
/// NLMSG_DONE of linux/netlink.h, the type of every message here.
const DONE: u16 = 3;
/// PROC_CN_MCAST_LISTEN and PROC_CN_MCAST_IGNORE of linux/cn_proc.h.
const LISTEN: u32 = 1;
const IGNORE: u32 = 2;
/// Lengths of `struct nlmsghdr`, `struct cn_msg` and of `struct proc_event` before its data.
const HEADERS: usize = 16 + 20;
const EVENT: usize = 16;
/// A message is some ninety bytes.
const BUFFER: usize = 1024;
/// Room for some ten thousand events, against a burst.
const RECEIVE_BUFFER: usize = 4 << 20;
/// The kernel acknowledges while it is asked.
const PATIENCE: Duration = Duration::from_millis(500);

/// A socket that hears of processes.
#[derive(Debug)]
pub(super) struct Connector(Readable<Socket>);

/// What happened to a process. Threads are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It began as the image of its parent.
    Forked {
        /// The parent.
        parent: i32,
        /// The new one.
        child: i32,
    },
    /// It runs another program, or has given itself another name.
    Renamed(i32),
    /// It is over.
    Ended(i32),
    /// The kernel's answer to the wish to listen; zero or an errno.
    Acknowledged(u32),
    /// What happened is lost or of no interest.
    Other,
}

impl Connector {
    /// Begins to listen. Needs a tokio runtime.
    ///
    /// # Errors
    /// The kernel does not let this process listen here, or did not say that it does.
    pub(super) async fn open() -> io::Result<Self> {
        let socket = socket(1 << (PROC - 1))?;
        // Beyond the host's limit (net.core.rmem_max) where the process may, up to it otherwise.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        }
        let connector = Self(Readable::new(socket)?);
        connector.ask(LISTEN)?;
        timeout(PATIENCE, connector.acknowledged()).await.map_err(|_elapsed| {
            io::Error::other(
                "the kernel does not answer: it has no CONFIG_PROC_EVENTS, or this is not the host's first namespace",
            )
        })??;
        Ok(connector)
    }

    /// The next event. An overrun of the queue is ENOBUFS: what was said meanwhile is lost.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(super) async fn next(&self) -> io::Result<Event> {
        self.0.read(receive).await
    }

    /// The next event if one is there already.
    ///
    /// # Errors
    /// What the kernel answered; `WouldBlock` when there is none.
    pub(super) fn try_next(&self) -> io::Result<Event> {
        receive(self.0.get())
    }

    async fn acknowledged(&self) -> io::Result<()> {
        loop {
            match self.next().await {
                Ok(Event::Acknowledged(0)) => return Ok(()),
                Ok(Event::Acknowledged(errno)) => {
                    let errno = i32::try_from(errno).unwrap_or(i32::MAX);
                    return Err(io::Error::from_raw_os_error(errno));
                }
                Ok(_) => {}
                // A busy host, and a queue that is full before it is read: the events are for those who listen.
                Err(error) if is_overrun(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn ask(&self, wish: u32) -> io::Result<()> {
        let message = message(wish);
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.0.get().as_raw_fd(), &message, &kernel, MsgFlags::empty())?;
        Ok(())
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        // A kernel before 6.6 would go on telling nobody.
        drop(self.ask(IGNORE));
    }
}

/// Whether `error` says that events were lost.
pub(super) fn is_overrun(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENOBUFS as i32)
}

/// A socket of the connector's family that hears what is said to these groups, as a bit each, and to itself.
fn socket(groups: u32) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::from(AF_NETLINK),
        Type::DGRAM.nonblocking(),
        Some(Protocol::from(NETLINK_CONNECTOR)),
    )?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

fn receive(socket: &Socket) -> io::Result<Event> {
    let mut buffer = [0; BUFFER];
    let (length, from) = recvfrom::<NetlinkAddr>(socket.as_raw_fd(), &mut buffer)?;
    // Another process can send to this socket; only the kernel is believed.
    if from.is_none_or(|from| from.pid() != 0) {
        return Ok(Event::Other);
    }
    Ok(buffer.get(..length).and_then(event).unwrap_or(Event::Other))
}

/// The wish to listen or to be left alone.
fn message(wish: u32) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADERS + 4);
    message.extend_from_slice(&40_u32.to_ne_bytes());
    message.extend_from_slice(&DONE.to_ne_bytes());
    // No flags; sequence number and sender are of no use here.
    message.extend_from_slice(&[0; 2 + 4 + 4]);
    for word in [PROC, PROC, 0, 0] {
        message.extend_from_slice(&word.to_ne_bytes());
    }
    message.extend_from_slice(&4_u16.to_ne_bytes());
    message.extend_from_slice(&[0; 2]);
    message.extend_from_slice(&wish.to_ne_bytes());
    message
}

/// What one message says; none for what is no message of this connector.
fn event(message: &[u8]) -> Option<Event> {
    let index = message.get(16..20)?;
    if index != PROC.to_ne_bytes() {
        return None;
    }
    let word = |place: usize| {
        let at = HEADERS + place;
        message.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes)
    };
    let number = |place: usize| word(EVENT + 4 * place).map(u32::cast_signed);
    // The values of `enum what` in linux/cn_proc.h.
    Some(match word(0)? {
        0 => Event::Acknowledged(word(EVENT)?),
        1 if number(2)? == number(3)? => Event::Forked { parent: number(1)?, child: number(3)? },
        2 => Event::Renamed(number(1)?),
        0x200 if number(0)? == number(1)? => Event::Renamed(number(1)?),
        0x8000_0000 if number(0)? == number(1)? => Event::Ended(number(1)?),
        _ => Event::Other,
    })
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::getsockname;

    use super::*;

    /// A message of the kernel: what, and its data.
    fn said(what: u32, data: &[i32]) -> Vec<u8> {
        let mut bytes = message(0);
        bytes.truncate(HEADERS);
        bytes.extend_from_slice(&what.to_ne_bytes());
        bytes.extend_from_slice(&[0; 12]);
        data.iter().for_each(|word| bytes.extend_from_slice(&word.to_ne_bytes()));
        bytes
    }

    #[test]
    fn the_wish_has_the_bytes_of_the_kernels_headers() {
        let message = message(LISTEN);
        assert_eq!(message.len(), 40);
        assert_eq!(message.get(..4), Some(40_u32.to_ne_bytes().as_slice()));
        assert_eq!(message.get(36..), Some(1_u32.to_ne_bytes().as_slice()));
    }

    #[test]
    fn events_of_processes_are_told_and_those_of_threads_are_not() {
        let forked = Event::Forked { parent: 6, child: 7 };
        assert_eq!(event(&said(1, &[5, 6, 7, 7])), Some(forked));
        assert_eq!(event(&said(1, &[5, 5, 8, 5])), Some(Event::Other), "a thread");
        assert_eq!(event(&said(2, &[7, 7])), Some(Event::Renamed(7)));
        assert_eq!(event(&said(0x200, &[7, 7])), Some(Event::Renamed(7)));
        assert_eq!(event(&said(0x200, &[8, 7])), Some(Event::Other), "a thread's name");
        assert_eq!(event(&said(0x8000_0000, &[7, 7, 0, 17])), Some(Event::Ended(7)));
        assert_eq!(event(&said(0x8000_0000, &[8, 7, 0, 17])), Some(Event::Other), "a thread");
        assert_eq!(event(&said(0, &[1])), Some(Event::Acknowledged(1)));
        assert_eq!(event(&said(4, &[7, 7, 0, 0])), Some(Event::Other));
    }

    /// Root may send to another process's socket; anybody else can't (netlink(7)).
    #[test]
    fn only_the_kernel_is_believed() {
        // In no group: what the kernel says of processes meanwhile is not heard.
        let ours = socket(0).unwrap();
        let address = getsockname::<NetlinkAddr>(ours.as_raw_fd()).unwrap();
        let other = socket(0).unwrap();
        // That the first process is over, in the kernel's words.
        let forged = said(0x8000_0000, &[1, 1, 0, 17]);
        assert_eq!(event(&forged), Some(Event::Ended(1)));
        let sent = sendto(other.as_raw_fd(), &forged, &address, MsgFlags::empty());
        assert_eq!(sent, Ok(forged.len()), "this test sends to a socket: run it as root");
        assert_eq!(receive(&ours).unwrap(), Event::Other);
        // It was there, and is not any more.
        assert_eq!(receive(&ours).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn bytes_that_are_cut_short_are_no_event() {
        let whole = said(1, &[5, 6, 7, 7]);
        for length in 0..whole.len() {
            assert_eq!(event(whole.get(..length).unwrap()), None, "{length} bytes");
        }
    }
}
