//! Talks to the kernel's IPVS over one generic-netlink socket, blocking.
//!
//! A [`Client`] belongs to the network namespace in which its thread was when it opened it, and needs CAP_NET_ADMIN of the
//! initial user namespace even to read. It keeps no copy of the table. The kernel sends no notifications of changes: whoever
//! wants to see them reads again.
//!
//! Nothing that the kernel does here is transactional. A dump may skip or repeat entries while somebody changes the table;
//! [`Client::table`] reads again when it sees signs of that, at most [`READ_ATTEMPTS`] times, and then returns what it has. A
//! failing operation of a batch doesn't stop those after it.

mod error;
mod glance;
mod raw;
mod read;
mod socket;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt::Debug;
use std::ops::Range;

use netlink_packet_core::{Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, ParseableParametrized};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader};
use nix::errno::Errno;

pub use self::error::{ClientError, OperationError, Report, Request};
pub use self::glance::Glimpse;
pub use self::raw::Refusals;
pub use self::read::Status;
use self::socket::{Answer, Dumped, Socket};
use crate::model::{Info, ServiceKey, SyncDaemon, SyncRole, Timeouts};
use crate::plan::Operation;
use crate::wire::{
    Command, IpvsAttr, IpvsMessage, read_attributes, read_daemon, read_info, read_timeouts,
};

/// How often a dump is read at most; the last one counts even if it contradicts itself.
pub const READ_ATTEMPTS: usize = 3;

/// The most operations of a batch: more gain nothing, and the answers to these fit in the receive buffer.
const BATCH_OPERATIONS: usize = 512;

/// A batch with this many bytes takes no further operation. That is well below the send buffer.
const BATCH_BYTES: usize = 96 << 10;

/// An open way to the kernel's IPVS.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    family: u16,
}

impl Client {
    /// Opens a socket in the thread's network namespace and finds the family, for which the kernel loads `ip_vs` by itself.
    ///
    /// # Errors
    /// No socket, or no IPVS in the kernel.
    pub fn open() -> Result<Self, ClientError> {
        let mut client = Self { socket: Socket::open().map_err(ClientError::Open)?, family: 0 };
        client.resolve()?;
        Ok(client)
    }

    /// Sends the operations in batches, in their order, and gathers what the kernel refuses.
    ///
    /// # Errors
    /// The socket failed: the operations up to some point have been carried out, so read the table and plan again. What the
    /// kernel refuses is no error here, but in the report.
    pub fn apply(&mut self, operations: &[Operation]) -> Result<Report, ClientError> {
        let Refusals { refused, answers_lost } =
            self.send_all(operations, |operation| Cow::Owned(operation.into()))?;
        let applied = operations.len() - refused.len();
        let errors = refused.into_iter().filter_map(|(index, errno)| {
            let operation = operations.get(index)?.clone();
            Some(OperationError { operation, errno })
        });
        Ok(Report { applied, errors: errors.collect(), answers_lost })
    }

    /// The kernel's IPVS version and the size of the connection table.
    ///
    /// # Errors
    /// The kernel refused, or the socket failed.
    pub fn info(&mut self) -> Result<Info, ClientError> {
        let attributes = self.ask(&Request::Info, IpvsMessage::bare(Command::GetInfo))?;
        read_info(&attributes).map_err(|error| unexpected(Request::Info, &error))
    }

    /// The timeouts of connections.
    ///
    /// # Errors
    /// The kernel refused, or the socket failed.
    pub fn timeouts(&mut self) -> Result<Timeouts, ClientError> {
        let attributes = self.ask(&Request::Timeouts, IpvsMessage::bare(Command::GetConfig))?;
        Ok(read_timeouts(&attributes))
    }

    /// Sets the timeouts that are not 0.
    ///
    /// # Errors
    /// The kernel refused, a value being too large, or the socket failed.
    pub fn set_timeouts(&mut self, timeouts: &Timeouts) -> Result<(), ClientError> {
        self.tell(&Request::SetTimeouts, IpvsMessage::set_timeouts(timeouts))
    }

