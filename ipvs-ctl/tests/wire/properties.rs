//! parse ∘ emit = id, for attributes and for the model, and no bytes are a panic.

use std::net::{IpAddr, SocketAddr};

use ipvs_ctl::model::{
    Destination, Family, Forwarding, Persistence, Protocol, Scheduler, ServiceFlags, ServiceKey,
    SyncDaemon, SyncRole, Tunnel, TunnelChecksum, VirtualService,
};
use ipvs_ctl::wire::{
    Command, Count, DaemonAttr, DestinationAttr, IpvsAttr, IpvsMessage, ServiceAttr, StatsAttr,
    daemon_attributes, destination_attributes, read_attributes, read_daemon, read_destination,
    read_dumped_destination, read_dumped_service, read_service, service_attributes,
};
use netlink_packet_core::{DefaultNla, Emitable as _, NetlinkMessage, ParseableParametrized as _};
use netlink_packet_generic::{GenlHeader, GenlMessage};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn other() -> impl Strategy<Value = DefaultNla> {
    // Numbers above every named one: a named number would be read as its name.
    (100_u16..0x3fff, vec(any::<u8>(), 0..40))
        .prop_map(|(kind, value)| DefaultNla::new(kind, value))
}

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9é]{0,7}"
}

fn count() -> impl Strategy<Value = Count> {
    prop_oneof![any::<u32>().prop_map(Count::Narrow), any::<u64>().prop_map(Count::Wide)]
}

fn stats() -> impl Strategy<Value = Vec<StatsAttr>> {
    let attribute = prop_oneof![
        count().prop_map(StatsAttr::Connections),
        count().prop_map(StatsAttr::PacketsIn),
        count().prop_map(StatsAttr::PacketsOut),
        count().prop_map(StatsAttr::BytesIn),
        count().prop_map(StatsAttr::BytesOut),
        count().prop_map(StatsAttr::ConnectionsPerSecond),
        count().prop_map(StatsAttr::PacketsInPerSecond),
        count().prop_map(StatsAttr::PacketsOutPerSecond),
        count().prop_map(StatsAttr::BytesInPerSecond),
        count().prop_map(StatsAttr::BytesOutPerSecond),
        other().prop_map(StatsAttr::Other),
    ];
    vec(attribute, 0..12)
}

fn service_attribute() -> impl Strategy<Value = ServiceAttr> {
    prop_oneof![
        any::<u16>().prop_map(ServiceAttr::Family),
        any::<u16>().prop_map(ServiceAttr::Protocol),
        any::<[u8; 16]>().prop_map(ServiceAttr::Address),
        any::<u16>().prop_map(ServiceAttr::Port),
        any::<u32>().prop_map(ServiceAttr::Fwmark),
        name().prop_map(ServiceAttr::Scheduler),
        any::<[u32; 2]>().prop_map(|[flags, mask]| ServiceAttr::Flags { flags, mask }),
        any::<u32>().prop_map(ServiceAttr::Timeout),
        any::<[u8; 4]>().prop_map(ServiceAttr::Netmask),
        stats().prop_map(ServiceAttr::Stats),
        name().prop_map(ServiceAttr::PersistenceEngine),
        stats().prop_map(ServiceAttr::Stats64),
        other().prop_map(ServiceAttr::Other),
    ]
}

fn destination_attribute() -> impl Strategy<Value = DestinationAttr> {
    prop_oneof![
        any::<[u8; 16]>().prop_map(DestinationAttr::Address),
        any::<u16>().prop_map(DestinationAttr::Port),
        any::<u32>().prop_map(DestinationAttr::Forwarding),
        any::<u32>().prop_map(DestinationAttr::Weight),
        any::<u32>().prop_map(DestinationAttr::UpperThreshold),
        any::<u32>().prop_map(DestinationAttr::LowerThreshold),
        any::<u32>().prop_map(DestinationAttr::ActiveConnections),
        any::<u32>().prop_map(DestinationAttr::InactiveConnections),
        any::<u32>().prop_map(DestinationAttr::PersistentConnections),
        stats().prop_map(DestinationAttr::Stats),
        any::<u16>().prop_map(DestinationAttr::Family),
        stats().prop_map(DestinationAttr::Stats64),
        any::<u8>().prop_map(DestinationAttr::TunnelType),
        any::<u16>().prop_map(DestinationAttr::TunnelPort),
        any::<u16>().prop_map(DestinationAttr::TunnelFlags),
        other().prop_map(DestinationAttr::Other),
    ]
}

