//! A command while its options are being read, in the order in which they stand: some look at what came before them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;

use super::address::{Place, place};
use super::legal::TunnelType;
use super::names::Names;
use super::number::{aton, decimal, leading_number};
use super::options::{Meaning, Once, Set};
use super::rule::Oddity;
use crate::model::{Family, Persistence, Protocol, ServiceFlags, ServiceKey, SyncRole};

/// Seconds of `-p` without a number, the kernel's own default.
const PERSISTENT_S: u32 = 360;

/// The greatest weight. Debian's ipvsadm takes what the kernel takes; as published, 1.31 ends at 65535.
const WEIGHT_MAX: i64 = i32::MAX as i64;

/// `-b` keeps this many bytes of its argument.
const SCHED_FLAGS_MAX: usize = 127;

/// How packets reach a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Method {
    #[default]
    Direct,
    Tunnel,
    Nat,
}

/// What has been read so far.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) given: Set,
    pub(super) oddities: Vec<Oddity>,
    pub(super) family: Option<Family>,
    pub(super) protocol: Option<Protocol>,
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) mark: Option<NonZeroU32>,
    pub(super) scheduler: String,
    pub(super) sched_flags: Vec<u8>,
    pub(super) one_packet: bool,
    pub(super) persistent_s: Option<u32>,
    pub(super) netmask: [u8; 4],
    pub(super) engine: String,
    pub(super) server: Option<SocketAddr>,
    /// Whether the server's port was said.
    pub(super) server_port_said: bool,
    pub(super) method: Method,
    pub(super) weight: u32,
    pub(super) upper_threshold: u32,
    pub(super) lower_threshold: u32,
    pub(super) tunnel: TunnelType,
    pub(super) tunnel_port: u16,
    pub(super) role: Option<SyncRole>,
    pub(super) interface: String,
    pub(super) sync_id: u8,
    pub(super) max_length: Option<u16>,
    pub(super) group: Option<IpAddr>,
    pub(super) mcast_port: Option<u16>,
    pub(super) ttl: Option<u8>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            given: Set::default(),
            oddities: Vec::new(),
            family: None,
            protocol: None,
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 0,
            mark: None,
            scheduler: String::new(),
            sched_flags: Vec::new(),
            one_packet: false,
            persistent_s: None,
            netmask: [u8::MAX; 4],
            engine: String::new(),
            server: None,
            server_port_said: false,
            method: Method::default(),
            weight: 1,
            upper_threshold: 0,
            lower_threshold: 0,
            tunnel: TunnelType::default(),
            tunnel_port: 0,
            role: None,
            interface: String::new(),
            sync_id: 0,
            max_length: None,
            group: None,
            mcast_port: None,
            ttl: None,
        }
    }
}

/// A complaint that ends ipvsadm with 2. Bytes, because it may quote an argument.
type Complaint = Vec<u8>;

fn illegal(what: &str) -> Complaint {
    format!("illegal {what} specified").into_bytes()
}

/// A complaint that quotes `argument`.
pub(super) fn quoting(before: &str, argument: &[u8], after: &str) -> Complaint {
    [before.as_bytes(), argument, after.as_bytes()].concat()
}

impl Draft {
    /// The service that is named; `None` where none is.
    pub(super) fn key(&self) -> Option<ServiceKey> {
        let family = self.family?;
        if let Some(mark) = self.mark {
            return Some(ServiceKey::Fwmark { family, mark });
        }
        let address = SocketAddr::new(self.address, self.port);
        Some(ServiceKey::Address { protocol: self.protocol?, address })
    }

    /// Takes an option that is not the command. `None` = it is no option that could stand here.
    pub(super) fn take(
        &mut self,
        meaning: Meaning,
        argument: Option<&[u8]>,
        names: &mut dyn Names,
    ) -> Option<Result<(), Complaint>> {
        Some(match meaning {
            Meaning::Verb(_) => return None,
            Meaning::Sort => Ok(()),
            Meaning::Ipv6 => self.ipv6(),
            Meaning::Address(protocol) => {
                self.once(Once::Service).and_then(|()| self.service(protocol, argument, names))
            }
            Meaning::Fwmark => self.once(Once::Service).and_then(|()| self.fwmark(argument)),
            Meaning::Masquerading => self.forward(Method::Nat),
            Meaning::Tunnel => self.forward(Method::Tunnel),
            Meaning::Gatewaying => self.forward(Method::Direct),
            Meaning::Once(option) => {
                self.once(option).and_then(|()| self.option(option, argument, names))
            }
        })
    }

