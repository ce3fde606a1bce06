//! Virtual addresses that the node has of itself, and interfaces that are another one's.

use vrrp::Priority;

use super::{Address, Facts, Interface, PlacedBy, Port, at, place};
use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::model::{Config, Instance, VirtualAddress};
use crate::path::Path;
use crate::source::Source;

/// An address that is on the interface already, and that no VRRP put there, would be taken off a Backup. Nobody but its owner
/// (priority 255) may have one.
pub(super) fn check(
    config: &Config,
    instance: &Instance,
    source: &Source,
    facts: &Facts,
    problems: &mut Problems,
) {
    if instance.priority == Priority::OWNER {
        return;
    }
    for (key, list) in [("addresses", &instance.addresses), ("excluded", &instance.excluded)] {
        for (index, wish) in list.iter().enumerate() {
            let on = place(instance, wish);
            let interface = facts.interfaces.iter().find(|one| one.name == on);
            let Some((interface, there)) =
                interface.and_then(|one| Some((one, foreign(one, wish)?)))
            else {
                continue;
            };
            if facts.claimed.has(on, there.net.addr()) {
                continue;
            }
            let path = at(config, instance, Some(source), key).item(index);
            problems.push(has_already(instance, interface, there, path));
        }
    }
}

/// The address of `wish`, where the interface has it and VRRP did not put it there.
fn foreign(interface: &Interface, wish: &VirtualAddress) -> Option<Address> {
    let mut same = interface.addresses.iter().filter(|one| one.net.addr() == wish.net.addr());
    same.find(|one| one.by != PlacedBy::Vrrp).copied()
}

fn has_already(instance: &Instance, interface: &Interface, there: Address, path: Path) -> Problem {
    let (name, on, net) = (&instance.name, &interface.name, there.net);
    let others = interface.addresses.iter().any(|one| one.net.addr() != net.addr());
    let label = if others { "" } else { ", and no other address" };
    let (code, message, why) = if there.by == PlacedBy::Other {
        let message = format!("{} of instance `{name}` is this node's own", net.addr());
        let why = "neither this program nor keepalived put it there: as a Backup this node would take it off";
        (Code::OwnAddress, message, why)
    } else {
        let message = format!("{} of instance `{name}` may be this node's own", net.addr());
        let why = "this kernel (before 5.18) does not tell who put it there: as a Backup this node takes it off";
        (Code::PerhapsOwnAddress, message, why)
    };
    let problem = Problem::new(code, message)
        .at(Spot::Value(path), format!("`{on}` has {net}{label}"))
        .help(why);
    let remove = format!(
        "choose an address that no host has; or take it out of the interface's configuration and `ip address del {net} dev {on}`; or, where this node shall have it for good, `priority: 255`"
    );
    problem.help(remove)
}

/// That `name` is a port.
pub(super) fn is_port(name: &str, port: &Port, path: Path) -> Problem {
    let Port { kind, instead } = port;
    let (of, help) = match instead {
        Some(master) => (
            format!("the {kind} `{master}`"),
            format!(
                "use `{master}`: it has all that the port receives, and needs an address of its own"
            ),
        ),
        None => (
            format!("an {kind}"),
            format!("use the bridge's own interface: `ovs-vsctl iface-to-br {name}` names it"),
        ),
    };
    Problem::new(Code::PortInterface, format!("the interface `{name}` is a port of {of}"))
        .at(Spot::Value(path), "it receives nothing itself")
        .help(help)
}