    /// The sync daemons that run, at most one of each role.
    ///
    /// # Errors
    /// The kernel refused, the socket failed, or a daemon is one that the model has no word for.
    pub fn daemons(&mut self) -> Result<Vec<SyncDaemon>, ClientError> {
        let request = Request::Daemons;
        let found = self.dump(&request, &IpvsMessage::bare(Command::GetDaemon), |bytes| {
            read_attributes(bytes).map_err(|error| error.to_string())
        })?;
        let mut daemons = Vec::new();
        for attributes in found {
            let attributes = attributes
                .map_err(|reason| ClientError::Answer { request: request.clone(), reason })?;
            for attribute in attributes {
                if let IpvsAttr::Daemon(daemon) = attribute {
                    daemons.push(
                        read_daemon(&daemon)
                            .map_err(|error| unexpected(request.clone(), &error))?,
                    );
                }
            }
        }
        Ok(daemons)
    }

    /// Starts a sync daemon.
    ///
    /// # Errors
    /// The kernel refused (one of the role runs, the interface or the group won't do), or the socket failed.
    pub fn start_daemon(&mut self, daemon: &SyncDaemon) -> Result<(), ClientError> {
        self.tell(&Request::StartDaemon(daemon.clone()), IpvsMessage::new_daemon(daemon))
    }

    /// Stops a sync daemon.
    ///
    /// # Errors
    /// None of the role runs, or the socket failed.
    pub fn stop_daemon(&mut self, role: SyncRole) -> Result<(), ClientError> {
        match self.tell(&Request::StopDaemon(role), IpvsMessage::del_daemon(role)) {
            // Its thread had not run yet: the daemon is gone all the same.
            Err(ClientError::Refused { errno: Errno::EINTR, .. }) => Ok(()),
            other => other,
        }
    }

    /// Sets the counters of a service and its destinations to 0, or those of all services.
    ///
    /// # Errors
    /// There is no such service, or the socket failed.
    pub fn zero(&mut self, service: Option<&ServiceKey>) -> Result<(), ClientError> {
        let message = service.map_or_else(
            || IpvsMessage::bare(Command::Zero),
            |key| IpvsMessage::on_service(Command::Zero, key),
        );
        self.tell(&Request::Zero(service.copied()), message)
    }

    /// Removes every service of the namespace, foreign ones included. It leaves sync daemons and timeouts.
    ///
    /// # Errors
    /// The kernel refused, or the socket failed.
    pub fn flush(&mut self) -> Result<(), ClientError> {
        self.tell(&Request::Flush, IpvsMessage::bare(Command::Flush))
    }

    /// Looks up the family's number, which changes when the module is unloaded and loaded again.
    fn resolve(&mut self) -> Result<(), ClientError> {
        let question = GenlCtrl {
            cmd: GenlCtrlCmd::GetFamily,
            nlas: vec![GenlCtrlAttrs::FamilyName(IpvsMessage::family_name().to_owned())],
        };
        let answers = match self.exchange(&Request::Resolve, question, 0) {
            Err(ClientError::Refused { errno: Errno::ENOENT, .. }) => {
                return Err(ClientError::NoIpvs);
            }
            other => other?,
        };
        let mut attributes = answers.into_iter().flat_map(|answer: GenlCtrl| answer.nlas);
        self.family = attributes
            .find_map(|attribute| {
                if let GenlCtrlAttrs::FamilyId(family) = attribute { Some(family) } else { None }
            })
            .ok_or_else(|| ClientError::Answer {
                request: Request::Resolve,
                reason: "it holds no family number".to_owned(),
            })?;
        Ok(())
    }

    /// Sends the messages of `items` in batches, in their order, and collects what the kernel refuses.
    fn send_all<'a, T>(
        &mut self,
        items: &'a [T],
        message: impl Fn(&'a T) -> Cow<'a, IpvsMessage>,
    ) -> Result<Refusals, ClientError> {
        let mut refusals = Refusals::default();
        let (mut sent, mut moved) = (0, false);
        let mut batch = Vec::with_capacity(BATCH_BYTES);
        while let Some(rest) = items.get(sent..).filter(|rest| !rest.is_empty()) {
            batch.clear();
            let first = self.socket.sequence().wrapping_add(1);
            let count = self.encode_batch(rest, &message, &mut batch);
            let barrier = self.socket.encode_barrier(&mut batch);
            self.send(&Request::Apply, &batch)?;
            let refused_before = refusals.refused.len();
            self.gather(first, sent..sent + count, barrier, &mut refusals)?;
            let new = refusals.refused.get(refused_before..).unwrap_or_default();
            let unknown =
                new.len() == count && new.iter().all(|(_, errno)| *errno == Errno::ENOENT);
            // ENOENT to all of a batch is what the family's old number causes: nothing of the batch was done.
            if unknown && !moved && self.has_moved()? {
                moved = true;
                refusals.refused.truncate(refused_before);
                continue;
            }
            sent += count;
        }
        Ok(refusals)
    }

