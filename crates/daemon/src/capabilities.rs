//! What the daemon may do (capabilities(7)): asked before anything is begun, and given up as far as the configuration does not need it.
//!
//! Capabilities are a thread's. All of this is called while the process has one thread; those that come later inherit what is left.

use capctl::{Cap, CapSet, CapState, ambient, bounding};
use holdfast_config::Config;
use holdfast_config::host::questions;
use nix::unistd::geteuid;

/// What every director needs: addresses, IPVS, sysctls of the network; VRRP, gratuitous ARP; ports below 1024.
const ALWAYS: [Cap; 3] = [Cap::NET_ADMIN, Cap::NET_RAW, Cap::NET_BIND_SERVICE];

/// To run a command as another user, and to kill its process group.
const FOR_COMMANDS: [Cap; 3] = [Cap::SETUID, Cap::SETGID, Cap::KILL];

/// Real-time priority and locked memory, for whoever advertises.
const FOR_INSTANCES: [Cap; 2] = [Cap::SYS_NICE, Cap::IPC_LOCK];

/// What the start needs besides: the control socket's group, and giving up the rest.
const AT_START: [Cap; 2] = [Cap::CHOWN, Cap::SETPCAP];

/// Why the daemon does not start with the capabilities that it has.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CapabilityError {
    /// One that a director needs is not among the effective ones.
    #[error(
        "this process lacks {}: run as root, or grant it (`AmbientCapabilities=` of the service's unit, `setcap` on the program)",
        .0.join(" and ")
    )]
    Missing(Vec<&'static str>),
    /// They can't be read or given up.
    #[error("{attempt}: {}", std::io::Error::from_raw_os_error(*.code))]
    Kernel {
        /// What was attempted.
        attempt: &'static str,
        /// The kernel's errno.
        code: i32,
    },
}

/// What the daemon had at its start and has given up for good.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GivenUp(CapSet);

/// Gives up everything that no daemon needs, before the configuration is read. Nothing that is started later gets it back, also where
/// this process is root: the bounding set shrinks with the others.
///
/// # Errors
/// The kernel refuses, which it does not.
pub(crate) fn confine() -> Result<(), CapabilityError> {
    keep(widest()).map(drop)
}

/// The same for a supervisor, which gives addresses up and is on time: what its workers may need can still be had by them, since a
/// program that root starts has what the bounding set has. Who is not root keeps what it has, for its workers to inherit.
///
/// # Errors
/// As [`confine`].
pub(crate) fn confine_supervisor() -> Result<(), CapabilityError> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let had = CapState::get_current().map_err(failed("read the capabilities"))?;
    shrink(had, widest())?;
    hold(had.permitted & ALWAYS.into_iter().chain(FOR_INSTANCES).collect())
}

/// Makes sure that this process has what every director needs, and gives up what a daemon with `config` does not.
///
/// # Errors
/// Something is missing, or the kernel refuses.
pub(crate) fn keep_for(config: &Config) -> Result<GivenUp, CapabilityError> {
    let kept = keep(kept_for(config))?;
    let lacks = |(cap, name): &(Cap, &'static str)| (!kept.0.has(*cap)).then_some(*name);
    let missing: Vec<_> = [
        (Cap::NET_ADMIN, "CAP_NET_ADMIN (virtual addresses, IPVS)"),
        (Cap::NET_RAW, "CAP_NET_RAW (VRRP, gratuitous ARP)"),
    ]
    .iter()
    .filter_map(lacks)
    .collect();
    if missing.is_empty() { Ok(GivenUp(kept.1)) } else { Err(CapabilityError::Missing(missing)) }
}

impl GivenUp {
    /// What a daemon with `config` would need of it, and what for: a reload can't get it back.
    pub(crate) fn needed_by(self, config: &Config) -> Option<String> {
        let lost = needed(config) & self.0;
        let (commands, instances) = (
            FOR_COMMANDS.iter().any(|cap| lost.has(*cap)),
            FOR_INSTANCES.iter().any(|cap| lost.has(*cap)),
        );
        let what = match (commands, instances) {
            (false, false) => return None,
            (true, false) => {
                "to run commands as another user: it had none to run (with `daemon.scripts` in the file at its start it keeps that)"
            }
            (false, true) => "to be on time with VRRP: it had no instance",
            (true, true) => {
                "to run commands as another user and to be on time with VRRP: it had neither"
            }
        };
        Some(format!("the daemon gave up at its start what it needs {what}"))
    }
}

/// What a daemon that starts with `config` keeps: what it needs, and with `daemon.scripts` what the first command of a later reload
/// will need.
fn kept_for(config: &Config) -> CapSet {
    let commands = FOR_COMMANDS.into_iter().filter(|_| config.daemon.scripts_given);
    needed(config) | commands.collect()
}

/// What a daemon with `config` needs.
fn needed(config: &Config) -> CapSet {
    let commands = !questions(config).programs.is_empty();
    let instances = !config.instances.is_empty();
    ALWAYS
        .into_iter()
        .chain(FOR_COMMANDS.into_iter().filter(|_| commands))
        .chain(FOR_INSTANCES.into_iter().filter(|_| instances))
        .collect()
}

/// What a daemon may need, whatever its configuration says.
fn widest() -> CapSet {
    ALWAYS.into_iter().chain(FOR_COMMANDS).chain(FOR_INSTANCES).chain(AT_START).collect()
}

/// Keeps of all capabilities those of `wanted`: what is left, and what was given up.
fn keep(wanted: CapSet) -> Result<(CapSet, CapSet), CapabilityError> {
    let had = CapState::get_current().map_err(failed("read the capabilities"))?;
    // First, because it needs CAP_SETPCAP. Who lacks that can start no program that gets more than it has, unless that is set-user-ID.
    shrink(had, wanted)?;
    if ambient::is_supported() {
        ambient::clear().map_err(failed("give up ambient capabilities"))?;
    }
    let kept = had.permitted & wanted;
    hold(kept)?;
    Ok((kept, had.permitted - kept))
}

/// Lets nothing that is started later have more than `wanted`, where this process may say so.
fn shrink(had: CapState, wanted: CapSet) -> Result<(), CapabilityError> {
    if !had.effective.has(Cap::SETPCAP) {
        return Ok(());
    }
    let give_up = failed("give up capabilities for what is started later");
    let bounds = bounds();
    for cap in Cap::iter().filter(|cap| !wanted.has(*cap) && bounds & (1 << *cap as u8) != 0) {
        bounding::ensure_dropped(cap)
            .or_else(|error| if cap.is_supported() { Err(give_up(error)) } else { Ok(()) })?;
    }
    let known = Cap::iter().fold(0, |bits, cap| bits | 1_u64 << cap as u8);
    if bounds & !known != 0 {
        bounding::clear_unknown().map_err(give_up)?;
    }
    Ok(())
}

/// The bounding set, read at once: a worker that takes another's place has no time for a question a capability. Where the kernel does not
/// tell, everything.
fn bounds() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(u64::MAX)
}