    fn once(&mut self, option: Once) -> Result<(), Complaint> {
        if self.given.has(option) {
            return Err(format!("multiple '{}' options specified", option.name()).into_bytes());
        }
        self.given.add(option);
        Ok(())
    }

    fn option(
        &mut self,
        option: Once,
        argument: Option<&[u8]>,
        names: &mut dyn Names,
    ) -> Result<(), Complaint> {
        let text = argument.unwrap_or_default();
        match option {
            Once::Scheduler => self.scheduler = self.name("scheduler", text, 15),
            Once::Persistent => {
                let seconds = argument.map_or(Ok(PERSISTENT_S), |text| timeout(text, 1))?;
                self.persistent_s = Some(seconds);
            }
            Once::Netmask => self.netmask = self.mask(text, names)?,
            Once::Server => return self.real_server(text, names),
            Once::Weight => self.weight = number(text, 0..=WEIGHT_MAX, "weight")?,
            Once::UpperThreshold => {
                self.upper_threshold = number(text, 0..=i64::from(i32::MAX), "u_threshold")?;
            }
            Once::LowerThreshold => {
                self.lower_threshold = number(text, 0..=i64::from(i32::MAX), "l_threshold")?;
            }
            Once::McastInterface => self.interface = self.name("interface", text, 15),
            Once::SyncId => self.sync_id = number(text, 0..=255, "syncid")?,
            Once::OnePacket => self.one_packet = true,
            Once::Engine => self.engine = self.name("persistence engine", text, 16),
            Once::SchedFlags => {
                self.sched_flags = text.get(..SCHED_FLAGS_MAX).unwrap_or(text).to_vec();
            }
            Once::McastGroup => self.group = Some(group(text)?),
            Once::McastPort => self.mcast_port = Some(number(text, 1..=65535, "mcast-port")?),
            Once::McastTtl => self.ttl = Some(number(text, 1..=255, "mcast-ttl")?),
            Once::SyncMaxlen => {
                self.max_length = Some(number(text, 1..=65535 - 20 - 8, "sync-maxlen")?);
            }
            Once::TunnelType => {
                self.tunnel = TunnelType::named(text).ok_or_else(|| illegal("tunnel type"))?;
            }
            Once::TunnelPort => self.tunnel_port = number(text, 1..=65535, "tunnel port")?,
            Once::Numeric
            | Once::Connection
            | Once::Service
            | Once::Forward
            | Once::Timeout
            | Once::Daemon
            | Once::Stats
            | Once::Rate
            | Once::Thresholds
            | Once::PersistentConn
            | Once::NoSort
            | Once::Exact
            | Once::TunnelInfo
            | Once::TunnelNoChecksum
            | Once::TunnelChecksum
            | Once::TunnelRemoteChecksum => {}
        }
        Ok(())
    }

    /// A name of at most `length` bytes for the kernel. What is no ASCII is no name that it has.
    fn name(&mut self, of: &'static str, text: &[u8], length: usize) -> String {
        let cut = text.get(..length).unwrap_or(text);
        if cut.len() < text.len() {
            self.oddities.push(Oddity::NameCut { of, length });
        }
        cut.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect()
    }

    fn service(
        &mut self,
        protocol: Protocol,
        argument: Option<&[u8]>,
        names: &mut dyn Names,
    ) -> Result<(), Complaint> {
        self.protocol = Some(protocol);
        let place = place(argument.unwrap_or_default(), Some(protocol), names)
            .ok_or_else(|| illegal("virtual server address[:port]"))?;
        self.look_at_brackets(&place);
        self.address = place.address;
        self.port = place.port.unwrap_or(self.port);
        self.set_family(Family::of(place.address));
        Ok(())
    }

    fn set_family(&mut self, family: Family) {
        self.family = Some(family);
        if family == Family::Ipv6 {
            if self.given.has(Once::Netmask) {
                self.oddities.push(Oddity::MaskForgotten);
            }
            self.netmask = 128_u32.to_ne_bytes();
        }
    }

    fn look_at_brackets(&mut self, place: &Place) {
        if place.port_lost {
            self.oddities.push(Oddity::PortInBrackets { address: place.address });
        }
    }

    fn fwmark(&mut self, argument: Option<&[u8]>) -> Result<(), Complaint> {
        let text = argument.unwrap_or_default();
        let mark = decimal(text, 1..=i64::from(u32::MAX))
            .and_then(|mark| u32::try_from(mark).ok())
            .and_then(NonZeroU32::new)
            .ok_or_else(|| quoting("invalid fwmark value `", text, "' specified"))?;
        self.mark = Some(mark);
        self.family = Some(Family::Ipv4);
        // What service names in front of its servers' ports count as.
        self.protocol = Some(Protocol::Tcp);
        Ok(())
    }

