//! The kernel's IPVS: what a virtual service and its destinations are (`model`), how the kernel spells them on generic netlink
//! (`wire`), the fewest operations from one table to another (`plan`), and, with the feature `client`, the socket.

pub mod model;