    /// Appends the messages of items until the batch is full. Returns how many.
    fn encode_batch<'a, T>(
        &mut self,
        items: &'a [T],
        message: &impl Fn(&'a T) -> Cow<'a, IpvsMessage>,
        batch: &mut Vec<u8>,
    ) -> usize {
        let limit = BATCH_OPERATIONS.min(self.socket.answers_limit()).max(1);
        let mut count = 0;
        for item in items.iter().take(limit) {
            if batch.len() >= BATCH_BYTES {
                break;
            }
            let _sequence =
                self.socket.encode(message(item).as_ref(), self.family, NLM_F_REQUEST, batch);
            count += 1;
        }
        count
    }

    /// Reads refusals until the barrier is answered. The first of the items `sent` had the sequence number `first`.
    fn gather(
        &mut self,
        first: u32,
        sent: Range<usize>,
        barrier: u32,
        refusals: &mut Refusals,
    ) -> Result<(), ClientError> {
        loop {
            let (sequence, answer) = match self.socket.next::<IpvsMessage>() {
                Ok(answer) => answer,
                Err(Errno::ENOBUFS) => {
                    refusals.answers_lost = true;
                    return self.resynchronise();
                }
                Err(source) => return Err(self.lost(&Request::Apply, source)),
            };
            if sequence == barrier {
                return Ok(());
            }
            let Answer::Status(Err(errno)) = answer else { continue };
            let index = usize::try_from(sequence.wrapping_sub(first))
                .ok()
                .and_then(|index| sent.start.checked_add(index))
                .filter(|index| sent.contains(index));
            refusals.refused.extend(index.map(|index| (index, errno)));
        }
    }

    /// After lost answers: makes room, and waits until the kernel answers again.
    fn resynchronise(&mut self) -> Result<(), ClientError> {
        self.socket
            .drain()
            .map_err(|source| ClientError::Receive { request: Request::Apply, source })?;
        let mut batch = Vec::new();
        let barrier = self.socket.encode_barrier(&mut batch);
        self.send(&Request::Apply, &batch)?;
        loop {
            let (sequence, _) = match self.socket.next::<IpvsMessage>() {
                Ok(answer) => answer,
                Err(source) => return Err(self.lost(&Request::Apply, source)),
            };
            if sequence == barrier {
                return Ok(());
            }
        }
    }

    /// A request that answers nothing but yes or no.
    fn tell(&mut self, request: &Request, message: IpvsMessage) -> Result<(), ClientError> {
        self.exchange_found(request, message).map(drop)
    }

    /// A request that answers one message: its attributes.
    fn ask(
        &mut self,
        request: &Request,
        message: IpvsMessage,
    ) -> Result<Vec<IpvsAttr>, ClientError> {
        let answers = self.exchange_found(request, message)?;
        Ok(answers.into_iter().flat_map(|answer: IpvsMessage| answer.attributes).collect())
    }

    /// As [`Self::exchange`] with IPVS; if the kernel no longer knows the family's number, that is looked up again first.
    fn exchange_found(
        &mut self,
        request: &Request,
        message: IpvsMessage,
    ) -> Result<Vec<IpvsMessage>, ClientError> {
        match self.exchange(request, message.clone(), self.family) {
            Err(ClientError::Refused { errno: Errno::ENOENT, .. }) if self.has_moved()? => {
                self.exchange(request, message, self.family)
            }
            other => other,
        }
    }

    /// Whether the family has another number by now, because the module was unloaded and loaded again.
    fn has_moved(&mut self) -> Result<bool, ClientError> {
        let before = self.family;
        self.resolve()?;
        Ok(self.family != before)
    }

