//! Listening on TCP, also where a listener of this daemon's own is in the way.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket};

/// How a listener is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listen {
    pub(crate) address: SocketAddr,
    /// So many connections wait in the kernel for the listener.
    pub(crate) backlog: u32,
    /// Whether the address may come later: the order of a boot decides nothing (ip(7), IP_FREEBIND, which holds for IPv6 as well).
    pub(crate) freebind: bool,
}

impl Listen {
    /// Listens beside `current`, which this one is to replace: its port may be the same, and its address one that includes this one, or
    /// is included in it, as every address is in `0.0.0.0`. The port stays this user's: no other's socket can have it too.
    ///
    /// # Errors
    /// The kernel refuses it: another program has the port, say.
    pub(crate) fn beside(self, current: Option<&TcpListener>) -> io::Result<TcpListener> {
        let refused = match self.open(false) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => error,
            result => return result,
        };
        let same_port = |one: &&TcpListener| {
            one.local_addr().is_ok_and(|address| address.port() == self.address.port())
        };
        let Some(current) = current.filter(same_port) else { return Err(refused) };
        // Two sockets may have one port where both say so and are of one user. From then on the kernel lets in who is that user and says
        // so, too, which no program does by accident.
        share(current, true)?;
        let opened = self.open(true);
        share(current, false)?;
        let opened = opened?;
        share(&opened, false)?;
        Ok(opened)
    }

    fn open(self, shared: bool) -> io::Result<TcpListener> {
        let socket = match self.address.is_ipv4() {
            true => TcpSocket::new_v4()?,
            false => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(shared)?;
        setsockopt(&socket.as_fd(), sockopt::IpFreebind, &self.freebind)?;
        socket.bind(self.address)?;
        socket.listen(self.backlog)
    }
}

/// Says whether the listener's port may be another socket's, too (socket(7), SO_REUSEPORT).
fn share(listener: &TcpListener, shared: bool) -> io::Result<()> {
    Ok(setsockopt(&listener.as_fd(), sockopt::ReusePort, &shared)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str, port: u16) -> Listen {
        let address = SocketAddr::new(address.parse().unwrap(), port);
        Listen { address, backlog: 8, freebind: false }
    }

    #[tokio::test]
    async fn a_listener_gives_way_to_one_whose_address_includes_its_own_and_the_other_way_round() {
        for (narrow, wide) in [("127.0.0.1", "0.0.0.0"), ("::1", "::"), ("127.0.0.1", "::")] {
            let first = at(narrow, 0).beside(None).unwrap();
            let port = first.local_addr().unwrap().port();
            let second = at(wide, port).beside(Some(&first)).unwrap();
            drop(first);
            let third = at(narrow, port).beside(Some(&second)).unwrap();
            // Who has the port has it: another program is refused.
            for one in ["127.0.0.1", "0.0.0.0", "::1", "::"] {
                if one.parse::<std::net::IpAddr>().unwrap().is_ipv4() || wide == "::" {
                    let refused = at(one, port).open(false).map(drop).map_err(|error| error.kind());
                    assert_eq!(refused, Err(io::ErrorKind::AddrInUse), "{one} beside {wide}");
                }
            }
            drop(second);
            let client = tokio::net::TcpStream::connect((narrow, port));
            let (accepted, connected) = tokio::join!(third.accept(), client);
            assert_eq!(accepted.unwrap().1, connected.unwrap().local_addr().unwrap());
        }
    }

    #[tokio::test]
    async fn what_another_program_has_is_refused() {
        let others = at("127.0.0.1", 0).open(false).unwrap();
        let port = others.local_addr().unwrap().port();
        let ours = at("127.0.0.1", 0).beside(None).unwrap();
        let refused = at("127.0.0.1", port).beside(Some(&ours)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        let same = ours.local_addr().unwrap();
        let refused = at("127.0.0.1", same.port()).beside(Some(&others)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }
}
