//! What becomes of a service when its servers fail: quorum, sorry servers, damping.

use holdfast_health::{Combine, Damping};

use super::{Hook, Name};

/// How the servers of a service are judged, alone and together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolPolicy {
    /// How several checks of a server that has none of its own are put together (`checks: {any: […]}`).
    pub combine: Combine,
    /// What a server counts as before its first check (`initial`).
    pub initial: InitialHealth,
    /// When a server that comes and goes is kept down (`flap_damping`); none = never.
    pub damping: Option<Damping>,
    /// What the kernel has of a server that takes no clients (`on_failure`).
    pub on_failure: OnFailure,
    /// How much weight it takes for the service to count as up (`quorum`, `hysteresis`).
    pub quorum: Quorum,
    /// What happens without the quorum (`all_down`).
    pub all_down: AllDown,
    /// The commands that are run when the quorum is lost or gained (`hooks`).
    pub hooks: Vec<Hook>,
}

/// What a server counts as before its first check has finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitialHealth {
    /// Up where the kernel gives it new connections when the daemon starts; otherwise down until its first pass.
    #[default]
    Kernel,
    /// Down until its first pass, whatever the kernel has (keepalived's `alpha`).
    Down,
    /// Up until its checks have failed `fall` times in a row.
    Up,
}

impl InitialHealth {
    /// The word that the configuration has for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Down => "down",
            Self::Up => "up",
        }
    }
}

/// What the kernel's table has of a server that takes no new clients because its checks fail, its maintenance, or because the service
/// has its sorry servers in use; and of a sorry server that is not in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// A destination of weight 0: its connections go on (keepalived's `inhibit_on_failure`).
    #[default]
    Inhibit,
    /// Nothing: its connections end, and clients that the kernel remembers are forgotten.
    Remove,
}

impl OnFailure {
    /// The word that the configuration has for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Inhibit => "inhibit",
            Self::Remove => "remove",
        }
    }
}

/// How much weight of servers that can serve it takes for a service to count as up (keepalived's `quorum` and `hysteresis`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quorum {
    /// The weight, at least 1.
    pub weight: u32,
    /// The quorum is gained at so much more, and lost below so much less; less than `weight`.
    pub hysteresis: u32,
}

impl Default for Quorum {
    fn default() -> Self {
        Self { weight: 1, hysteresis: 0 }
    }
}

impl Quorum {
    /// A quorum of `weight`, which `hysteresis` is less than.
    pub(crate) const fn new(weight: u32, hysteresis: u32) -> Self {
        Self { weight, hysteresis }
    }

    /// The weight at which it is gained.
    pub fn gain(self) -> u64 {
        u64::from(self.weight) + u64::from(self.hysteresis)
    }

    /// The least weight with which it is kept; a weight of 0 never suffices.
    pub fn keep(self) -> u64 {
        self.weight.saturating_sub(self.hysteresis).into()
    }
}

/// What happens while a service has lost its quorum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AllDown {
    /// Nothing: servers that can serve go on, and without any the kernel refuses new connections.
    #[default]
    Drop,
    /// The sorry servers take new connections, and no other server does.
    Sorry,
    /// Every server takes new connections, whatever its checks say.
    FailOpen,
    /// As [`Self::Drop`], and the instances that hold the service's addresses are in fault.
    WithdrawVip,
}

impl AllDown {
    /// The word that the configuration has for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Sorry => "sorry",
            Self::FailOpen => "fail_open",
            Self::WithdrawVip => "withdraw_vip",
        }
    }
}

/// The name of a tracker that the configuration itself makes for a service with `all_down: withdraw_vip`: that of the service where no
/// tracker has it, otherwise with a number after it.
pub(crate) fn tracker_name(service: &Name, taken: impl Fn(&Name) -> bool) -> Option<Name> {
    let plain = service.as_str();
    let numbered = (2_u32..).map(|number| {
        let end = format!("-{number}");
        let room = 63_usize.saturating_sub(end.len());
        let kept: String = plain.chars().take(room).collect();
        kept + &end
    });
    std::iter::once(plain.to_owned())
        .chain(numbered)
        .map_while(|name| Name::try_from(name).ok())
        .find(|name| !taken(name))
}
