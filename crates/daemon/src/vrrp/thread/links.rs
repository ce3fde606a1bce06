//! What the VRRP thread hears of interfaces, and lets its instances see.

use std::collections::BTreeSet;
use std::time::Duration;

use holdfast_net::{LinkEvent, now};

use super::VrrpThread;

/// When the interfaces could not be followed, it is tried again after this.
const LINKS_AGAIN: Duration = Duration::from_secs(1);

impl VrrpThread {
    /// Takes the changes of interfaces that have been heard of, and lets the instances there see what their interface is now. The
    /// virtual addresses, which come and go by the thousand, change nothing of that.
    pub(super) fn follow_links(&mut self) {
        let mut changed = BTreeSet::new();
        self.links_again = None;
        loop {
            match self.links.recv() {
                Ok(Some(event)) => {
                    self.lose_what_is_gone(&event);
                    if let LinkEvent::Link(link) = &event {
                        // One that was renamed is gone under its old name.
                        changed.extend(self.roster.on_index(link.interface.index));
                    }
                    changed.extend(self.concerned(event));
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "the interfaces could not be followed; it is tried again in a second");
                    self.links_again = Some(now() + LINKS_AGAIN);
                    break;
                }
            }
        }
        self.see_interfaces(changed);
    }

    /// The interface that an event changes something of, for VRRP.
    fn concerned(&self, event: LinkEvent) -> Option<String> {
        let (interface, address) = match event {
            LinkEvent::Link(link) => (link.interface, None),
            LinkEvent::LinkRemoved(interface) => (interface, None),
            LinkEvent::Address { interface, address } => (interface, Some(address.address)),
            LinkEvent::AddressRemoved { interface, address } => (interface, Some(address)),
        };
        let brought =
            address.is_some_and(|one| self.outside.virtual_addresses.contains(&one.addr()));
        (!brought).then_some(interface.name)
    }

    /// Lets every instance see what its interface is now.
    pub(super) fn see_all_interfaces(&mut self) {
        self.see_interfaces(self.roster.interfaces());
    }

    /// Lets the instances on the interfaces that have `changed` see what these are now.
    pub(in super::super) fn see_interfaces(&mut self, changed: BTreeSet<String>) {
        if changed.is_empty() {
            return;
        }
        let Self { roster, outside, links, tracking, .. } = self;
        outside.testament.outdate();
        outside.fate.outdate();
        let at = now();
        tracking.follow_links(at, links.interfaces());
        for name in changed {
            roster.on(&name, |instance| {
                let opened = instance.open_socket(links, &mut outside.sockets);
                let up = tracking.is_up(instance.interface_name());
                instance.see_interface(at, links, up, &opened, outside);
            });
        }
        roster.find_sockets();
    }

    /// What is gone takes its part of every instance's state along, even if something that looks the same is there already.
    fn lose_what_is_gone(&mut self, event: &LinkEvent) {
        if let LinkEvent::LinkRemoved(interface) = event {
            let Self { roster, outside, .. } = self;
            roster.each(|instance| instance.interface_removed(now(), interface, outside));
            outside.sockets.close(interface.index);
            self.strays.retain(|(index, _), _| *index != interface.index);
        }
    }
}
