//! The language of `ipvsadm`: its command line, the lines that `-S` writes and `-R` reads, and its listings, as values and text.
//!
//! Pure: words in, a [`Command`] or a [`Refusal`] out ([`parse()`]); the kernel's words in, lines out ([`listing`], [`save`], [`lossless`]). It
//! opens no socket and looks up no name: who wants host names and service names brings them along as [`Names`].
//!
//! The measure is ipvsadm 1.31, byte for byte: its options are popt's, its numbers `strtol`'s, its addresses `inet_aton`'s, and its
//! sentences the ones that scripts look for. What it changes without a word (a port that direct routing can't have, a name that is
//! cut) is carried out here, too, and reported beside the command as an [`Oddity`], so that a caller may refuse instead.
//!
//! No input makes it panic, however long and whatever its bytes.

mod address;
pub mod connections;
mod draft;
mod kernel;
mod legal;
pub mod lines;
pub mod listing;
pub mod lossless;
mod message;
mod names;
mod number;
mod options;
mod order;
mod parse;
mod rule;
pub mod save;
mod scan;

pub use self::kernel::{KernelDaemon, KernelDestination, KernelService};
pub use self::message::{
    changes, daemons_query, destinations_query, message, service_query, services_query,
};
pub use self::names::{Names, Numbers};
pub use self::parse::{Parsed, Refusal, parse};
pub use self::rule::{Command, List, ListKind, Oddity, ServerRule, ServiceRule};
