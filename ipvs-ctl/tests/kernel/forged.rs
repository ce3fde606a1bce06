//! What another process sends to the client's socket is not believed: any process with CAP_NET_ADMIN may send.

use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sendto, socket,
};

use crate::namespace::{client, run};

/// The ports of the generic-netlink sockets of this thread's namespace, without the kernel's own.
fn ports() -> Vec<u32> {
    let listed = std::fs::read_to_string("/proc/thread-self/net/netlink").expect("/proc");
    // sk Eth Pid Groups …
    let lines = listed.lines().map(|line| line.split_whitespace().skip(1).take(2));
    let pairs = lines.filter_map(|mut words| Some((words.next()?, words.next()?)));
    pairs
        .filter(|(protocol, _)| *protocol == "16")
        .filter_map(|(_, port)| port.parse().ok())
        .filter(|port| *port != 0)
        .collect()
}

/// An error with any sequence number, as the kernel answers a request that it refuses: EPERM.
fn refusal(sequence: u32) -> Vec<u8> {
    let mut message = 36_u32.to_ne_bytes().to_vec();
    message.extend(2_u16.to_ne_bytes());
    message.extend(0_u16.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend((-1_i32).to_ne_bytes());
    message.resize(36, 0);
    message
}

#[test]
fn a_refusal_that_another_process_invents_does_not_come_to_the_client() {
    let mut client = client();
    run("ipvsadm -A -t 192.0.2.1:80 -s rr");
    assert_eq!(client.table().expect("the table").len(), 1);
    let forger = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkGeneric,
    )
    .expect("a socket");
    let ports = ports();
    assert!(!ports.is_empty(), "the client has a socket");
    for port in ports {
        // Whatever number the next request has.
        for sequence in 0..64 {
            let to = NetlinkAddr::new(port, 0);
            let sent = sendto(forger.as_raw_fd(), &refusal(sequence), &to, MsgFlags::empty());
            // The client's socket is connected to the kernel: what anybody else sends is refused where it is sent.
            assert_eq!(sent, Err(Errno::ECONNREFUSED));
        }
    }
    assert_eq!(client.table().expect("the table").len(), 1);
}