    fn ipv6(&mut self) -> Result<(), Complaint> {
        if self.mark.is_none() {
            return Err(b"-6 used before -f\n".to_vec());
        }
        self.set_family(Family::Ipv6);
        Ok(())
    }

    fn forward(&mut self, method: Method) -> Result<(), Complaint> {
        self.once(Once::Forward)?;
        self.method = method;
        Ok(())
    }

    fn mask(&mut self, text: &[u8], names: &mut dyn Names) -> Result<[u8; 4], Complaint> {
        if self.family == Some(Family::Ipv6) {
            return match u32::try_from(leading_number(text)) {
                Ok(prefix @ 1..=128) => {
                    if decimal(text, 1..=128) != Some(i64::from(prefix)) {
                        self.oddities.push(Oddity::PrefixRead { prefix });
                    }
                    Ok(prefix.to_ne_bytes())
                }
                _other => Err(illegal("ipv6 netmask")),
            };
        }
        aton(text)
            .or_else(|| names.address_of(text))
            .map(|mask| mask.octets())
            .ok_or_else(|| illegal("virtual server persistent mask"))
    }

    fn real_server(&mut self, text: &[u8], names: &mut dyn Names) -> Result<(), Complaint> {
        let place = place(text, self.protocol, names)
            .ok_or_else(|| illegal("real server address[:port]"))?;
        self.look_at_brackets(&place);
        self.server_port_said = place.port.is_some();
        self.server = Some(SocketAddr::new(place.address, place.port.unwrap_or(self.port)));
        Ok(())
    }
}

/// Seconds up to 31 days.
pub(super) fn timeout(text: &[u8], least: i64) -> Result<u32, Complaint> {
    decimal(text, least..=i64::from(Persistence::TIMEOUT_MAX_S))
        .and_then(|seconds| u32::try_from(seconds).ok())
        .ok_or_else(|| quoting("invalid timeout value `", text, "' specified"))
}

fn number<T: TryFrom<i64>>(
    text: &[u8],
    range: std::ops::RangeInclusive<i64>,
    what: &str,
) -> Result<T, Complaint> {
    decimal(text, range).and_then(|number| T::try_from(number).ok()).ok_or_else(|| illegal(what))
}

fn group(text: &[u8]) -> Result<IpAddr, Complaint> {
    let parsed = std::str::from_utf8(text).ok();
    if text.contains(&b':') {
        let group = parsed.and_then(|text| text.parse::<Ipv6Addr>().ok());
        let group = group.filter(Ipv6Addr::is_multicast).map(IpAddr::V6);
        return group.ok_or_else(|| quoting("invalid IPv6 mcast-group `", text, "'"));
    }
    let group = parsed.and_then(|text| text.parse::<Ipv4Addr>().ok());
    let group = group.filter(Ipv4Addr::is_multicast).map(IpAddr::V4);
    group.ok_or_else(|| quoting("invalid IPv4 mcast-group `", text, "'"))
}

/// The flags of `-b`, some of which belong to a scheduler.
pub(super) fn sched_flags(scheduler: &str, text: &[u8]) -> Result<ServiceFlags, Complaint> {
    let mut flags = ServiceFlags::NONE;
    let mut words = text.split(|byte| *byte == b',').filter(|word| !word.is_empty()).peekable();
    if words.peek().is_none() {
        return Err(quoting("invalid scheduler flag `", text, "'"));
    }
    for word in words {
        let (flag, owner) = match word {
            b"flag-1" => (ServiceFlags::SCHEDULER_1, None),
            b"flag-2" => (ServiceFlags::SCHEDULER_2, None),
            b"flag-3" => (ServiceFlags::SCHEDULER_3, None),
            b"sh-fallback" => (ServiceFlags::SCHEDULER_1, Some("sh")),
            b"sh-port" => (ServiceFlags::SCHEDULER_2, Some("sh")),
            b"mh-fallback" => (ServiceFlags::SCHEDULER_1, Some("mh")),
            b"mh-port" => (ServiceFlags::SCHEDULER_2, Some("mh")),
            unknown => return Err(quoting("invalid scheduler flag `", unknown, "'")),
        };
        if owner.is_some_and(|owner| owner != scheduler) {
            return Err(quoting("incompatible scheduler flag `", word, "'"));
        }
        flags = flags.with(flag);
    }
    Ok(flags)
}
