//! Which options a command takes, and which a type of tunnel.

use super::options::{Once, Set, Verb};

/// What a command or a type of tunnel takes; everything else is illegal with it.
struct Takes {
    required: Set,
    optional: Set,
    /// At most one of them.
    exclusive: Set,
}

impl Takes {
    fn new(required: &[Once], optional: &[Once], exclusive: &[Once]) -> Self {
        Self {
            required: Set::of(required),
            optional: Set::of(optional),
            exclusive: Set::of(exclusive),
        }
    }

    /// The first complaint about the options `given`, looking at `options` in their order.
    fn complaint(&self, given: Set, options: &[Once], to: &str) -> Option<String> {
        let mut taken: Option<Once> = None;
        for option in options.iter().copied() {
            let name = option.name();
            if !given.has(option) {
                if self.required.has(option) {
                    return Some(format!("You need to supply the '{name}' option for the {to}"));
                }
            } else if self.exclusive.has(option) {
                if let Some(first) = taken {
                    let first = first.name();
                    return Some(format!(
                        "The option '{name}' conflicts with the '{first}' option in the {to}"
                    ));
                }
                taken = Some(option);
            } else if !self.required.has(option) && !self.optional.has(option) {
                return Some(format!("Illegal '{name}' option with the {to}"));
            }
        }
        None
    }
}

const TUNNEL: [Once; 4] =
    [Once::TunnelPort, Once::TunnelNoChecksum, Once::TunnelChecksum, Once::TunnelRemoteChecksum];

/// Says what is wrong with the options `given` under a command, in ipvsadm's words.
pub(super) fn complaint(verb: Verb, given: Set) -> Option<String> {
    use Once as O;
    let server = [
        O::Forward,
        O::Weight,
        O::UpperThreshold,
        O::LowerThreshold,
        O::TunnelType,
        O::TunnelPort,
        O::TunnelNoChecksum,
        O::TunnelChecksum,
        O::TunnelRemoteChecksum,
    ];
    let takes = match verb {
        Verb::Add | Verb::Edit => Takes::new(
            &[O::Service],
            &[O::Scheduler, O::Persistent, O::Netmask, O::OnePacket, O::Engine, O::SchedFlags],
            &[],
        ),
        Verb::Delete => Takes::new(&[O::Service], &[], &[]),
        Verb::List => Takes::new(
            &[],
            &[
                O::Numeric,
                O::Stats,
                O::Rate,
                O::Thresholds,
                O::PersistentConn,
                O::NoSort,
                O::SyncId,
                O::Exact,
                O::TunnelInfo,
            ],
            &[O::Connection, O::Service, O::Timeout, O::Daemon],
        ),
        Verb::AddServer | Verb::EditServer => Takes::new(&[O::Service, O::Server], &server, &[]),
        Verb::DeleteServer => Takes::new(&[O::Service, O::Server], &[], &[]),
        Verb::StartDaemon => Takes::new(
            &[],
            &[
                O::McastInterface,
                O::SyncId,
                O::McastGroup,
                O::McastPort,
                O::McastTtl,
                O::SyncMaxlen,
            ],
            &[],
        ),
        Verb::StopDaemon => Takes::new(&[], &[O::SyncId], &[]),
        Verb::Save => Takes::new(&[], &[O::Numeric], &[]),
        Verb::Zero => Takes::new(&[], &[O::Service], &[]),
        Verb::Clear | Verb::Set | Verb::Restore | Verb::Help | Verb::Version => {
            Takes::new(&[], &[], &[])
        }
    };
    takes.complaint(given, &Once::ALL, &format!("'{}' command", verb.name()))
}

/// A type of tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TunnelType {
    #[default]
    Ipip,
    Gue,
    Gre,
}

impl TunnelType {
    pub(super) const fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"ipip" => Some(Self::Ipip),
            b"gue" => Some(Self::Gue),
            b"gre" => Some(Self::Gre),
            _unknown => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ipip => "ipip",
            Self::Gue => "gue",
            Self::Gre => "gre",
        }
    }
}

/// Says what is wrong with the options `given` under a type of tunnel, in ipvsadm's words.
pub(super) fn tunnel_complaint(kind: TunnelType, given: Set) -> Option<String> {
    let [port, none, full, remote] = TUNNEL;
    let takes = match kind {
        TunnelType::Ipip => Takes::new(&[], &[], &[]),
        TunnelType::Gue => Takes::new(&[port], &[], &[none, full, remote]),
        TunnelType::Gre => Takes::new(&[], &[], &[none, full]),
    };
    takes.complaint(given, &TUNNEL, &format!("'{}' tunnel type", kind.name()))
}

/// The options that only a tunnel has.
pub(super) fn of_tunnels() -> Set {
    let mut set = Set::of(&TUNNEL);
    set.add(Once::TunnelType);
    set
}
