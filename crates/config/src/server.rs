//! Real servers that are added at run time, under the same rules as those of the file.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use holdfast_health::Combine;
use ipvs_ctl::model::Destination;

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Diagnostic, Problem};
use crate::model::{Config, Name, RealServer, Service};
use crate::rules::pool;
use crate::text;

impl RealServer {
    /// A server for `service` of `config`, as `holdfast server add` describes it.
    ///
    /// - `name`: by default made of the address: `10.0.0.13-80`, `2001-db8--13-80`.
    /// - `address`: `10.0.0.13:80` or `[2001:db8::13]:80`. Under `direct` and `tunnel` the port may be left out when the
    ///   service has one port: it can be no other. A service of a mark or of every port has none, and packets keep theirs.
    /// - `weight`: 0..=[`Destination::WEIGHT_MAX`], by default 1.
    ///
    /// # Errors
    /// Every rule of the file that the server breaks: the address's form and family, the port under `direct`, the weight,
    /// a name or address that the service has already, the address of an instance or of any service. They have no place in a
    /// file. The limit of servers ([`crate::SERVERS_MAX`]) is for the caller to keep: it alone knows how many there are now.
    pub fn new(
        name: Option<&str>,
        address: &str,
        weight: Option<u32>,
        service: &Service,
        config: &Config,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut problems = vec![];
        let weight = weight.unwrap_or(defaults::WEIGHT);
        if weight > Destination::WEIGHT_MAX {
            let greatest = Destination::WEIGHT_MAX;
            let message = format!("`weight` must be 0 to {greatest}, got {weight}");
            problems.push(Problem::new(Code::OutOfRange, message));
        }
        let address = text::endpoint(address, service.implied_port())
            .map_err(|fault| problems.push(bare(fault)))
            .ok();
        let name = match (name, address) {
            (Some(name), _) => Some(name.to_owned()),
            (None, Some(address)) => Some(default_name(address)),
            (None, None) => None,
        };
        let name = name.and_then(|name| {
            let read = Name::try_from(name);
            read.map_err(|error| problems.push(Problem::new(Code::BadName, error.to_string()))).ok()
        });
        if let Some(name) = name.as_ref().filter(|name| service.real_servers.contains_key(*name)) {
            let message = format!("service `{}` has a real server `{name}` already", service.name);
            let problem = Problem::new(Code::DuplicateServerName, message);
            problems.push(problem.help("choose another name, or remove that one first"));
        }
        let server = match (name, address) {
            (Some(name), Some(address)) => Some(Self::bare(name, address, weight)),
            (None, _) | (_, None) => None,
        };
        if let Some(server) = &server {
            problems.extend(pool::check(service, server));
            let address = server.address.ip();
            let taken = config.virtual_addresses().contains(&address)
                || config.services.values().any(|service| service.listens_on(address));
            if !service.listens_on(address) && taken {
                problems.push(pool::virtual_address(&service.name, server));
            }
            let same = service.real_servers.values().find(|other| other.address == server.address);
            // The same name was reported already; the same address says no more then.
            if let Some(other) = same.filter(|other| other.name != server.name) {
                problems.push(pool::duplicate(&service.name, server, &other.name));
            }
            let sorry = service.sorry_servers.values();
            let sorry = sorry.clone().find(|sorry| sorry.address == server.address);
            problems.extend(sorry.map(|sorry| pool::is_sorry(&service.name, server, &sorry.name)));
        }
        match server {
            Some(server) if problems.is_empty() => Ok(server),
            Some(_) | None => Err(problems.into_iter().map(Problem::bare).collect()),
        }
    }
}

impl RealServer {
    /// A server that has nothing of its own.
    pub(crate) const fn bare(name: Name, address: SocketAddr, weight: u32) -> Self {
        Self { name, address, weight, thresholds: None, checks: None, combine: Combine::All }
    }

    /// Every rule of the file that a server which was added at run time breaks in `service` as a reload has made it; none when it
    /// could be added now. `virtual_addresses` are those of `config` ([`Config::virtual_addresses`]), for one computation to serve
    /// many servers. Names and addresses of the service's other servers are not looked at.
    pub fn misfits(
        &self,
        service: &Service,
        config: &Config,
        virtual_addresses: &BTreeSet<IpAddr>,
    ) -> Vec<Diagnostic> {
        let mut problems = pool::check(service, self);
        let address = self.address.ip();
        let taken = virtual_addresses.contains(&address)
            || config.services.values().any(|service| service.listens_on(address));
        if !service.listens_on(address) && taken {
            problems.push(pool::virtual_address(&service.name, self));
        }
        let sorry = service.sorry_servers.values().find(|sorry| sorry.address == self.address);
        problems.extend(sorry.map(|sorry| pool::is_sorry(&service.name, self, &sorry.name)));
        problems.into_iter().map(Problem::bare).collect()
    }

    /// A server that the kernel has for a service and no configuration names: under the name that is made of its address, or, where
    /// another server has that name, with the first free number after it. The checks are the service's.
    ///
    /// A weight of 0 is that of one that was out of service already: it gets the default, for the case that it is taken back.
    ///
    /// None when the name can't be made: never, since an address with a port is shorter than a name may be.
    pub fn found(address: SocketAddr, weight: u32, taken: impl Fn(&Name) -> bool) -> Option<Self> {
        let plain = default_name(address);
        let numbered = (2_u32..).map(|number| format!("{plain}-{number}"));
        let name = std::iter::once(plain.clone())
            .chain(numbered)
            .map_while(|name| Name::try_from(name).ok())
            .find(|name| !taken(name))?;
        let weight =
            if weight == 0 { defaults::WEIGHT } else { weight.min(Destination::WEIGHT_MAX) };
        Some(Self::bare(name, address, weight))
    }
}

fn bare(fault: text::Fault) -> Problem {
    fault.help.into_iter().fold(Problem::new(fault.code, fault.message), Problem::help)
}

/// The name that is made of an address: colons become hyphens, and a leading one gets a 0, which means the same address.
fn default_name(address: SocketAddr) -> String {
    let host = match address.ip() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.to_string().replace(':', "-"),
    };
    let zero = if host.starts_with('-') { "0" } else { "" };
    match address.port() {
        // It has none of its own.
        0 => format!("{zero}{host}"),
        port => format!("{zero}{host}-{port}"),
    }
}
