//! What is checked, in the words of each program: services of a hundred servers, one in a hundred of which refuses connections.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::bench::ipvs::rival::Keeper;

/// The port at which servers answer.
pub(super) const PORT: u16 = 80;
/// The port at which nobody does.
const DEAD: u16 = 81;
/// Servers of one service.
const POOL: u32 = 100;
/// One server of so many is dead from the beginning.
const DEAD_OF: u32 = 100;

/// What is asked of each server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A connection.
    Tcp,
    /// A request.
    Http,
}

/// Servers and their check: every second, down after two failures, up after one pass.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// What is asked.
    pub kind: Kind,
    /// How many servers there are.
    pub servers: u32,
}

impl Setup {
    /// From the start of one check to the start of the next.
    pub const INTERVAL: Duration = Duration::from_secs(1);
    /// What takes a server down at the latest when it begins to refuse: two intervals.
    pub const BOUND: Duration = Duration::from_secs(2);

    /// These servers with this check.
    pub const fn new(kind: Kind, servers: u32) -> Self {
        Self { kind, servers }
    }

    /// How many servers answer.
    pub const fn healthy(&self) -> u32 {
        self.servers - self.servers / DEAD_OF
    }

    /// `1,000 servers, tcp`.
    pub fn what(&self) -> String {
        let kind = match self.kind {
            Kind::Tcp => "tcp",
            Kind::Http => "http",
        };
        format!("{},{:03} servers, {kind}, every second", self.servers / 1000, self.servers % 1000)
    }

    /// The configuration of `keeper`.
    pub fn configuration(&self, keeper: Keeper) -> String {
        match keeper {
            Keeper::Holdfast => self.holdfast(),
            Keeper::Keepalived => self.keepalived(),
        }
    }

    fn holdfast(&self) -> String {
        let check = match self.kind {
            Kind::Tcp => "tcp: {}",
            Kind::Http => "http: {path: /}",
        };
        let mut text = "services:\n".to_owned();
        for service in 0..self.servers / POOL {
            // Writing to a String never fails.
            let _written = write!(
                text,
                "  s{service:03}:\n    listen: tcp {}:{PORT}\n    scheduler: wlc\n    forward: nat\n    \
                 check: {{{check}, interval: 1s, timeout: 900ms, rise: 1, fall: 2}}\n    real_servers:\n",
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
        let check = match self.kind {
            Kind::Tcp => "TCP_CHECK {\n            ",
            Kind::Http => {
                "HTTP_GET {\n            url {\n                path /\n                status_code 200\n            }\n            "
            }
        };
        let mut text = "global_defs {\n    router_id bench\n}\n".to_owned();
        for service in 0..self.servers / POOL {
            let _written = write!(
                text,
                "virtual_server {} {PORT} {{\n    lb_algo wlc\n    lb_kind NAT\n    protocol TCP\n    delay_loop 1\n",
                virtual_address(service)
            );
            for server in service * POOL..(service + 1) * POOL {
                let _written = write!(
                    text,
                    "    real_server {} {} {{\n        weight 1\n        {check}connect_timeout 1\n            retry 1\n            \
                     delay_before_retry 1\n        }}\n    }}\n",
                    address(server),
                    port(server)
                );
            }
            text.push_str("}\n");
        }
        text
    }
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
        let (ours, theirs) = (setup.holdfast(), setup.keepalived());
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
        let last = address(9_999);
        assert_eq!(last, Ipv4Addr::new(10, 50, 167, 16));
    }
}
