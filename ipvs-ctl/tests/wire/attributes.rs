//! What the model makes of attributes, beyond the golden bytes.

use ipvs_ctl::model::{Counters, Family, Forwarding, Persistence, VirtualService};
use ipvs_ctl::wire::{
    Command, Count, DaemonAttr, DestinationAttr, IpvsAttr, IpvsMessage, ServiceAttr, StatsAttr,
    UnreadableError, read_daemon, read_destination, read_info, read_service, read_timeouts,
    service_attributes,
};
use netlink_packet_core::{DefaultNla, Emitable as _, ParseableParametrized as _};
use netlink_packet_generic::GenlHeader;

fn tcp_service() -> Vec<ServiceAttr> {
    vec![
        ServiceAttr::Family(2),
        ServiceAttr::Protocol(6),
        ServiceAttr::Address([10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ServiceAttr::Port(80),
        ServiceAttr::Scheduler("wlc".to_owned()),
        ServiceAttr::Flags { flags: 0x3, mask: u32::MAX },
        ServiceAttr::Timeout(360),
        ServiceAttr::Netmask([255, 255, 255, 0]),
    ]
}

fn with(mut attributes: Vec<ServiceAttr>, last: ServiceAttr) -> Vec<ServiceAttr> {
    attributes.push(last);
    attributes
}

#[test]
fn the_kernels_hashed_flag_is_not_ours_and_persistence_has_a_prefix() {
    let (service, _) = read_service(&tcp_service()).unwrap();
    assert_eq!(service.flags.bits(), 0);
    assert_eq!(service.persistence, Some(Persistence { timeout_s: 360, prefix: 24 }));
}

#[test]
fn every_missing_attribute_of_a_service_is_named() {
    for absent in 0..tcp_service().len() {
        let mut attributes = tcp_service();
        attributes.remove(absent);
        let error = read_service(&attributes).unwrap_err();
        assert!(matches!(error, UnreadableError::Missing { .. }), "{error}");
    }
}

#[test]
fn what_the_model_has_no_word_for_is_refused() {
    let refused = [
        (ServiceAttr::Protocol(1), UnreadableError::Protocol(1)),
        (ServiceAttr::Family(1), UnreadableError::Family(1)),
        (ServiceAttr::Fwmark(0), UnreadableError::Mark),
        (ServiceAttr::Netmask([255, 0, 255, 0]), UnreadableError::Netmask([255, 0, 255, 0])),
    ];
    for (attribute, error) in refused {
        assert_eq!(read_service(&with(tcp_service(), attribute)), Err(error));
    }
    let nameless = with(tcp_service(), ServiceAttr::Scheduler(String::new()));
    assert!(matches!(read_service(&nameless), Err(UnreadableError::Scheduler(_))));
}

#[test]
fn an_empty_persistence_engine_is_none() {
    let attributes = with(tcp_service(), ServiceAttr::PersistenceEngine(String::new()));
    assert_eq!(read_service(&attributes).unwrap().0.persistence_engine, None);
}

#[test]
fn every_prefix_survives_the_netmask() {
    for (family, number, prefixes) in [(Family::Ipv4, 2, 0..=32), (Family::Ipv6, 10, 1..=128)] {
        for prefix in prefixes {
            let attributes = with(
                with(tcp_service(), ServiceAttr::Family(number)),
                ServiceAttr::Netmask([255; 4]),
            );
            let persistence = Some(Persistence { timeout_s: 1, prefix });
            let read = read_service(&with(attributes, ServiceAttr::Netmask([0; 4])));
            let service = VirtualService { persistence, ..read.unwrap().0 };
            assert_eq!(service.key.family(), family);
            assert_eq!(read_service(&service_attributes(&service)).unwrap().0, service);
        }
    }
}

#[test]
fn the_wide_counters_count_whichever_comes_first() {
    let narrow = StatsAttr::BytesIn(Count::Narrow(7));
    let wide = StatsAttr::BytesIn(Count::Wide(1 << 40));
    let expected = Counters { bytes_in: 1 << 40, ..Counters::default() };
    let orders = [
        [ServiceAttr::Stats(vec![narrow.clone()]), ServiceAttr::Stats64(vec![wide.clone()])],
        [ServiceAttr::Stats64(vec![wide.clone()]), ServiceAttr::Stats(vec![narrow.clone()])],
    ];
    for [first, second] in orders {
        let attributes = with(with(tcp_service(), first), second);
        assert_eq!(read_service(&attributes).unwrap().1, expected);
    }
    let destination =
        destination(&[DestinationAttr::Stats64(vec![wide]), DestinationAttr::Stats(vec![narrow])]);
    assert_eq!(read_destination(&destination, Family::Ipv4).unwrap().counters, expected);
}

fn destination(more: &[DestinationAttr]) -> Vec<DestinationAttr> {
    let mut attributes = vec![
        DestinationAttr::Address([10, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        DestinationAttr::Port(8080),
        DestinationAttr::Forwarding(3),
        DestinationAttr::Weight(5),
    ];
    attributes.extend_from_slice(more);
    attributes
}

#[test]
fn a_destination_without_family_has_its_services() {
    let read = read_destination(&destination(&[]), Family::Ipv4).unwrap();
    assert_eq!(read.destination.address, "10.0.0.9:8080".parse().unwrap());
    let read = read_destination(&destination(&[]), Family::Ipv6).unwrap();
    assert_eq!(read.destination.address, "[a00:9::]:8080".parse().unwrap());
}

#[test]
fn connections_are_read() {
    let attributes = destination(&[
        DestinationAttr::ActiveConnections(1),
        DestinationAttr::InactiveConnections(2),
        DestinationAttr::PersistentConnections(3),
    ]);
    let read = read_destination(&attributes, Family::Ipv4).unwrap();
    assert_eq!(
        (read.active_connections, read.inactive_connections, read.persistent_connections),
        (1, 2, 3)
    );
}

#[test]
fn forwarding_that_has_no_name_equals_nothing_that_can_be_asked_for() {
    let nameless = [
        vec![DestinationAttr::Forwarding(7)],
        vec![DestinationAttr::Forwarding(2), DestinationAttr::TunnelType(9)],
        vec![DestinationAttr::Forwarding(2), DestinationAttr::TunnelFlags(3)],
    ];
    for more in nameless {
        let read = read_destination(&destination(&more), Family::Ipv4).unwrap();
        assert_eq!(read.destination.forwarding, Forwarding::Bypass, "{more:?}");
    }
}

#[test]
fn a_sync_identity_that_no_packet_can_carry_is_refused() {
    let attributes =
        [DaemonAttr::State(1), DaemonAttr::Interface("eth0".to_owned()), DaemonAttr::SyncId(300)];
    assert_eq!(read_daemon(&attributes), Err(UnreadableError::SyncId(300)));
    let state =
        [DaemonAttr::State(3), DaemonAttr::Interface("eth0".to_owned()), DaemonAttr::SyncId(0)];
    assert_eq!(read_daemon(&state), Err(UnreadableError::SyncRole(3)));
}

#[test]
fn info_has_its_own_attribute_numbers() {
    let attributes = vec![IpvsAttr::Version(0x0001_0201), IpvsAttr::ConnectionTableSize(4096)];
    let message = IpvsMessage { command: Command::SetInfo, attributes };
    let mut buffer = vec![0xa5; message.buffer_len()];
    message.emit(&mut buffer);
    let header = GenlHeader { cmd: 14, version: 1 };
    let read = IpvsMessage::parse_with_param(buffer.as_slice(), header).unwrap();
    let info = read_info(&read.attributes).unwrap();
    assert_eq!(info.to_string(), "IPVS 1.2.1 (size=4096)");
    assert!(read_info(&[]).is_err());
}

#[test]
fn timeouts_that_the_kernel_leaves_out_are_0() {
    let timeouts = read_timeouts(&[IpvsAttr::TimeoutUdp(300)]);
    assert_eq!((timeouts.tcp_s, timeouts.tcp_fin_s, timeouts.udp_s), (0, 0, 300));
}

#[test]
fn an_unknown_attribute_is_kept_byte_for_byte() {
    // The lengths are whole words: padding is the kernel's business and not part of a payload.
    let raw = DefaultNla::new(99, vec![1, 2, 3, 4, 5]);
    let attributes = vec![
        IpvsAttr::Service(vec![ServiceAttr::Other(raw.clone())]),
        IpvsAttr::Destination(vec![DestinationAttr::Other(raw.clone())]),
        IpvsAttr::Daemon(vec![DaemonAttr::Other(raw.clone())]),
        IpvsAttr::Other(raw),
    ];
    let message = IpvsMessage { command: Command::Other(200), attributes };
    let mut buffer = vec![0xa5; message.buffer_len()];
    message.emit(&mut buffer);
    let header = GenlHeader { cmd: 200, version: 1 };
    assert_eq!(IpvsMessage::parse_with_param(buffer.as_slice(), header).unwrap(), message);
}
