//! What is checked, in the words of each program: services of a hundred servers, one in a hundred of which refuses connections.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ipvs_ctl::model::{Protocol, ServiceKey};

use crate::bench::ipvs::rival::Keeper;

/// The port at which servers answer.
pub(super) const PORT: u16 = 80;
/// The name in the certificate of servers that speak TLS.
pub(super) const NAME: &str = "bench.example";
/// The port at which nobody does.
const DEAD: u16 = 81;
/// Servers of one service.
const POOL: u32 = 100;
/// One server of so many is dead from the beginning.
const DEAD_OF: u32 = 100;

/// What is asked of each server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: no server has a check.
    Unchecked,
    /// A connection.
    Tcp,
    /// A request.
    Http,
    /// A request under TLS, whose certificate is verified where the program can do that.
    Https,
}

/// Servers and their check: down after two failures, up after one pass.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// What is asked.
    pub kind: Kind,
    /// How many servers there are.
    pub servers: u32,
    /// From the start of one check to the start of the next, in seconds.
    pub every_s: u32,
}

impl Setup {
    /// From the start of one check to the start of the next where it is every second.
    pub const INTERVAL: Duration = Duration::from_secs(1);
    /// What takes a server down at the latest when it begins to refuse: two intervals.
    pub const BOUND: Duration = Duration::from_secs(2);

    /// These servers with this check, every second.
    pub const fn new(kind: Kind, servers: u32) -> Self {
        Self { kind, servers, every_s: 1 }
    }

    /// How many servers answer.
    pub const fn healthy(&self) -> u32 {
        self.servers - self.servers / DEAD_OF
    }

    /// `1,000 servers, tcp`.
    pub fn what(&self) -> String {
        let kind = match self.kind {
            Kind::Unchecked => "unchecked",
            Kind::Tcp => "tcp",
            Kind::Http => "http",
            Kind::Https => "https",
        };
        let every = match self.every_s {
            1 => "second".to_owned(),
            seconds => format!("{seconds} seconds"),
        };
        format!("{},{:03} servers, {kind}, every {every}", self.servers / 1000, self.servers % 1000)
    }

    /// The configuration of `keeper`; servers that speak TLS have a certificate by the authority in the file `ca`.
    pub fn configuration(&self, keeper: Keeper, ca: &Path) -> String {
        match keeper {
            Keeper::Holdfast => self.holdfast(ca),
            Keeper::Keepalived => self.keepalived(),
        }
    }

    fn holdfast(&self, ca: &Path) -> String {
        let what = match self.kind {
            Kind::Unchecked => None,
            Kind::Tcp => Some("tcp: {}".to_owned()),
            Kind::Http => Some("http: {path: /}".to_owned()),
            Kind::Https => {
                Some(format!("https: {{path: /, tls: {{ca: {}, name: {NAME}}}}}", ca.display()))
            }
        };
        let when = match self.every_s {
            1 => "interval: 1s, timeout: 900ms".to_owned(),
            seconds => format!("interval: {seconds}s, spread: {seconds}s, timeout: 5s"),
        };
        let check = what.map_or_else(String::new, |what| {
            format!("    check: {{{what}, {when}, rise: 1, fall: 2}}\n")
        });
        let mut text = "services:\n".to_owned();
        for service in 0..self.servers / POOL {
            // Writing to a String never fails.
            let _written = write!(
                text,
                "  s{service:03}:\n    listen: tcp {}:{PORT}\n    scheduler: wlc\n    forward: nat\n{check}    \
                 real_servers:\n",
                virtual_address(service)
            );
            for server in service * POOL..(service + 1) * POOL {
                let _written =
                    writeln!(text, "      r{server}: {}:{}", address(server), port(server));
            }
        }
        text
    }

    fn keepalived(&self) -> String {
        const URL: &str = "url {\n                path /\n                status_code 200\n            }\n            ";
        let (what, url) = match self.kind {
            Kind::Unchecked => ("", ""),
            Kind::Tcp => ("TCP_CHECK", ""),
            Kind::Http => ("HTTP_GET", URL),
            Kind::Https => ("SSL_GET", URL),
        };
        let patience = if self.every_s == 1 { 1 } else { 5 };
        let check = match self.kind {
            Kind::Unchecked => String::new(),
            Kind::Tcp | Kind::Http | Kind::Https => format!(
                "        {what} {{\n            {url}connect_timeout {patience}\n            retry 1\n            \
                 delay_before_retry 1\n        }}\n"
            ),
        };
        let mut text = "global_defs {\n    router_id bench\n}\n".to_owned();
        for service in 0..self.servers / POOL {
            let _written = write!(
                text,
                "virtual_server {} {PORT} {{\n    lb_algo wlc\n    lb_kind NAT\n    protocol TCP\n    \
                 delay_loop {}\n",
                virtual_address(service),
                self.every_s
            );
            for server in service * POOL..(service + 1) * POOL {
                let _written = write!(
                    text,
                    "    real_server {} {} {{\n        weight 1\n{check}    }}\n",
                    address(server),
                    port(server)
                );
            }
            text.push_str("}\n");
        }
        text
    }
}

/// The kernel's key of a service.
pub(super) const fn key(service: u32) -> ServiceKey {
    let address = SocketAddr::new(IpAddr::V4(virtual_address(service)), PORT);
    ServiceKey::Address { protocol: Protocol::Tcp, address }
}

const fn virtual_address(service: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 96, 0, 1).to_bits() + service)
}

/// In 10.50.128.0/17.
pub(super) const fn address(server: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 50, 128, 1).to_bits() + server)
}

const fn port(server: u32) -> u16 {
    if server % DEAD_OF == DEAD_OF / 2 { DEAD } else { PORT }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_told_the_same() {
        let setup = Setup::new(Kind::Http, 1000);
        let (ours, theirs) = (setup.holdfast(Path::new("ca.pem")), setup.keepalived());
        for text in [&ours, &theirs] {
            assert_eq!(text.matches("10.50.1").count(), 1000);
            assert_eq!(text.matches("10.96.0.").count(), 10);
        }
        assert!(
            ours.contains("      r49: 10.50.128.50:80\n      r50: 10.50.128.51:81\n"),
            "{ours}"
        );
        assert!(theirs.contains("    real_server 10.50.128.51 81 {\n"), "{theirs}");
        assert_eq!(
            (setup.healthy(), setup.what().as_str()),
            (990, "1,000 servers, http, every second")
        );
        let rare = Setup { every_s: 60, ..Setup::new(Kind::Https, 1000) };
        let (ours, theirs) = (rare.holdfast(Path::new("/ca.pem")), rare.keepalived());
        let check = "check: {https: {path: /, tls: {ca: /ca.pem, name: bench.example}}, interval: 60s, spread: 60s, timeout: 5s, ";
        assert!(ours.contains(check), "{ours}");
        assert!(theirs.contains("delay_loop 60\n") && theirs.contains("SSL_GET {"), "{theirs}");
        assert_eq!(rare.what(), "1,000 servers, https, every 60 seconds");
        let none = Setup::new(Kind::Unchecked, 1000);
        assert!(!none.holdfast(Path::new("")).contains("check"));
        assert!(!none.keepalived().contains("retry"));
        let last = address(9_999);
        assert_eq!(last, Ipv4Addr::new(10, 50, 167, 16));
    }
}
