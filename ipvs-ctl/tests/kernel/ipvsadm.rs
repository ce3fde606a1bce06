//! The kernel's own tool agrees: what it programmed is adopted, and it prints what we programmed.

use std::collections::BTreeSet;

use ipvs_ctl::model::{
    Destination, Family, Forwarding, Persistence, Protocol, ServiceFlags, ServiceKey, Table,
    Tunnel, TunnelChecksum, VirtualService,
};
use ipvs_ctl::plan::{Foreign, plan};

use crate::namespace::{client, run};
use crate::objects::{destination, entry, mark, reconcile, service, tcp};

fn udp(address: &str) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Udp, address: address.parse().unwrap() }
}

fn sctp(address: &str) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Sctp, address: address.parse().unwrap() }
}

fn by(forwarding: Forwarding, address: &str, weight: u32) -> Destination {
    Destination::new(address.parse().unwrap(), forwarding, weight)
}

/// A table; [`LINES`] say the same.
fn table() -> Table {
    let persistent = |timeout_s, prefix| Some(Persistence { timeout_s, prefix });
    let gue = |checksum| Forwarding::Tunnel(Tunnel::Gue { port: 6080, checksum });
    let gre = Forwarding::Tunnel(Tunnel::Gre { checksum: TunnelChecksum::Full });
    Table::from([
        entry(
            service(tcp("192.0.2.1:80"), "wlc"),
            [
                by(Forwarding::Direct, "10.0.0.1:80", 1),
                by(Forwarding::Nat, "10.0.0.2:8080", 0),
                by(Forwarding::Tunnel(Tunnel::Ipip), "10.0.0.3:80", 65_536),
                by(gue(TunnelChecksum::None), "10.0.0.4:80", 4),
                by(gue(TunnelChecksum::Remote), "10.0.0.5:80", 5),
                by(gre, "10.0.0.6:80", 6),
                by(Forwarding::Tunnel(Tunnel::Ipip), "[2001:db8::7]:80", 7),
            ],
        ),
        entry(
            VirtualService {
                flags: ServiceFlags::SCHEDULER_1.with(ServiceFlags::SCHEDULER_2),
                ..service(tcp("[2001:db8::1]:443"), "mh")
            },
            [by(Forwarding::Direct, "[2001:db8::a]:443", 1)],
        ),
        entry(
            VirtualService {
                flags: ServiceFlags::ONE_PACKET,
                ..service(udp("192.0.2.1:53"), "rr")
            },
            [by(Forwarding::Nat, "10.0.0.53:5353", 1)],
        ),
        entry(
            VirtualService {
                persistence: persistent(300, 24),
                flags: ServiceFlags::SCHEDULER_1,
                ..service(sctp("192.0.2.1:3868"), "sh")
            },
            [],
        ),
        entry(
            VirtualService {
                persistence: persistent(600, 64),
                ..service(udp("[2001:db8::1]:500"), "wrr")
            },
            [],
        ),
        entry(
            VirtualService {
                persistence: persistent(60, 32),
                persistence_engine: Some("sip".to_owned()),
                ..service(udp("192.0.2.1:5060"), "rr")
            },
            [],
        ),
        entry(service(mark(Family::Ipv4, 7), "lblcr"), [by(Forwarding::Direct, "10.0.0.1:0", 1)]),
        entry(service(mark(Family::Ipv6, 2_147_483_647), "nq"), []),
    ])
}

/// What `ipvsadm -S -n` says of [`table`].
const LINES: [&str; 18] = [
    "-A -t 192.0.2.1:80 -s wlc",
    "-a -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 1",
    "-a -t 192.0.2.1:80 -r 10.0.0.2:8080 -m -w 0",
    "-a -t 192.0.2.1:80 -r 10.0.0.3:80 -i -w 65536 --tun-type ipip",
    "-a -t 192.0.2.1:80 -r 10.0.0.4:80 -i -w 4 --tun-type gue --tun-port 6080 --tun-nocsum",
    "-a -t 192.0.2.1:80 -r 10.0.0.5:80 -i -w 5 --tun-type gue --tun-port 6080 --tun-remcsum",
    "-a -t 192.0.2.1:80 -r 10.0.0.6:80 -i -w 6 --tun-type gre --tun-csum",
    "-a -t 192.0.2.1:80 -r [2001:db8::7]:80 -i -w 7 --tun-type ipip",
    "-A -t [2001:db8::1]:443 -s mh -b mh-fallback,mh-port",
    "-a -t [2001:db8::1]:443 -r [2001:db8::a]:443 -g -w 1",
    "-A -u 192.0.2.1:53 -s rr -o",
    "-a -u 192.0.2.1:53 -r 10.0.0.53:5353 -m -w 1",
    "-A --sctp-service 192.0.2.1:3868 -s sh -p 300 -M 255.255.255.0 -b sh-fallback",
    "-A -u [2001:db8::1]:500 -s wrr -p 600 -M 64",
    "-A -u 192.0.2.1:5060 -s rr -p 60 --pe sip",
    "-A -f 7 -s lblcr",
    "-a -f 7 -r 10.0.0.1:0 -g -w 1",
    "-A -f 2147483647 -6 -s nq",
];

#[test]
fn it_prints_what_we_programmed() {
    let mut client = client();
    let table = table();
    reconcile(&mut client, &table);
    let printed = run("ipvsadm -S -n");
    let printed: BTreeSet<&str> = printed.lines().map(str::trim_end).collect();
    assert_eq!(printed, LINES.into_iter().collect());
}

#[test]
fn what_it_programmed_is_adopted_without_an_operation() {
    let mut client = client();
    let table = table();
    for line in LINES {
        run(&format!("ipvsadm {line}"));
    }
    let found = client.table().unwrap();
    assert_eq!(found, table);
    assert_eq!(plan(&table, &found, Foreign::Remove), []);
}

#[test]
fn what_it_changed_behind_our_back_is_put_right_one_operation_each() {
    let mut client = client();
    let key = tcp("192.0.2.1:80");
    let hosts = ["10.0.0.1:80", "10.0.0.2:80"].map(destination);
    let desired = Table::from([entry(service(key, "wlc"), hosts)]);
    reconcile(&mut client, &desired);
    for line in [
        "-E -t 192.0.2.1:80 -s rr -p 60",
        "-e -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 9 -x 7 -y 3",
        "-d -t 192.0.2.1:80 -r 10.0.0.2:80",
        "-a -t 192.0.2.1:80 -r 10.0.0.3:80",
        "-A -u 192.0.2.1:53",
    ] {
        run(&format!("ipvsadm {line}"));
    }
    let drifted = client.table().unwrap();
    let operations = plan(&desired, &drifted, Foreign::Remove);
    let spoken: Vec<String> = operations.iter().map(ToString::to_string).collect();
    assert_eq!(
        spoken,
        [
            "add destination 10.0.0.2:80 to tcp 192.0.2.1:80",
            "change service tcp 192.0.2.1:80",
            "change destination 10.0.0.1:80 of tcp 192.0.2.1:80",
            "remove destination 10.0.0.3:80 from tcp 192.0.2.1:80",
            "remove service udp 192.0.2.1:53",
        ]
    );
    reconcile(&mut client, &desired);
}
