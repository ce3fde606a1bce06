//! The options of ipvsadm by their names. popt takes no abbreviations.

/// A word that says what is to be done. It must come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Add,
    Edit,
    Delete,
    Clear,
    List,
    AddServer,
    DeleteServer,
    EditServer,
    Set,
    StartDaemon,
    StopDaemon,
    Restore,
    Save,
    Zero,
    Help,
    Version,
}

impl Verb {
    /// What ipvsadm calls it in its complaints.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Add => "add-service",
            Self::Edit => "edit-service",
            Self::Delete => "delete-service",
            Self::Clear => "flush",
            Self::List => "list",
            Self::AddServer => "add-server",
            Self::DeleteServer => "delete-server",
            Self::EditServer => "edit-server",
            Self::Set => "set",
            Self::StartDaemon => "start-daemon",
            Self::StopDaemon => "stop-daemon",
            Self::Restore => "restore",
            Self::Save => "save",
            Self::Zero => "zero",
            Self::Help => "help",
            Self::Version => "version",
        }
    }
}

/// An option that may be given once, in the order in which ipvsadm looks whether a command takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Once {
    Numeric,
    Connection,
    Service,
    Scheduler,
    Persistent,
    Netmask,
    Server,
    Forward,
    Weight,
    UpperThreshold,
    LowerThreshold,
    McastInterface,
    Timeout,
    Daemon,
    Stats,
    Rate,
    Thresholds,
    PersistentConn,
    NoSort,
    SyncId,
    Exact,
    OnePacket,
    Engine,
    SchedFlags,
    McastGroup,
    McastPort,
    McastTtl,
    SyncMaxlen,
    TunnelInfo,
    TunnelType,
    TunnelPort,
    TunnelNoChecksum,
    TunnelChecksum,
    TunnelRemoteChecksum,
}

impl Once {
    /// All of them, in order.
    pub(super) const ALL: [Self; 34] = [
        Self::Numeric,
        Self::Connection,
        Self::Service,
        Self::Scheduler,
        Self::Persistent,
        Self::Netmask,
        Self::Server,
        Self::Forward,
        Self::Weight,
        Self::UpperThreshold,
        Self::LowerThreshold,
        Self::McastInterface,
        Self::Timeout,
        Self::Daemon,
        Self::Stats,
        Self::Rate,
        Self::Thresholds,
        Self::PersistentConn,
        Self::NoSort,
        Self::SyncId,
        Self::Exact,
        Self::OnePacket,
        Self::Engine,
        Self::SchedFlags,
        Self::McastGroup,
        Self::McastPort,
        Self::McastTtl,
        Self::SyncMaxlen,
        Self::TunnelInfo,
        Self::TunnelType,
        Self::TunnelPort,
        Self::TunnelNoChecksum,
        Self::TunnelChecksum,
        Self::TunnelRemoteChecksum,
    ];

    /// What ipvsadm calls it in its complaints.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Numeric => "numeric",
            Self::Connection => "connection",
            Self::Service => "service-address",
            Self::Scheduler => "scheduler",
            Self::Persistent => "persistent",
            Self::Netmask => "netmask",
            Self::Server => "real-server",
            Self::Forward => "forwarding-method",
            Self::Weight => "weight",
            Self::UpperThreshold => "u-threshold",
            Self::LowerThreshold => "l-threshold",
            Self::McastInterface => "mcast-interface",
            Self::Timeout => "timeout",
            Self::Daemon => "daemon",
            Self::Stats => "stats",
            Self::Rate => "rate",
            Self::Thresholds => "thresholds",
            Self::PersistentConn => "persistent-conn",
            Self::NoSort => "nosort",
            Self::SyncId => "syncid",
            Self::Exact => "exact",
            Self::OnePacket => "ops",
            Self::Engine => "pe",
            Self::SchedFlags => "sched-flags",
            Self::McastGroup => "mcast-group",
            Self::McastPort => "mcast-port",
            Self::McastTtl => "mcast-ttl",
            Self::SyncMaxlen => "sync-maxlen",
            Self::TunnelInfo => "tun-info",
            Self::TunnelType => "tun-type",
            Self::TunnelPort => "tun-port",
            Self::TunnelNoChecksum => "tun-nocsum",
            Self::TunnelChecksum => "tun-csum",
            Self::TunnelRemoteChecksum => "tun-remcsum",
        }
    }

    const fn bit(self) -> u64 {
        1 << (self as u64)
    }
}

/// Some of the options that may be given once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Set(u64);

impl Set {
    pub(super) fn of(options: &[Once]) -> Self {
        Self(options.iter().fold(0, |bits, option| bits | option.bit()))
    }

    pub(super) const fn has(self, option: Once) -> bool {
        self.0 & option.bit() != 0
    }

    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn add(&mut self, option: Once) {
        self.0 |= option.bit();
    }
}

/// What an option means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The command.
    Verb(Verb),
    /// One that stands for itself or has its argument under this name.
    Once(Once),
    /// `-t`, `-u`, `--sctp-service`: IP protocol 6, 17, 132.
    Address(crate::model::Protocol),
    /// `-f`.
    Fwmark,
    /// `-6`.
    Ipv6,
    /// `-m`.
    Masquerading,
    /// `-i`.
    Tunnel,
    /// `-g`.
    Gatewaying,
    /// `--sort`, which sorting is anyway.
    Sort,
}

