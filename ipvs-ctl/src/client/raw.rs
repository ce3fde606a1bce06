//! Messages as they are, for callers that use the kernel's own terms ([`crate::rules`]) and not the model's.

use std::borrow::Cow;

use nix::errno::Errno;

use super::{Client, ClientError, Request};
use crate::wire::IpvsMessage;

/// What became of a list of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Refusals {
    /// The places in the list of those that the kernel refused, and its answers, in the order in which they were sent.
    pub refused: Vec<(usize, Errno)>,
    /// Whether answers were lost, so that more may have been refused: read the table again.
    pub answers_lost: bool,
}

impl Client {
    /// Sends messages that change something in batches, in their order, and gathers what the kernel refuses.
    ///
    /// # Errors
    /// The socket failed: the messages up to some point have been carried out. What the kernel refuses is no error here.
    pub fn submit(&mut self, messages: &[IpvsMessage]) -> Result<Refusals, ClientError> {
        self.send_all(messages, Cow::Borrowed)
    }

    /// What answers a dump, in the kernel's order, the attributes of each message read by `read`.
    ///
    /// # Errors
    /// The kernel refused, or the socket failed.
    pub fn dump_with<T>(
        &mut self,
        message: &IpvsMessage,
        read: impl Fn(&[u8]) -> T,
    ) -> Result<Vec<T>, ClientError> {
        self.dump(&Request::Message(message.command), message, read)
    }

    /// The messages that answer a question.
    ///
    /// # Errors
    /// The kernel refused, or the socket failed.
    pub fn ask_messages(&mut self, message: IpvsMessage) -> Result<Vec<IpvsMessage>, ClientError> {
        let family = self.family;
        self.exchange(&Request::Message(message.command), message, family)
    }
}
