//! The client against another family, `nlctrl`, which every kernel has and which refuses our commands: batches, refusals and lost
//! answers need no ip_vs and no privilege.

mod faults;
mod matrix;
pub(super) mod script;

use std::borrow::Cow;
use std::os::fd::AsRawFd as _;

use netlink_packet_generic::constants::GENL_ID_CTRL;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, getsockname, sendto,
    setsockopt, socket, sockopt,
};

use super::{BATCH_OPERATIONS, Client, ClientError, Request, Socket};
use crate::model::{Family, ServiceKey, VirtualService};
use crate::plan::Operation;
use crate::wire::IpvsMessage;

fn client() -> Client {
    Client { socket: Socket::open().unwrap(), family: GENL_ID_CTRL }
}

fn operations(count: u32) -> Vec<Operation> {
    (1..=count)
        .map(|mark| {
            let key = ServiceKey::Fwmark { family: Family::Ipv4, mark: mark.try_into().unwrap() };
            // CTRL_CMD_DELFAMILY, 2, is no request.
            Operation::SetService(VirtualService::new(key, "rr".parse().unwrap()))
        })
        .collect()
}

#[test]
fn every_refusal_of_several_batches_has_its_operation() {
    let operations = operations(2000);
    let report = client().apply(&operations).unwrap();
    assert!(!report.answers_lost);
    assert_eq!(report.applied, 0);
    assert!(report.errors.iter().map(|error| &error.operation).eq(&operations));
    assert!(report.errors.iter().all(|error| error.errno == Errno::EOPNOTSUPP));
}

#[test]
fn lost_answers_are_told_and_the_client_goes_on() {
    let mut client = client();
    // The smallest that the kernel gives: a few answers fill it, and the rest of the batch's are dropped.
    setsockopt(client.socket.fd(), sockopt::RcvBuf, &0).unwrap();
    let report = client.apply(&operations(100)).unwrap();
    assert!(report.answers_lost && !report.is_clean());
    assert!(report.errors.len() < 100);
    let report = client.apply(&operations(1)).unwrap();
    assert!(!report.answers_lost);
    assert_eq!(report.errors.len(), 1);
}

#[test]
fn a_batch_never_has_more_answers_than_the_buffer_holds() {
    let mut client = client();
    let mut batch = Vec::new();
    let operations = operations(2000);
    let message = |operation| Cow::Owned(IpvsMessage::from(operation));
    let count = client.encode_batch(&operations, &message, &mut batch);
    assert!(count <= BATCH_OPERATIONS.min(client.socket.answers_limit()));
    assert!(batch.len() < super::BATCH_BYTES + 1024);
}

#[test]
fn a_refused_request_says_what_was_asked() {
    let error = client().flush().unwrap_err();
    assert!(matches!(
        error,
        ClientError::Refused { request: Request::Flush, errno: Errno::EOPNOTSUPP }
    ));
    assert_eq!(error.to_string(), "remove every service: EOPNOTSUPP");
}

#[test]
fn another_process_is_not_heard() {
    let client = client();
    let ours = getsockname::<NetlinkAddr>(client.socket.fd().as_raw_fd()).unwrap();
    let other = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkGeneric,
    )
    .unwrap();
    let to = NetlinkAddr::new(ours.pid(), 0);
    let sent = sendto(other.as_raw_fd(), &[0; 20], &to, MsgFlags::empty());
    assert!(matches!(sent, Err(Errno::ECONNREFUSED | Errno::EPERM)), "{sent:?}");
}
