//! What is configured, in the words of each program: services of ten servers each, alike but for their addresses.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipvs_ctl::model::{Protocol, ServiceKey};

/// Every service and every server has this port.
pub const PORT: u16 = 80;

/// Between two checks of a server, and what keepalived calls `delay_loop`.
const CHECK_INTERVAL_S: u32 = 60;

/// A table and how it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Services.
    pub services: u32,
    /// Servers of each.
    pub servers: u32,
    /// Whether every server has a TCP check, once a minute.
    pub checked: bool,
    /// `ipvs.poll`; keepalived has no such thing.
    pub poll: Duration,
    /// The weight of the first server of the service in the middle; all others have 1.
    pub weight: u32,
    /// A first service before all others, with one real server at this address, that connections are made through.
    pub real: Option<(Ipv4Addr, Ipv4Addr)>,
}

impl Setup {
    /// 1,000 services of ten servers: 11,000 entries.
    pub const THOUSAND: Self = Self {
        services: 1000,
        servers: 10,
        checked: false,
        poll: Duration::from_secs(5),
        weight: 1,
        real: None,
    };

    /// With a check for every server.
    #[must_use]
    pub const fn checked(self) -> Self {
        Self { checked: true, ..self }
    }

    /// How many destinations the kernel's table has when it is complete.
    pub const fn destinations(&self) -> u32 {
        self.services * self.servers + if self.real.is_some() { 1 } else { 0 }
    }

    /// The service whose first server has [`Setup::weight`].
    pub const fn middle(&self) -> u32 {
        self.services / 2
    }

    /// The key of a service in the kernel.
    pub const fn key(service: u32) -> ServiceKey {
        let address = SocketAddr::new(std::net::IpAddr::V4(virtual_address(service)), PORT);
        ServiceKey::Address { protocol: Protocol::Tcp, address }
    }

    /// The address of a server.
    pub const fn server(&self, service: u32, server: u32) -> Ipv4Addr {
        address(16, service * self.servers + server)
    }

    fn weight_of(&self, service: u32, server: u32) -> u32 {
        if (service, server) == (self.middle(), 0) { self.weight } else { 1 }
    }

    /// The configuration of this daemon.
    pub fn holdfast(&self) -> String {
        let mut text = format!("ipvs: {{poll: {}ms}}\nservices:\n", self.poll.as_millis());
        let check =
            format!("    check: {{tcp: {{}}, interval: {CHECK_INTERVAL_S}s, timeout: 5s}}\n");
        let check = if self.checked { check.as_str() } else { "" };
        if let Some((vip, web)) = self.real {
            text += &format!(
                "  real:\n    listen: tcp {vip}:{PORT}\n    scheduler: wlc\n    forward: direct\n{check}    \
                 real_servers: {{web: \"{web}:{PORT}\"}}\n"
            );
        }
        for service in 0..self.services {
            let vip = virtual_address(service);
            // Writing to a String never fails.
            let _written = write!(
                text,
                "  s{service:05}:\n    listen: tcp {vip}:{PORT}\n    scheduler: wlc\n    forward: nat\n{check}    \
                 real_servers:\n"
            );
            for server in 0..self.servers {
                let address = self.server(service, server);
                let _written = match self.weight_of(service, server) {
                    1 => writeln!(text, "      r{server}: {address}:{PORT}"),
                    weight => writeln!(
                        text,
                        "      r{server}: {{address: \"{address}:{PORT}\", weight: {weight}}}"
                    ),
                };
            }
        }
        text
    }

    /// keepalived's configuration.
    pub fn keepalived(&self) -> String {
        let mut text = "global_defs {\n    router_id bench\n}\n".to_owned();
        let check = if self.checked {
            "        TCP_CHECK {\n            connect_timeout 5\n        }\n"
        } else {
            ""
        };
        let mut service =
            |vip: Ipv4Addr, kind: &str, servers: &mut dyn Iterator<Item = (Ipv4Addr, u32)>| {
                let _written = write!(
                    text,
                    "virtual_server {vip} {PORT} {{\n    lb_algo wlc\n    lb_kind {kind}\n    protocol TCP\n    \
                 delay_loop {CHECK_INTERVAL_S}\n"
                );
                for (address, weight) in servers {
                    let _written = write!(
                        text,
                        "    real_server {address} {PORT} {{\n        weight {weight}\n{check}    }}\n"
                    );
                }
                text.push_str("}\n");
            };
        if let Some((vip, web)) = self.real {
            service(vip, "DR", &mut std::iter::once((web, 1)));
        }
        for number in 0..self.services {
            let servers = (0..self.servers)
                .map(|server| (self.server(number, server), self.weight_of(number, server)));
            service(virtual_address(number), "NAT", &mut servers.into_iter());
        }
        text
    }

    /// The rules that `ipvsadm -R` reads.
    pub fn rules(&self) -> String {
        let mut text = String::new();
        for service in 0..self.services {
            let vip = virtual_address(service);
            let _written = writeln!(text, "-A -t {vip}:{PORT} -s wlc");
            for server in 0..self.servers {
                let (address, weight) =
                    (self.server(service, server), self.weight_of(service, server));
                let _written =
                    writeln!(text, "-a -t {vip}:{PORT} -r {address}:{PORT} -m -w {weight}");
            }
        }
        text
    }
}

const fn virtual_address(service: u32) -> Ipv4Addr {
    address(96, service)
}

/// The address with this number: 250 in a /24, as of 10.`first`.0.1.
const fn address(first: u8, number: u32) -> Ipv4Addr {
    // Each part is less than 250, and `first` leaves room for 200,000.
    let [_, _, _, low] = (number % 250 + 1).to_be_bytes();
    let [_, _, _, middle] = (number / 250 % 250).to_be_bytes();
    let [_, _, _, high] = (number / 62_500).to_be_bytes();
    Ipv4Addr::new(10, first + high, middle, low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_told_the_same() {
        let setup = Setup { services: 2, servers: 2, weight: 7, ..Setup::THOUSAND.checked() };
        let (ours, theirs, rules) = (setup.holdfast(), setup.keepalived(), setup.rules());
        assert!(ours.contains("  s00001:\n    listen: tcp 10.96.0.2:80\n"), "{ours}");
        assert!(
            ours.contains("r0: {address: \"10.16.0.3:80\", weight: 7}\n      r1: 10.16.0.4:80")
        );
        assert!(theirs.contains("virtual_server 10.96.0.2 80 {"), "{theirs}");
        assert!(theirs.contains("real_server 10.16.0.3 80 {\n        weight 7\n        TCP_CHECK"));
        assert!(rules.ends_with(
            "-A -t 10.96.0.2:80 -s wlc\n-a -t 10.96.0.2:80 -r 10.16.0.3:80 -m -w 7\n-a -t 10.96.0.2:80 -r 10.16.0.4:80 -m -w 1\n"
        ));
        assert_eq!(setup.destinations(), 4);
    }

    #[test]
    fn a_hundred_thousand_addresses_differ_and_are_in_order() {
        let all: Vec<_> = (0..100_000).map(|number| address(16, number)).collect();
        assert!(all.is_sorted_by(|a, b| a < b));
        assert_eq!(all.last(), Some(&Ipv4Addr::new(10, 17, 149, 250)));
    }
}