    /// One request, acknowledged, and the messages that answer it. A request that gets no answer was refused with EINTR.
    fn exchange<F>(
        &mut self,
        request: &Request,
        message: F,
        family: u16,
    ) -> Result<Vec<F>, ClientError>
    where
        F: GenlFamily + Emitable + ParseableParametrized<[u8], GenlHeader> + Debug,
    {
        let mut bytes = Vec::new();
        let own = self.socket.encode(&message, family, NLM_F_REQUEST | NLM_F_ACK, &mut bytes);
        let barrier = self.socket.encode_barrier(&mut bytes);
        self.send(request, &bytes)?;
        let (mut messages, mut outcome) = (Vec::new(), Err(Errno::EINTR));
        loop {
            let (sequence, answer) = match self.socket.next::<F>() {
                Ok(answer) => answer,
                Err(source) => return Err(self.lost(request, source)),
            };
            if sequence == barrier {
                return match outcome {
                    Ok(()) => Ok(messages),
                    Err(errno) => Err(ClientError::Refused { request: request.clone(), errno }),
                };
            }
            if sequence != own {
                // The late answer to a request that was given up.
                continue;
            }
            match answer {
                Answer::Message(Ok(message)) => messages.push(message),
                Answer::Message(Err(error)) => return Err(unexpected(request.clone(), &error)),
                Answer::Status(status) | Answer::Done(status) => outcome = status,
            }
        }
    }

    /// A dump, in which `read` reads the attributes of each message. It is begun again, [`READ_ATTEMPTS`] times in all, if answers were lost, a change
    /// has interrupted it, or the family has another number by now.
    fn dump<T>(
        &mut self,
        request: &Request,
        message: &IpvsMessage,
        read: impl Fn(&[u8]) -> T,
    ) -> Result<Vec<T>, ClientError> {
        for _attempt in 1..READ_ATTEMPTS {
            match self.dump_once(request, message, &read) {
                Err(ClientError::Receive { source: Errno::ENOBUFS | Errno::EINTR, .. }) => {}
                Err(ClientError::Refused { errno: Errno::ENOENT, .. }) if self.has_moved()? => {}
                other => return other,
            }
        }
        self.dump_once(request, message, &read)
    }

    fn dump_once<T>(
        &mut self,
        request: &Request,
        message: &IpvsMessage,
        read: &impl Fn(&[u8]) -> T,
    ) -> Result<Vec<T>, ClientError> {
        let mut bytes = Vec::new();
        let flags = NLM_F_REQUEST | NLM_F_DUMP;
        let own = self.socket.encode(message, self.family, flags, &mut bytes);
        self.socket.take_interrupted();
        self.send(request, &bytes)?;
        let mut found = Vec::new();
        loop {
            let (sequence, answer) = match self.socket.next_dumped() {
                Ok(answer) => answer,
                Err(source) => return Err(self.lost(request, source)),
            };
            if sequence != own {
                continue;
            }
            let end = match answer {
                Dumped::Attributes(attributes) => {
                    found.push(read(attributes));
                    continue;
                }
                Dumped::End(end) => end,
            };
            return match end {
                Ok(()) if self.socket.take_interrupted() => {
                    let request = request.clone();
                    Err(ClientError::Receive { request, source: Errno::EINTR })
                }
                Ok(()) => Ok(found),
                // NLMSG_OVERRUN.
                Err(Errno::ENOBUFS) => Err(self.lost(request, Errno::ENOBUFS)),
                Err(errno) => Err(ClientError::Refused { request: request.clone(), errno }),
            };
        }
    }

    /// The error of a failed receive. Discards what waits, so that the next request finds an empty buffer.
    fn lost(&mut self, request: &Request, source: Errno) -> ClientError {
        let request = request.clone();
        // An error of the socket that lasts shows in the next request.
        let _drained = self.socket.drain();
        ClientError::Receive { request, source }
    }

    fn send(&self, request: &Request, bytes: &[u8]) -> Result<(), ClientError> {
        self.socket
            .send(bytes)
            .map_err(|source| ClientError::Send { request: request.clone(), source })
    }
}

fn unexpected(request: Request, error: &dyn std::error::Error) -> ClientError {
    ClientError::Answer { request, reason: error.to_string() }
}