fn daemon_attribute() -> impl Strategy<Value = DaemonAttr> {
    prop_oneof![
        any::<u32>().prop_map(DaemonAttr::State),
        name().prop_map(DaemonAttr::Interface),
        any::<u32>().prop_map(DaemonAttr::SyncId),
        any::<u16>().prop_map(DaemonAttr::MaxLength),
        any::<[u8; 4]>().prop_map(|group| DaemonAttr::Group(group.into())),
        any::<[u8; 16]>().prop_map(|group| DaemonAttr::Group6(group.into())),
        any::<u16>().prop_map(DaemonAttr::Port),
        any::<u8>().prop_map(DaemonAttr::Ttl),
        other().prop_map(DaemonAttr::Other),
    ]
}

fn message() -> impl Strategy<Value = IpvsMessage> {
    let attribute = prop_oneof![
        vec(service_attribute(), 0..14).prop_map(IpvsAttr::Service),
        vec(destination_attribute(), 0..16).prop_map(IpvsAttr::Destination),
        vec(daemon_attribute(), 0..9).prop_map(IpvsAttr::Daemon),
        any::<u32>().prop_map(IpvsAttr::TimeoutTcp),
        any::<u32>().prop_map(IpvsAttr::TimeoutTcpFin),
        any::<u32>().prop_map(IpvsAttr::TimeoutUdp),
        other().prop_map(IpvsAttr::Other),
    ];
    let info = prop_oneof![
        any::<u32>().prop_map(IpvsAttr::Version),
        any::<u32>().prop_map(IpvsAttr::ConnectionTableSize),
        other().prop_map(IpvsAttr::Other),
    ];
    let command = any::<u8>()
        .prop_map(Command::from)
        .prop_filter("info has its own", |command| *command != Command::SetInfo);
    prop_oneof![
        (command, vec(attribute, 0..4))
            .prop_map(|(command, attributes)| IpvsMessage { command, attributes }),
        vec(info, 0..4)
            .prop_map(|attributes| IpvsMessage { command: Command::SetInfo, attributes }),
    ]
}

/// An address that carries nothing but itself: no scope, no flow label.
fn address(family: Family) -> impl Strategy<Value = SocketAddr> {
    (any::<u128>(), any::<u16>()).prop_map(move |(bits, port)| {
        let ip = match family {
            Family::Ipv4 => IpAddr::from(u32::try_from(bits >> 96).unwrap_or(0).to_be_bytes()),
            Family::Ipv6 => IpAddr::from(bits.to_be_bytes()),
        };
        SocketAddr::new(ip, port)
    })
}

fn family() -> impl Strategy<Value = Family> {
    select(vec![Family::Ipv4, Family::Ipv6])
}

fn service_key() -> impl Strategy<Value = ServiceKey> {
    let protocol = select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    prop_oneof![
        (protocol, family().prop_flat_map(address))
            .prop_map(|(protocol, address)| ServiceKey::Address { protocol, address }),
        (family(), any::<std::num::NonZeroU32>())
            .prop_map(|(family, mark)| ServiceKey::Fwmark { family, mark }),
    ]
}

fn service() -> impl Strategy<Value = VirtualService> {
    let parts = (
        service_key(),
        select(Scheduler::KNOWN.to_vec()),
        any::<u32>(),
        option::of((any::<u32>(), 0_u8..=128)),
        option::of("[a-z]{1,16}"),
    );
    parts.prop_map(|(key, scheduler, flags, persistence, persistence_engine)| {
        let longest = if key.family() == Family::Ipv4 { 32 } else { 128 };
        VirtualService {
            flags: ServiceFlags::from_kernel(flags),
            persistence: persistence
                .map(|(timeout_s, prefix)| Persistence { timeout_s, prefix: prefix.min(longest) }),
            persistence_engine,
            ..VirtualService::new(key, scheduler.parse().unwrap())
        }
    })
}

fn forwarding() -> impl Strategy<Value = Forwarding> {
    let checksum =
        || select(vec![TunnelChecksum::None, TunnelChecksum::Full, TunnelChecksum::Remote]);
    prop_oneof![
        select(vec![
            Forwarding::Nat,
            Forwarding::Local,
            Forwarding::Direct,
            Forwarding::Bypass,
            Forwarding::Tunnel(Tunnel::Ipip),
        ]),
        (any::<u16>(), checksum())
            .prop_map(|(port, checksum)| Forwarding::Tunnel(Tunnel::Gue { port, checksum })),
        checksum().prop_map(|checksum| Forwarding::Tunnel(Tunnel::Gre { checksum })),
    ]
}

fn destination() -> impl Strategy<Value = Destination> {
    (family().prop_flat_map(address), forwarding(), any::<[u32; 3]>()).prop_map(
        |(address, forwarding, [weight, upper_threshold, lower_threshold])| Destination {
            address,
            forwarding,
            weight,
            upper_threshold,
            lower_threshold,
        },
    )
}