/// Whether an option takes an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    No,
    Required,
    /// Taken from the next word unless that begins with `-`.
    Optional,
}

/// An option: its long name, its letter, its argument, its meaning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) long: &'static str,
    pub(super) short: Option<u8>,
    pub(super) argument: Argument,
    pub(super) meaning: Meaning,
}

const fn known(
    long: &'static str,
    short: Option<u8>,
    argument: Argument,
    meaning: Meaning,
) -> Known {
    Known { long, short, argument, meaning }
}

/// Every option.
pub(super) const KNOWN: &[Known] = {
    use crate::model::Protocol::{Sctp, Tcp, Udp};
    use Argument::{No, Optional, Required};
    use Meaning as M;
    &[
        known("add-service", Some(b'A'), No, M::Verb(Verb::Add)),
        known("edit-service", Some(b'E'), No, M::Verb(Verb::Edit)),
        known("delete-service", Some(b'D'), No, M::Verb(Verb::Delete)),
        known("clear", Some(b'C'), No, M::Verb(Verb::Clear)),
        known("list", Some(b'L'), No, M::Verb(Verb::List)),
        known("list", Some(b'l'), No, M::Verb(Verb::List)),
        known("zero", Some(b'Z'), No, M::Verb(Verb::Zero)),
        known("add-server", Some(b'a'), No, M::Verb(Verb::AddServer)),
        known("edit-server", Some(b'e'), No, M::Verb(Verb::EditServer)),
        known("delete-server", Some(b'd'), No, M::Verb(Verb::DeleteServer)),
        known("set", None, No, M::Verb(Verb::Set)),
        known("help", Some(b'h'), No, M::Verb(Verb::Help)),
        known("version", Some(b'v'), No, M::Verb(Verb::Version)),
        known("restore", Some(b'R'), No, M::Verb(Verb::Restore)),
        known("save", Some(b'S'), No, M::Verb(Verb::Save)),
        known("start-daemon", None, Required, M::Verb(Verb::StartDaemon)),
        known("stop-daemon", None, Required, M::Verb(Verb::StopDaemon)),
        known("tcp-service", Some(b't'), Required, M::Address(Tcp)),
        known("udp-service", Some(b'u'), Required, M::Address(Udp)),
        known("sctp-service", None, Required, M::Address(Sctp)),
        known("fwmark-service", Some(b'f'), Required, M::Fwmark),
        known("scheduler", Some(b's'), Required, M::Once(Once::Scheduler)),
        known("persistent", Some(b'p'), Optional, M::Once(Once::Persistent)),
        known("netmask", Some(b'M'), Required, M::Once(Once::Netmask)),
        known("real-server", Some(b'r'), Required, M::Once(Once::Server)),
        known("masquerading", Some(b'm'), No, M::Masquerading),
        known("ipip", Some(b'i'), No, M::Tunnel),
        known("gatewaying", Some(b'g'), No, M::Gatewaying),
        known("weight", Some(b'w'), Required, M::Once(Once::Weight)),
        known("u-threshold", Some(b'x'), Required, M::Once(Once::UpperThreshold)),
        known("l-threshold", Some(b'y'), Required, M::Once(Once::LowerThreshold)),
        known("numeric", Some(b'n'), No, M::Once(Once::Numeric)),
        known("connection", Some(b'c'), No, M::Once(Once::Connection)),
        known("mcast-interface", None, Required, M::Once(Once::McastInterface)),
        known("syncid", None, Required, M::Once(Once::SyncId)),
        known("timeout", None, No, M::Once(Once::Timeout)),
        known("daemon", None, No, M::Once(Once::Daemon)),
        known("stats", None, No, M::Once(Once::Stats)),
        known("rate", None, No, M::Once(Once::Rate)),
        known("thresholds", None, No, M::Once(Once::Thresholds)),
        known("persistent-conn", None, No, M::Once(Once::PersistentConn)),
        known("nosort", None, No, M::Once(Once::NoSort)),
        known("sort", None, No, M::Sort),
        known("exact", Some(b'X'), No, M::Once(Once::Exact)),
        known("ipv6", Some(b'6'), No, M::Ipv6),
        known("ops", Some(b'o'), No, M::Once(Once::OnePacket)),
        known("pe", None, Required, M::Once(Once::Engine)),
        known("sched-flags", Some(b'b'), Required, M::Once(Once::SchedFlags)),
        known("mcast-group", None, Required, M::Once(Once::McastGroup)),
        known("mcast-port", None, Required, M::Once(Once::McastPort)),
        known("mcast-ttl", None, Required, M::Once(Once::McastTtl)),
        known("sync-maxlen", None, Required, M::Once(Once::SyncMaxlen)),
        known("tun-info", None, No, M::Once(Once::TunnelInfo)),
        known("tun-type", None, Required, M::Once(Once::TunnelType)),
        known("tun-port", None, Required, M::Once(Once::TunnelPort)),
        known("tun-nocsum", None, No, M::Once(Once::TunnelNoChecksum)),
        known("tun-csum", None, No, M::Once(Once::TunnelChecksum)),
        known("tun-remcsum", None, No, M::Once(Once::TunnelRemoteChecksum)),
    ]
};
