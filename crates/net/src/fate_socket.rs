//! TCP on one interface for the fate channel: a port that neighbours connect to, and connections whose end is what they are for.
//!
//! Invariants: nothing blocks; only packets of the interface itself count; what arrives with a lower TTL or hop limit than a port wants is
//! dropped by the kernel, so that with 255 nobody beyond the next router can open or reset a connection to it (RFC 5082). Who
//! connects can't ask for that: a kernel refuses a connection with its usual TTL. Where a port is for some addresses only, packets of
//! all others are dropped by the kernel, too: nobody else gets an answer.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use socket2::{Domain, Protocol, SockFilter, Socket, TcpKeepalive, Type};
use vrrp::AddressFamily;

use crate::inherited;
use crate::interface::Interface;

/// Connections that wait to be accepted; the kernel leaves further ones unanswered.
const BACKLOG: i32 = 8;
/// So long a connection is silent before the kernel asks whether the other side is there, and between the questions.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// After so many unanswered questions it has ended, by a time-out.
const QUESTIONS: u32 = 3;
/// `IPV6_MINHOPCOUNT` of linux/in6.h.
const IPV6_MINHOPCOUNT: i32 = 73;
/// A longer filter is not made: the kernel has 4,096 instructions at most, and `net.core.optmem_max` room for some 2,500.
const FILTER_MAX: usize = 2048;
/// `SKF_NET_OFF` of linux/filter.h: from there on the IP header is read.
const IP_HEADER: u32 = 0xfff0_0000;

/// Descriptors from this number on are for connections whose end is watched, and further up for the ports: see [`raise`].
const CONNECTIONS: RawFd = 512;
const PORTS: RawFd = 768;

/// What was read of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FateRead {
    /// A byte.
    Byte(u8),
    /// Nothing yet.
    Nothing,
    /// Its end: FIN, or RST.
    Ended,
    /// Its beginning was refused.
    Refused,
    /// It has failed otherwise: nobody answers, for instance.
    Failed(Errno),
}

/// A port on one interface in one family.
#[derive(Debug)]
pub struct FateListener(Socket);

impl FateListener {
    /// Listens to `port` on every address of the interface, to packets with this TTL or hop limit or a higher one.
    ///
    /// # Errors
    /// Another program has the port, a capability is missing, or the interface is gone.
    pub fn open(
        interface: &Interface,
        family: AddressFamily,
        port: u16,
        least_ttl: u8,
    ) -> io::Result<Self> {
        let socket = open(interface, family)?;
        want_ttl(&socket, family, least_ttl)?;
        socket.set_reuse_address(true)?;
        let any = match family {
            AddressFamily::Ipv4 => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
            AddressFamily::Ipv6 => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
        };
        socket.bind(&any.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self(raise(socket, PORTS)))
    }

    /// Takes no packet from now on but of these addresses, without an answer to anybody else; none = of all. Connections that were taken
    /// before are not concerned. Of more addresses than a filter may compare (682 of IPv4, 227 of IPv6) all packets are taken.
    ///
    /// # Errors
    /// The kernel is out of memory.
    pub fn admit(&self, peers: Option<&BTreeSet<IpAddr>>) -> io::Result<()> {
        let everybody = vec![SockFilter::new(RETURN, 0, 0, u32::MAX)];
        let filter = peers.map(filter).filter(|filter| filter.len() <= FILTER_MAX);
        self.0.attach_filter(&filter.unwrap_or(everybody))
    }