/// Has these and no others.
fn hold(kept: CapSet) -> Result<(), CapabilityError> {
    CapState { effective: kept, permitted: kept, inheritable: CapSet::empty() }
        .set_current()
        .map_err(failed("give up capabilities"))
}

fn failed(attempt: &'static str) -> impl Fn(capctl::Error) -> CapabilityError {
    move |error| CapabilityError::Kernel { attempt, code: error.code() }
}

#[cfg(test)]
mod tests {
    use holdfast_config::{Environment, parse};

    use super::*;

    const INSTANCE: &str =
        "vrrp: {instances: {edge: {interface: eth0, vrid: 1, addresses: [192.0.2.1/24]}}}\n";
    const COMMAND: &str = "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, check: {exec: {command: [/bin/true]}}, real_servers: {web1: 10.0.0.1:80}}}\n";
    const SERVICE: &str = "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, real_servers: {web1: 10.0.0.1:80}}}\n";

    fn config(text: &str) -> Config {
        let outcome = parse("test", text, &Environment::new("lb1"));
        outcome.config.unwrap_or_else(|| panic!("{:?}", outcome.diagnostics))
    }

    fn set(parts: &[&[Cap]]) -> CapSet {
        parts.iter().flat_map(|part| part.iter().copied()).collect()
    }

    #[test]
    fn what_a_configuration_needs_is_kept_and_nothing_else() {
        assert_eq!(needed(&config(SERVICE)), set(&[&ALWAYS]));
        assert_eq!(needed(&config(COMMAND)), set(&[&ALWAYS, &FOR_COMMANDS]));
        assert_eq!(needed(&config(INSTANCE)), set(&[&ALWAYS, &FOR_INSTANCES]));
        assert_eq!(kept_for(&config(SERVICE)), set(&[&ALWAYS]));
        let scripts = config(&format!("daemon: {{scripts: {{}}}}\n{SERVICE}"));
        assert_eq!(kept_for(&scripts), set(&[&ALWAYS, &FOR_COMMANDS]));
        // A reload that brings the key and no command needs nothing that was given up.
        assert_eq!(GivenUp(set(&[&FOR_COMMANDS])).needed_by(&scripts), None);
    }

    #[test]
    fn a_reload_that_needs_what_was_given_up_is_told_so() {
        let given_up = GivenUp(set(&[&FOR_COMMANDS, &FOR_INSTANCES, &[Cap::SYS_ADMIN]]));
        assert_eq!(given_up.needed_by(&config(SERVICE)), None);
        assert!(given_up.needed_by(&config(COMMAND)).is_some_and(|why| why.contains("commands")));
        assert!(given_up.needed_by(&config(INSTANCE)).is_some_and(|why| why.contains("VRRP")));
        // Who never had it has given up nothing: a daemon that is its own user runs commands as that user.
        assert_eq!(GivenUp::default().needed_by(&config(COMMAND)), None);
    }

    #[test]
    fn a_thread_that_gives_up_can_do_no_more_than_it_kept() {
        std::thread::spawn(|| {
            let (kept, given_up) = keep(set(&[&ALWAYS])).expect("the tests run as root");
            assert_eq!(kept, set(&[&ALWAYS]));
            assert!(given_up.has(Cap::SYS_ADMIN) && given_up.has(Cap::SETUID));
            assert_eq!(bounding::probe(), set(&[&ALWAYS]));
            let now = CapState::get_current().expect("capget");
            assert_eq!((now.effective, now.permitted), (kept, kept));
            // A second time, without CAP_SETPCAP, it only shrinks.
            let (kept, given_up) =
                keep(set(&[&[Cap::NET_ADMIN]])).expect("it can always be given up");
            assert_eq!(
                (kept, given_up),
                (set(&[&[Cap::NET_ADMIN]]), set(&[&[Cap::NET_RAW, Cap::NET_BIND_SERVICE]]))
            );
        })
        .join()
        .expect("the thread");
    }
}