fn daemon() -> impl Strategy<Value = SyncDaemon> {
    let parts = (
        select(vec![SyncRole::Master, SyncRole::Backup]),
        "[a-z0-9]{1,15}",
        any::<u8>(),
        option::of(any::<u16>()),
        option::of(any::<IpAddr>()),
        option::of(any::<u16>()),
        option::of(any::<u8>()),
    );
    parts.prop_map(|(role, interface, sync_id, max_length, group, port, ttl)| SyncDaemon {
        role,
        interface,
        sync_id,
        max_length,
        group,
        port,
        ttl,
    })
}

fn parse(message: &IpvsMessage) -> IpvsMessage {
    let mut buffer = vec![0xa5; message.buffer_len()];
    message.emit(&mut buffer);
    let header = GenlHeader { cmd: message.command.into(), version: 1 };
    IpvsMessage::parse_with_param(buffer.as_slice(), header).unwrap()
}

proptest! {
    #[test]
    fn what_is_emitted_is_parsed_as_it_was(message in message()) {
        prop_assert_eq!(parse(&message), message);
    }

    #[test]
    fn services_survive_the_wire(service in service()) {
        let attributes = vec![IpvsAttr::Service(service_attributes(&service))];
        let read = parse(&IpvsMessage { command: Command::NewService, attributes });
        let [IpvsAttr::Service(nest)] = read.attributes.as_slice() else { panic!("{read:?}") };
        prop_assert_eq!(read_service(nest).unwrap().0, service);
    }

    #[test]
    fn destinations_survive_the_wire_whatever_their_service(
        destination in destination(),
        family in family(),
    ) {
        let attributes = vec![IpvsAttr::Destination(destination_attributes(&destination))];
        let read = parse(&IpvsMessage { command: Command::NewDestination, attributes });
        let [IpvsAttr::Destination(nest)] = read.attributes.as_slice() else { panic!("{read:?}") };
        prop_assert_eq!(read_destination(nest, family).unwrap().destination, destination);
    }

    #[test]
    fn daemons_survive_the_wire(daemon in daemon()) {
        let attributes = vec![IpvsAttr::Daemon(daemon_attributes(&daemon))];
        let read = parse(&IpvsMessage { command: Command::NewDaemon, attributes });
        let [IpvsAttr::Daemon(nest)] = read.attributes.as_slice() else { panic!("{read:?}") };
        prop_assert_eq!(read_daemon(nest).unwrap(), daemon);
    }

    /// What is read out of a dump's bytes is what the decoded message says, or both can't be read.
    #[test]
    fn a_dump_says_what_its_decoded_message_says(message in message(), family in family()) {
        // Its attributes have their own numbers.
        prop_assume!(message.command != Command::SetInfo);
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        let decoded = read_attributes(&bytes).unwrap();
        prop_assert_eq!(&decoded, &message.attributes);
        let service = decoded.iter().find_map(|attribute| {
            let IpvsAttr::Service(nest) = attribute else { return None };
            Some(read_service(nest).ok())
        });
        prop_assert_eq!(read_dumped_service(&bytes).ok(), service.flatten());
        let destination = decoded.iter().find_map(|attribute| {
            let IpvsAttr::Destination(nest) = attribute else { return None };
            Some(read_destination(nest, family).ok())
        });
        prop_assert_eq!(read_dumped_destination(&bytes, family).ok(), destination.flatten());
    }

    #[test]
    fn no_bytes_are_a_panic(command in any::<u8>(), bytes in vec(any::<u8>(), 0..200)) {
        let header = GenlHeader { cmd: command, version: 1 };
        let _outcome = IpvsMessage::parse_with_param(bytes.as_slice(), header);
        let _outcome = NetlinkMessage::<GenlMessage<IpvsMessage>>::deserialize(&bytes);
        let _outcome = read_dumped_service(&bytes);
        let _outcome = read_dumped_destination(&bytes, Family::Ipv6);
    }

    /// Random bytes seldom get past the first length: here single bytes of good messages are spoilt.
    #[test]
    fn no_spoilt_message_is_a_panic(
        message in message(),
        spoilt in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let header = GenlHeader { cmd: message.command.into(), version: 1 };
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        for (place, value) in spoilt {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
        }
        let _outcome = read_dumped_service(&bytes);
        let _outcome = read_dumped_destination(&bytes, Family::Ipv4);
        if let Ok(read) = IpvsMessage::parse_with_param(bytes.as_slice(), header) {
            for attribute in &read.attributes {
                if let IpvsAttr::Service(nest) = attribute {
                    let _outcome = read_service(nest);
                } else if let IpvsAttr::Destination(nest) = attribute {
                    let _outcome = read_destination(nest, Family::Ipv4);
                } else if let IpvsAttr::Daemon(nest) = attribute {
                    let _outcome = read_daemon(nest);
                }
            }
            let mut again = vec![0; read.buffer_len()];
            read.emit(&mut again);
        }
    }
}