    /// The next connection and where it comes from; none when there is none now.
    ///
    /// # Errors
    /// The process or the host has no descriptor left.
    pub fn accept(&self) -> io::Result<Option<(FateStream, IpAddr)>> {
        loop {
            match self.0.accept() {
                Ok((socket, from)) => {
                    let Some(from) = from.as_socket() else { continue };
                    socket.set_nonblocking(true)?;
                    return Ok(Some((FateStream(raise(socket, CONNECTIONS)), from.ip())));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                // It had ended before it was accepted.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for FateListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// One connection. It becomes readable when there is something new of it, its refusal too.
#[derive(Debug)]
pub struct FateStream(Socket);

impl FateStream {
    /// Begins to connect to `port` of `address` by the interface, from `source` or what the kernel chooses.
    ///
    /// # Errors
    /// The kernel can't begin: the interface is down, say, or has no route there.
    pub fn connect(
        interface: &Interface,
        address: IpAddr,
        port: u16,
        source: Option<IpAddr>,
    ) -> io::Result<Self> {
        let socket = open(interface, AddressFamily::of(address))?;
        let at = |address, port| match address {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                SocketAddrV6::new(v6, port, 0, interface.index.value()).into()
            }
            IpAddr::V4(_) | IpAddr::V6(_) => SocketAddr::new(address, port),
        };
        if let Some(source) = source {
            socket.bind(&at(source, 0).into())?;
        }
        match socket.connect(&at(address, port).into()) {
            Ok(()) => Ok(Self(socket)),
            Err(error) if error.raw_os_error() == Some(Errno::EINPROGRESS as i32) => {
                Ok(Self(socket))
            }
            Err(error) => Err(error),
        }
    }

    /// A connection that another process of this daemon had accepted, where it comes from, and the name of the interface that it came by.
    /// None of what is no such connection, or has ended.
    pub fn taken_up(connection: OwnedFd) -> Option<(Self, IpAddr, String)> {
        let socket = Socket::from(connection);
        let from = socket.peer_addr().ok()?.as_socket()?.ip();
        let interface = String::from_utf8(socket.device().ok()??).ok()?;
        socket.set_nonblocking(true).ok()?;
        Some((Self(raise(socket, CONNECTIONS)), from, interface))
    }

    /// What is next of it.
    pub fn read(&self) -> FateRead {
        let mut byte = [0];
        loop {
            match (&self.0).read(&mut byte) {
                Ok(0) => return FateRead::Ended,
                Ok(_) => return FateRead::Byte(byte[0]),
                Err(error) => match error.raw_os_error().unwrap_or(libc::EIO) {
                    libc::EINTR => {}
                    libc::EAGAIN => return FateRead::Nothing,
                    libc::ECONNRESET => return FateRead::Ended,
                    libc::ECONNREFUSED => return FateRead::Refused,
                    number => return FateRead::Failed(Errno::from_raw(number)),
                },
            }
        }
    }

    /// Ends the connection, whoever else has a descriptor of it.
    pub fn end(&self) {
        // One that has ended is what is wanted.
        drop(self.0.shutdown(Shutdown::Both));
    }

    /// Says a word.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn say(&self, word: u8) -> io::Result<()> {
        (&self.0).write_all(&[word])
    }
}

impl AsFd for FateStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The same socket by the first free number from `number` on. When a process is killed, Linux closes its descriptors one after the other,
/// the greatest number first (`exit_files` puts each on the list that `task_work_run` takes from its end), and a packet socket takes some
/// 10 ms: it waits until no processor may still deliver to it (`packet_release`, `synchronize_net`). Who watches is not to wait for those. Ports
/// end before connections, so that the watcher's next connection is refused.
fn raise(socket: Socket, number: RawFd) -> Socket {
    match fcntl(&socket, FcntlArg::F_DUPFD_CLOEXEC(number)).map(inherited::take) {
        Ok(Ok(raised)) => raised.into(),
        // The process may not have so many: its end is told a little later.
        Ok(Err(_)) | Err(_) => socket,
    }
}

fn open(interface: &Interface, family: AddressFamily) -> io::Result<Socket> {
    let domain = match family {
        AddressFamily::Ipv4 => Domain::IPV4,
        AddressFamily::Ipv6 => Domain::IPV6,
    };
    let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    match family {
        AddressFamily::Ipv4 => socket.set_ttl_v4(255)?,
        AddressFamily::Ipv6 => {
            socket.set_only_v6(true)?;
            socket.set_unicast_hops_v6(255)?;
        }
    }
    socket.bind_device(Some(interface.name.as_bytes()))?;
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    socket.set_tcp_keepalive(&keepalive.with_retries(QUESTIONS))?;
    socket.set_tcp_user_timeout(Some(KEEPALIVE * QUESTIONS))?;
    Ok(socket)
}

fn want_ttl(socket: &Socket, family: AddressFamily, least: u8) -> io::Result<()> {
    let least = i32::from(least);
    match family {
        AddressFamily::Ipv4 => set_number(socket, libc::IPPROTO_IP, libc::IP_MINTTL, least),
        AddressFamily::Ipv6 => set_number(socket, libc::IPPROTO_IPV6, IPV6_MINHOPCOUNT, least),
    }
}

/// Instructions of linux/bpf_common.h: `BPF_LD | BPF_W | BPF_ABS`, `BPF_JMP | BPF_JEQ | BPF_K` and `BPF_RET | BPF_K`.
const LOAD: u16 = 0x20;
const IS_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// A filter that passes packets from these addresses.
fn filter(peers: &BTreeSet<IpAddr>) -> Vec<SockFilter> {
    let mut filter = Vec::new();
    for peer in peers {
        let (at, bytes) = match peer {
            IpAddr::V4(v4) => (12, v4.octets().to_vec()),
            IpAddr::V6(v6) => (8, v6.octets().to_vec()),
        };
        // Four bytes at a time; what differs goes on with the next address.
        let words: Vec<u32> = bytes.chunks(4).map(number).collect();
        for (place, word) in (0u8..).zip(&words) {
            let left = u8::try_from(words.len()).unwrap_or_default().saturating_sub(place);
            let to_next = left.saturating_sub(1).saturating_mul(2).saturating_add(1);
            filter.push(SockFilter::new(LOAD, 0, 0, IP_HEADER + at + u32::from(place) * 4));
            filter.push(SockFilter::new(IS_EQUAL, 0, to_next, *word));
        }
        filter.push(SockFilter::new(RETURN, 0, 0, u32::MAX));
    }
    filter.push(SockFilter::new(RETURN, 0, 0, 0));
    filter
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Sets an option that is an `int`.
#[expect(unsafe_code, reason = "neither socket2 nor nix knows IP_MINTTL and IPV6_MINHOPCOUNT")]
fn set_number(socket: &Socket, level: i32, option: i32, value: i32) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<i32>()).unwrap_or_default();
    // JUSTIFICATION: the options that keep everybody but neighbours out are set by no safe function of the crates that are used here.
    // SAFETY: the pointer is to a number that lives through the call, and the length is that number's; the kernel copies it.
    let set = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length)
    };
    Errno::result(set).map(drop).map_err(io::Error::from)
}
