//! Every command of the family but those on services and destinations, which the other files have.

use std::net::UdpSocket;
use std::time::Duration;

use ipvs_ctl::client::{Client, ClientError};
use ipvs_ctl::model::{Protocol, ServiceKey, ServiceStatus, SyncDaemon, SyncRole, Table, Timeouts};
use ipvs_ctl::wire::{Command, IpvsAttr, IpvsMessage, ServiceAttr, service_attributes};
use nix::errno::Errno;

use crate::namespace::{client, run};
use crate::objects::{destination, entry, reconcile, service, tcp};
use crate::raw::tell;

/// The service once a connection shows in its counters: the kernel sums them up every two seconds.
fn counted(client: &mut Client, key: &ServiceKey) -> ServiceStatus {
    for _ in 0..600 {
        let found = client.service(key).unwrap().unwrap();
        let real = found.destinations.first().unwrap();
        if found.counters.connections > 0 && real.counters.connections > 0 {
            return found;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("nothing was counted in a minute");
}

/// The errno of a request that was refused.
fn refusal<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> (Errno, String) {
    match outcome {
        Err(ClientError::Refused { request, errno }) => (errno, request.to_string()),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn info_tells_the_version_and_the_size_of_the_table() {
    let info = client().info().unwrap();
    assert_eq!(info.version, (1, 2, 1));
    assert!(info.connection_table_size >= 256);
}

#[test]
fn a_fresh_namespace_has_an_empty_table() {
    let status = client().status().unwrap();
    assert!(status.services.is_empty() && status.unreadable.is_empty());
}

#[test]
fn timeouts_are_set_but_for_those_that_are_0() {
    let mut client = client();
    let before = client.timeouts().unwrap();
    assert_eq!(before, Timeouts { tcp_s: 900, tcp_fin_s: 120, udp_s: 300 });
    client.set_timeouts(&Timeouts { tcp_s: 1000, tcp_fin_s: 0, udp_s: 60 }).unwrap();
    assert_eq!(client.timeouts().unwrap(), Timeouts { tcp_s: 1000, tcp_fin_s: 120, udp_s: 60 });
    assert!(run("ipvsadm -L -n --timeout").contains("1000 120 60"));
    let negative = Timeouts { tcp_s: u32::MAX, tcp_fin_s: 0, udp_s: 0 };
    assert_eq!(
        refusal(client.set_timeouts(&negative)),
        (Errno::EINVAL, "set the timeouts".to_owned())
    );
}

#[test]
fn a_service_is_looked_up_by_its_key() {
    let mut client = client();
    let key = tcp("192.0.2.1:80");
    assert_eq!(client.service(&key).unwrap(), None);
    reconcile(
        &mut client,
        &Table::from([entry(service(key, "wlc"), [destination("10.0.0.1:80")])]),
    );
    let found = client.service(&key).unwrap().unwrap();
    assert_eq!(found.service, service(key, "wlc"));
    assert_eq!(found.destinations.len(), 1);
}

#[test]
fn counters_count_and_zero_sets_them_back() {
    let mut client = client();
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let real = server.local_addr().unwrap();
    let address = "127.0.0.1:5000".parse().unwrap();
    let key = ServiceKey::Address { protocol: Protocol::Udp, address };
    let desired = Table::from([entry(service(key, "rr"), [destination(&real.to_string())])]);
    reconcile(&mut client, &desired);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"five!", address).unwrap();
    let mut buffer = [0; 16];
    assert_eq!(server.recv(&mut buffer).unwrap(), 5);
    let found = counted(&mut client, &key);
    let [real] = found.destinations.try_into().unwrap();
    for counters in [found.counters, real.counters] {
        assert_eq!((counters.connections, counters.packets_in), (1, 1));
        assert_eq!(counters.bytes_in, 20 + 8 + 5, "IPv4 and UDP headers, and the text");
    }
    assert_eq!(
        (real.active_connections, real.inactive_connections, real.persistent_connections),
        (0, 1, 0),
        "the kernel counts UDP as inactive"
    );
    client.zero(Some(&key)).unwrap();
    assert_eq!(client.service(&key).unwrap().unwrap().counters.connections, 0);
    client.zero(None).unwrap();
    let missing = tcp("192.0.2.9:9");
    assert_eq!(
        refusal(client.zero(Some(&missing))),
        (Errno::ESRCH, "zero counters of tcp 192.0.2.9:9".to_owned())
    );
}

#[test]
fn flush_removes_every_service_and_leaves_the_timeouts() {
    let mut client = client();
    client.set_timeouts(&Timeouts { tcp_s: 0, tcp_fin_s: 0, udp_s: 77 }).unwrap();
    let entries = ["192.0.2.1:80", "[2001:db8::1]:80"]
        .map(|address| entry(service(tcp(address), "rr"), [destination("10.0.0.1:80")]));
    let [(key, kept), _] = entries;
    reconcile(&mut client, &Table::from([(key, kept)]));
    client.flush().unwrap();
    assert_eq!(client.table().unwrap(), Table::new());
    assert_eq!(client.timeouts().unwrap().udp_s, 77);
}

#[test]
fn sync_daemons_start_and_stop_and_say_why_not() {
    let mut client = client();
    assert_eq!(client.daemons().unwrap(), []);
    let daemon = |role, interface: &str| SyncDaemon {
        role,
        interface: interface.to_owned(),
        sync_id: 255,
        max_length: None,
        group: None,
        port: None,
        ttl: None,
    };
    let master = daemon(SyncRole::Master, "d0");
    assert_eq!(
        refusal(client.start_daemon(&master)),
        (Errno::ENODEV, "start master sync daemon on d0".to_owned())
    );
    run("ip link add d0 type dummy");
    run("ip link set d0 up");
    run("ip addr add 10.9.0.1/24 dev d0");
    run("ip route add 224.0.0.0/4 dev d0");
    client.start_daemon(&master).unwrap();
    assert_eq!(refusal(client.start_daemon(&master)).0, Errno::EEXIST);
    client.start_daemon(&daemon(SyncRole::Backup, "d0")).unwrap();
    let running = client.daemons().unwrap();
    let roles: Vec<SyncRole> = running.iter().map(|daemon| daemon.role).collect();
    assert_eq!(roles, [SyncRole::Master, SyncRole::Backup]);
    for daemon in running {
        assert_eq!((daemon.sync_id, daemon.port, daemon.ttl), (255, Some(8848), Some(1)));
        assert_eq!(daemon.group, Some("224.0.0.81".parse().unwrap()));
    }
    client.stop_daemon(SyncRole::Master).unwrap();
    assert_eq!(
        refusal(client.stop_daemon(SyncRole::Master)),
        (Errno::ESRCH, "stop master sync daemon".to_owned())
    );
    client.stop_daemon(SyncRole::Backup).unwrap();
    let unicast = SyncDaemon { group: Some("10.9.0.2".parse().unwrap()), ..master };
    assert_eq!(refusal(client.start_daemon(&unicast)).0, Errno::EINVAL);
}

#[test]
fn a_service_that_the_model_has_no_word_for_is_named_and_left_alone() {
    let mut client = client();
    let mut attributes = service_attributes(&service(tcp("192.0.2.1:0"), "rr"));
    attributes.push(ServiceAttr::Protocol(1));
    let message = IpvsMessage {
        command: Command::NewService,
        attributes: vec![IpvsAttr::Service(attributes)],
    };
    assert_eq!(tell(message), Ok(()));
    reconcile(&mut client, &Table::from([entry(service(tcp("192.0.2.1:80"), "rr"), [])]));
    let status = client.status().unwrap();
    assert_eq!(
        status.unreadable,
        ["a service can't be read: protocol 1 is none of TCP, UDP and SCTP"]
    );
    assert_eq!(status.services.len(), 1);
}
