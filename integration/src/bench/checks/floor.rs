//! What the kernel alone takes for a check: connections and their resets over sockets that are used again, and nothing else.
//!
//! Most of a check is the kernel's work for it, over loopback for both ends of the connection; no program's check can cost less than what
//! is measured here in the same kernel, unless it does without a connection.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use holdfast_testkit::lab::Node;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, connect, setsockopt, socket, sockopt,
};
use nix::time::{ClockId, clock_gettime};

use super::setup::{PORT, address};

/// So many connections are made,
const CONNECTIONS: u32 = 20_000;
/// so many of them before the first of these is reset,
const AT_ONCE: u32 = 10;
/// and after each so many a pause in which the listener takes them: what it can't take is no connection.
const PAUSE: Duration = Duration::from_millis(1);

/// Processor time of a connection and its reset, in nanoseconds.
///
/// # Errors
/// A connection can't be begun.
pub(super) fn floor(node: &Node) -> Result<u64> {
    node.enter(measure)?.context("measure what the kernel takes")
}

fn measure() -> Result<u64, Errno> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let sockets = (0..AT_ONCE)
        .map(|_| socket(AddressFamily::Inet, SockType::Stream, flags, None))
        .collect::<Result<Vec<_>, _>>()?;
    for socket in &sockets {
        setsockopt(socket, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
    }
    // AF_UNSPEC: connect(2) resets what there is.
    let nowhere = libc::sockaddr_in {
        sin_family: 0,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: 0 },
        sin_zero: [0; 8],
    };
    let nowhere = SockaddrIn::from(nowhere);
    let before = Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?);
    for first in (0..CONNECTIONS).step_by(AT_ONCE as usize) {
        for (server, socket) in (first..).zip(&sockets) {
            match connect(socket.as_raw_fd(), &to(address(server % 10_000))) {
                Ok(()) | Err(Errno::EINPROGRESS) => {}
                Err(errno) => return Err(errno),
            }
        }
        for socket in &sockets {
            connect(socket.as_raw_fd(), &nowhere)?;
        }
        sleep(PAUSE);
    }
    let after = Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?);
    let taken = after.saturating_sub(before) / CONNECTIONS;
    Ok(u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX))
}

fn to(server: Ipv4Addr) -> SockaddrIn {
    SocketAddrV4::new(server, PORT).into()
}
