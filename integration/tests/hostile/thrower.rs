//! Who throws packets.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use holdfast_testkit::lab::Node;
use socket2::{Domain, Protocol, Socket, Type};
use vrrp::AddressFamily;

use super::packets::{CLIENT6, GROUP4, GROUP6, PROTOCOL, Packet};

/// The thrower's sockets: raw ones, with nothing of ours.
#[derive(Debug)]
pub(super) struct Thrower {
    v4: Socket,
    v6: Socket,
    /// Whose packets bring their own IPv6 header.
    v6_header: Socket,
    to4: SocketAddr,
    to6: SocketAddr,
}

impl Thrower {
    pub(super) fn on(node: &Node) -> Self {
        node.enter(|| {
            let index = nix::net::if_::if_nametoindex("eth0").unwrap();
            let raw = |domain, protocol: u8| {
                Socket::new(domain, Type::RAW, Some(Protocol::from(i32::from(protocol)))).unwrap()
            };
            let v4 = raw(Domain::IPV4, PROTOCOL);
            v4.bind_device(Some(b"eth0")).unwrap();
            v4.set_multicast_if_v4(&Ipv4Addr::new(10, 77, 0, 1)).unwrap();
            let v6 = raw(Domain::IPV6, PROTOCOL);
            v6.bind(&SocketAddr::from(SocketAddrV6::new(CLIENT6, 0, 0, index)).into()).unwrap();
            let v6_header = raw(Domain::IPV6, 255);
            for socket in [&v6, &v6_header] {
                socket.set_multicast_if_v6(index).unwrap();
            }
            let to6 = SocketAddrV6::new(GROUP6, 0, 0, index).into();
            Self { v4, v6, v6_header, to4: (GROUP4, 0).into(), to6 }
        })
        .unwrap()
    }

    pub(super) fn throw(&self, packet: &Packet) {
        let Packet { family, hop_limit, bytes } = packet;
        let sent = match family {
            AddressFamily::Ipv4 => {
                self.v4.set_multicast_ttl_v4(*hop_limit).unwrap();
                self.v4.send_to(bytes, &self.to4.into())
            }
            AddressFamily::Ipv6 => {
                self.v6.set_multicast_hops_v6(*hop_limit).unwrap();
                self.v6.send_to(bytes, &self.to6.into())
            }
        };
        sent.unwrap();
    }

    /// As if it came from `source`.
    pub(super) fn throw_from(&self, source: Ipv6Addr, message: &[u8]) {
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
        bytes.extend([PROTOCOL, 255]);
        bytes.extend(source.octets());
        bytes.extend(GROUP6.octets());
        bytes.extend(message);
        self.v6_header.send_to(&bytes, &self.to6.into()).unwrap();
    }
}
