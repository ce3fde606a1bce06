//! What the kernel refuses, with which errno, and how we say it.

use ipvs_ctl::client::OperationError;
use ipvs_ctl::model::{
    Destination, Forwarding, Persistence, SyncDaemon, SyncRole, Tunnel, TunnelChecksum,
    VirtualService,
};
use ipvs_ctl::plan::Operation;

use crate::namespace::{client, run};
use crate::objects::{apply, destination, service, tcp};

/// What the only operation's refusal says. Each refusal comes with help.
fn refused(client: &mut ipvs_ctl::client::Client, operation: Operation) -> String {
    let report = client.apply(&[operation]).unwrap();
    let [error] = <[OperationError; 1]>::try_from(report.errors).expect("one refusal");
    assert!(error.help().is_some(), "{error} has no help");
    assert_eq!(report.applied, 0);
    error.to_string()
}

#[test]
fn services_are_refused_by_name() {
    let mut client = client();
    let web = service(tcp("192.0.2.1:80"), "rr");
    apply(&mut client, &[Operation::NewService(web.clone())]);
    let absent = service(tcp("192.0.2.1:81"), "rr");
    let ipv6 = service(tcp("[2001:db8::1]:80"), "rr");
    let cases = [
        (Operation::NewService(web), "add service tcp 192.0.2.1:80: EEXIST"),
        (Operation::SetService(absent.clone()), "change service tcp 192.0.2.1:81: ESRCH"),
        (Operation::DelService(absent.key), "remove service tcp 192.0.2.1:81: ESRCH"),
        (
            Operation::NewService(service(absent.key, "nosuch")),
            "add service tcp 192.0.2.1:81: ENOENT",
        ),
        (
            Operation::NewService(VirtualService {
                persistence_engine: Some("nosuch".to_owned()),
                ..absent
            }),
            "add service tcp 192.0.2.1:81: ENOENT",
        ),
        (
            Operation::NewService(VirtualService {
                persistence: Some(Persistence { timeout_s: 60, prefix: 0 }),
                ..ipv6.clone()
            }),
            "add service tcp [2001:db8::1]:80: EINVAL",
        ),
        (
            Operation::NewService(VirtualService {
                persistence: Some(Persistence { timeout_s: 60, prefix: 129 }),
                ..ipv6
            }),
            "add service tcp [2001:db8::1]:80: EINVAL",
        ),
    ];
    for (operation, said) in cases {
        assert_eq!(refused(&mut client, operation), said);
    }
}

#[test]
fn destinations_are_refused_by_name() {
    let mut client = client();
    let key = tcp("192.0.2.1:80");
    let present = destination("10.0.0.1:80");
    let new = |destination| Operation::NewDestination { service: key, destination };
    apply(&mut client, &[Operation::NewService(service(key, "rr")), new(present)]);
    let absent = destination("10.0.0.5:80");
    let elsewhere = tcp("192.0.2.9:80");
    let gue = |port| Forwarding::Tunnel(Tunnel::Gue { port, checksum: TunnelChecksum::None });
    let adding = "add destination 10.0.0.5:80 to tcp 192.0.2.1:80";
    let cases = [
        (new(present), "add destination 10.0.0.1:80 to tcp 192.0.2.1:80: EEXIST".to_owned()),
        (
            Operation::NewDestination { service: elsewhere, destination: absent },
            "add destination 10.0.0.5:80 to tcp 192.0.2.9:80: ESRCH".to_owned(),
        ),
        (
            Operation::SetDestination { service: key, destination: absent },
            "change destination 10.0.0.5:80 of tcp 192.0.2.1:80: ENOENT".to_owned(),
        ),
        (
            Operation::DelDestination { service: key, address: absent.address },
            "remove destination 10.0.0.5:80 from tcp 192.0.2.1:80: ENOENT".to_owned(),
        ),
        (
            Operation::DelDestination { service: elsewhere, address: absent.address },
            "remove destination 10.0.0.5:80 from tcp 192.0.2.9:80: ESRCH".to_owned(),
        ),
        (new(Destination { weight: u32::MAX, ..absent }), format!("{adding}: ERANGE")),
        (
            new(Destination { upper_threshold: 1, lower_threshold: 2, ..absent }),
            format!("{adding}: ERANGE"),
        ),
        (new(Destination { forwarding: gue(0), ..absent }), format!("{adding}: EINVAL")),
    ];
    for (operation, said) in cases {
        assert_eq!(refused(&mut client, operation), said);
    }
    for address in ["224.0.0.1:80", "0.0.0.0:80", "255.255.255.255:80", "[2001:db8::1]:80"] {
        assert_eq!(
            refused(&mut client, new(destination(address))),
            format!("add destination {address} to tcp 192.0.2.1:80: EINVAL")
        );
    }
}

#[test]
fn a_crossing_tunnel_is_refused_while_a_sync_daemon_runs() {
    let mut client = client();
    run("ip link add d0 type dummy");
    run("ip link set d0 up");
    run("ip addr add 10.9.0.1/24 dev d0");
    run("ip route add 224.0.0.0/4 dev d0");
    let key = tcp("192.0.2.1:80");
    apply(&mut client, &[Operation::NewService(service(key, "rr"))]);
    let daemon = SyncDaemon {
        role: SyncRole::Master,
        interface: "d0".to_owned(),
        sync_id: 1,
        max_length: None,
        group: None,
        port: None,
        ttl: None,
    };
    client.start_daemon(&daemon).unwrap();
    let crossing = Destination {
        forwarding: Forwarding::Tunnel(Tunnel::Ipip),
        ..destination("[2001:db8::1]:80")
    };
    let add = Operation::NewDestination { service: key, destination: crossing };
    assert_eq!(
        refused(&mut client, add.clone()),
        "add destination [2001:db8::1]:80 to tcp 192.0.2.1:80: EINVAL"
    );
    client.stop_daemon(SyncRole::Master).unwrap();
    apply(&mut client, &[add]);
}
