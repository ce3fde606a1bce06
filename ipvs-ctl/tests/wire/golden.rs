//! Bytes that Linux 6.1 took and that `ipvsadm` then listed as what they say, little-endian.
#![cfg(target_endian = "little")]

use ipvs_ctl::model::{
    Destination, Family, Forwarding, Persistence, Protocol, Scheduler, ServiceFlags, ServiceKey,
    SyncDaemon, SyncRole, Tunnel, TunnelChecksum, VirtualService,
};
use ipvs_ctl::wire::{
    Command, IpvsAttr, IpvsMessage, daemon_attributes, destination_attributes, read_daemon,
    read_destination, read_service, service_attributes,
};
use netlink_packet_core::{Emitable as _, ParseableParametrized as _};
use netlink_packet_generic::GenlHeader;

const TCP4: &str = "5400018006000100020000000600020006000000140003000a000001000000000000000000000000060004000050000007000600727200000c00070000000000ffffffff080008000000000008000900ffffffff";
const TCP6_MH: &str = "54000180060001000a00000006000200060000001400030020010db80000000000000000000000800600040001bb0000070006006d6800000c00070018000000ffffffff08000800000000000800090080000000";
const FWMARK_PERSISTENT: &str = "380001800600010002000000080005000700000008000600777272000c00070001000000ffffffff080008002c01000008000900ffffffff";
const DIRECT: &str = "48000280140001000a00000a000000000000000000000000060002000050000006000b00020000000800030003000000080004000100000008000500000000000800060000000000";
const GUE: &str = "60000280140001000a00000c000000000000000000000000060002000050000006000b0002000000080003000200000008000400010000000800050000000000080006000000000005000d000100000006000e0017c0000006000f0001000000";
const DAEMON: &str = "3c000380080001000100000007000200643000000800030005000000060004007805000008000500e000006306000700282300000500080004000000";

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Emits into a dirty buffer, so that a byte that isn't written shows.
fn emitted(attribute: IpvsAttr) -> String {
    let message = IpvsMessage { command: Command::NewService, attributes: vec![attribute] };
    let mut buffer = vec![0xa5; message.buffer_len()];
    message.emit(&mut buffer);
    hex(&buffer)
}

fn parsed(golden: &str) -> IpvsAttr {
    let header = GenlHeader { cmd: 1, version: 1 };
    let message = IpvsMessage::parse_with_param(&bytes(golden), header).unwrap();
    let [attribute] = <[IpvsAttr; 1]>::try_from(message.attributes).unwrap();
    attribute
}

fn service(key: ServiceKey, scheduler: &str) -> VirtualService {
    VirtualService::new(key, scheduler.parse::<Scheduler>().unwrap())
}

fn assert_service(golden: &str, service: &VirtualService) {
    assert_eq!(emitted(IpvsAttr::Service(service_attributes(service))), golden);
    let IpvsAttr::Service(attributes) = parsed(golden) else { panic!("not a service") };
    assert_eq!(read_service(&attributes).unwrap().0, *service);
}

fn assert_destination(golden: &str, destination: Destination) {
    assert_eq!(emitted(IpvsAttr::Destination(destination_attributes(&destination))), golden);
    let IpvsAttr::Destination(attributes) = parsed(golden) else { panic!("not a destination") };
    assert_eq!(read_destination(&attributes, Family::Ipv4).unwrap().destination, destination);
}

#[test]
fn service_of_ipv4() {
    let address = "10.0.0.1:80".parse().unwrap();
    assert_service(TCP4, &service(ServiceKey::Address { protocol: Protocol::Tcp, address }, "rr"));
}

#[test]
fn service_of_ipv6_with_both_flags_of_mh() {
    let address = "[2001:db8::80]:443".parse().unwrap();
    let key = ServiceKey::Address { protocol: Protocol::Tcp, address };
    let flags = ServiceFlags::SCHEDULER_1.with(ServiceFlags::SCHEDULER_2);
    assert_service(TCP6_MH, &VirtualService { flags, ..service(key, "mh") });
}

#[test]
fn service_by_mark_with_persistence() {
    let key = ServiceKey::Fwmark { family: Family::Ipv4, mark: 7.try_into().unwrap() };
    let persistence = Some(Persistence { timeout_s: 300, prefix: 32 });
    assert_service(FWMARK_PERSISTENT, &VirtualService { persistence, ..service(key, "wrr") });
}

#[test]
fn destination_by_direct_routing() {
    let address = "10.0.0.10:80".parse().unwrap();
    assert_destination(DIRECT, Destination::new(address, Forwarding::Direct, 1));
}

#[test]
fn destination_by_gue_with_checksum() {
    let tunnel = Tunnel::Gue { port: 6080, checksum: TunnelChecksum::Full };
    let address = "10.0.0.12:80".parse().unwrap();
    assert_destination(GUE, Destination::new(address, Forwarding::Tunnel(tunnel), 1));
}

#[test]
fn sync_daemon_with_its_port_in_the_host_order() {
    let daemon = SyncDaemon {
        role: SyncRole::Master,
        interface: "d0".to_owned(),
        sync_id: 5,
        max_length: Some(1400),
        group: Some("224.0.0.99".parse().unwrap()),
        port: Some(9000),
        ttl: Some(4),
    };
    assert_eq!(emitted(IpvsAttr::Daemon(daemon_attributes(&daemon))), DAEMON);
    let IpvsAttr::Daemon(attributes) = parsed(DAEMON) else { panic!("not a daemon") };
    assert_eq!(read_daemon(&attributes).unwrap(), daemon);
}

#[test]
fn a_golden_message_cut_anywhere_is_an_error_or_shorter_but_never_a_panic() {
    for golden in [TCP4, TCP6_MH, FWMARK_PERSISTENT, DIRECT, GUE, DAEMON] {
        let whole = bytes(golden);
        for end in 1..whole.len() {
            let header = GenlHeader { cmd: 1, version: 1 };
            assert!(IpvsMessage::parse_with_param(&whole[..end], header).is_err(), "{end}");
        }
    }
}
