//! The kernel's IPVS: what a virtual service and its destinations are ([`model`]), how the kernel spells them on generic netlink
//! ([`wire`]), the fewest operations from one table to another ([`plan`]), the
//! language of ipvsadm ([`rules`]), and, with the feature `client`, the socket (`client`).
//!
//! It is not a daemon: it decides nothing about health, and it keeps no copy of the table between calls. Without the feature
//! `client` nothing here does IO.
//!
//! ```
//! use std::collections::BTreeMap;
//! use ipvs_ctl::model::{Destination, Entry, Forwarding, Protocol, ServiceKey, Table, VirtualService};
//! use ipvs_ctl::plan::{Foreign, plan};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = ServiceKey::Address { protocol: Protocol::Tcp, address: "192.0.2.1:80".parse()? };
//! let service = VirtualService::new(key, "wlc".parse()?);
//! let web1 = Destination::new("10.0.0.11:80".parse()?, Forwarding::Direct, 1);
//! let desired = Table::from([(key, Entry { service, destinations: BTreeMap::from([(web1.address, web1)]) })]);
//!
//! let kernel = Table::new(); // ipvs_ctl::client::Client::open()?.table()?
//! let operations = plan(&desired, &kernel, Foreign::Remove);
//! let spoken: Vec<String> = operations.iter().map(ToString::to_string).collect();
//! assert_eq!(spoken, ["add service tcp 192.0.2.1:80", "add destination 10.0.0.11:80 to tcp 192.0.2.1:80"]);
//! assert!(plan(&desired, &desired, Foreign::Remove).is_empty());
//! // client.apply(&operations)? answers with a report: what was refused, on which object, and what to do.
//! # Ok(()) }
//! ```

#[cfg(feature = "client")]
pub mod client;
pub mod model;
pub mod plan;
pub mod rules;
pub mod wire;
