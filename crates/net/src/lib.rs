//! VRRP, ARP and ND sockets, addresses and links of this host.
//!
//! This is the thin shell between the pure machines and the kernel: it moves bytes and says what happened, and it decides nothing.
//! Everything is synchronous, so that the VRRP thread needs no runtime and nothing here can be delayed by somebody else's task:
//!
//! ```text
//!                  ┌─ VrrpSocket     advertisements, one per interface and family
//!  VRRP thread ────┼─ Announcer      gratuitous ARP, unsolicited neighbour advertisements
//!                  └─ Waker          commands and link events from other threads
//!                  ┌─ LinkMonitor    links and addresses as they change
//!  other threads ──┴─ Network        addresses, routes and rules: follows and changes them
//! ```
//!
//! What is used by the VRRP thread never waits for the kernel. The other two do when they list or change something, for
//! milliseconds on a host with many addresses, so they belong elsewhere.
//!
//! A socket belongs to the network namespace of the thread that opened it, wherever it is used later. All descriptors are
//! close-on-exec: a health check's child inherits none.

mod announce;
mod answer;
mod bfd_socket;
mod change;
mod clock;
pub mod confine;
mod echo;
mod fate_socket;
pub mod firewall;
mod frame;
pub mod handed;
pub mod heap;
pub mod inherited;
mod interface;
mod inventory;
mod ip_header;
mod link;
mod link_state;
mod macvlan;
pub mod marks;
pub mod names;
mod neighbour;
mod netlink;
mod network;
mod nft;
mod origin;
mod packet_socket;
mod peer;
mod placed;
mod reach;
pub mod realtime;
mod received;
mod route;
mod route_monitor;
mod rule;
mod sysctl;
pub mod terminal;
mod vrrp_socket;
mod wake;

pub use announce::{AnnounceError, Announcer};
pub use answer::Answer;
pub use bfd_socket::{BfdDatagram, BfdReceiver, BfdSender, BfdSocketError, MAX_BFD_DATAGRAM};
pub use change::{Change, Effect, Item, Verb};
pub use clock::{now, suspended};
pub use echo::{Echo, EchoWay};
pub use fate_socket::{FateListener, FateRead, FateStream};
pub use frame::{gratuitous_arp, unsolicited_neighbour_advertisement};
pub use interface::{IfIndex, Interface, LookupError, MacAddress};
pub use inventory::{Device, Inventory, Loss};
pub use link::{LinkMonitor, MonitorError};
pub use link_state::{
    InterfaceAddress, InterfaceState, Interfaces, Link, LinkEvent, Port, PortKind,
};
pub use macvlan::{Macvlan, MacvlanError, Macvlans};
pub use neighbour::NeighbourQuery;
pub use network::{Changes, Losses, Network, NetworkError, Watched};
pub use nft::NftError;
pub use origin::Origin;
pub use peer::peer_groups;
pub use placed::{MARK, Placed, Scope};
pub use reach::{ReachError, ReachStep};
pub use route::{Route, RouteKey, RouteKind};
pub use route_monitor::{Heard, RouteEvents, RouteLister, RouteMonitorError};
pub use rule::Rule;
pub use sysctl::{Sysctl, SysctlError, Sysctls};
pub use vrrp_socket::{Datagram, MAX_DATAGRAM, Packet, VrrpSocket, VrrpSocketError};
pub use wake::{WakeError, Waker, wait_until};
