//! A kernel that a test has written: it answers generic netlink's questions about a small table, and does wrong what it is told to.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use netlink_packet_core::{Emitable as _, ParseableParametrized as _};
use netlink_packet_generic::GenlHeader;
use nix::errno::Errno;

use crate::client::{Client, Socket};
use crate::model::{Destination, Forwarding, Protocol, ServiceKey, VirtualService};
use crate::plan::Operation;
use crate::wire::{Command, IpvsAttr, IpvsMessage, read_service};

/// `include/uapi/linux/netlink.h` and `genetlink.h`.
const NOOP: u16 = 1;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const NLCTRL: u16 = 16;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
const MULTI: u16 = 2;
const INTERRUPTED: u16 = 0x10;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Answers are lost: the receive buffer was full.
    Lost,
    /// The dump says that it was interrupted.
    Interrupted,
    /// The dump's end does not come.
    Endless,
    /// The last message is cut short.
    CutShort,
    /// A message says that it is longer than what came.
    TooLong,
    /// The first object comes twice.
    Twice,
    /// The last object does not come.
    Skipped,
    /// The answer to another request comes before it.
    Stale,
    /// Bytes that are no attributes come in place of the first object.
    Garbage,
}

/// The kernel: what it has, what it does wrong, and what it was asked.
#[derive(Debug)]
pub(super) struct Kernel {
    /// The family's number; none without ip_vs.
    pub(super) family: Option<u16>,
    pub(super) table: Vec<(VirtualService, Vec<Destination>)>,
    /// What goes wrong with which request, each once, in their order for a command.
    pub(super) faults: Vec<(Command, Fault)>,
    /// What is refused for good.
    pub(super) refuses: Option<Errno>,
    /// The commands that came, by the family's number or an older one.
    pub(super) asked: Vec<Command>,
}

/// The kernel's end of a socket.
pub(in crate::client) struct Script {
    kernel: Arc<Mutex<Kernel>>,
    answers: RefCell<VecDeque<Result<Vec<u8>, Errno>>>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a script")
    }
}

impl Script {
    pub(in crate::client) fn send(&self, batch: &[u8]) -> Result<(), Errno> {
        let mut rest = batch;
        while rest.len() >= 16 {
            let length =
                usize::try_from(u32::from_ne_bytes(rest[..4].try_into().unwrap())).unwrap();
            let (message, after) = rest.split_at(length.next_multiple_of(4).min(rest.len()));
            let answers = self.kernel.lock().unwrap().answer(message);
            self.answers.borrow_mut().extend(answers);
            rest = after;
        }
        Ok(())
    }

    /// What waits, or EAGAIN.
    pub(in crate::client) fn receive(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let answer = self.answers.borrow_mut().pop_front().unwrap_or(Err(Errno::EAGAIN))?;
        buffer[..answer.len()].copy_from_slice(&answer);
        Ok(answer.len())
    }
}

impl Kernel {
    fn answer(&mut self, request: &[u8]) -> Vec<Result<Vec<u8>, Errno>> {
        let half = |at: usize| u16::from_ne_bytes(request[at..at + 2].try_into().unwrap());
        let (kind, flags) = (half(4), half(6));
        let sequence = u32::from_ne_bytes(request[8..12].try_into().unwrap());
        let status = |errno: i32| {
            message(ERROR, 0, sequence, &[&(-errno).to_ne_bytes()[..], &request[..16]].concat())
        };
        if kind == NOOP {
            return vec![Ok(status(0))];
        }
        if kind == NLCTRL {
            return match self.family {
                None => vec![Ok(status(Errno::ENOENT as i32))],
                Some(family) => {
                    // CTRL_CMD_NEWFAMILY with CTRL_ATTR_FAMILY_ID.
                    let [low, high] = family.to_ne_bytes();
                    let found =
                        message(NLCTRL, 0, sequence, &[1, 2, 0, 0, 6, 0, 1, 0, low, high, 0, 0]);
                    vec![Ok(found), Ok(status(0))]
                }
            };
        }
        let command = Command::from(request[16]);
        self.asked.push(command);
        if Some(kind) != self.family {
            return vec![Ok(status(Errno::ENOENT as i32))];
        }
        if let Some(errno) = self.refuses {
            return vec![Ok(status(errno as i32))];
        }
        let position = self.faults.iter().position(|(of, _)| *of == command);
        let fault = position.map(|position| self.faults.remove(position).1);
        if flags & DUMP == DUMP {
            return dump(self.objects(command, &request[20..]), kind, sequence, fault);
        }
        if flags & ACK != 0 { vec![Ok(status(0))] } else { vec![] }
    }

    /// What a dump of `command` has, each in its message's attributes.
    fn objects(&self, command: Command, question: &[u8]) -> Vec<Vec<u8>> {
        let emitted = |operation: Operation| {
            let message = IpvsMessage::from(&operation);
            let mut bytes = vec![0; message.buffer_len()];
            message.emit(&mut bytes);
            bytes
        };
        if command == Command::GetService {
            let services = self.table.iter().map(|(service, _)| service.clone());
            return services.map(|service| emitted(Operation::NewService(service))).collect();
        }
        if command != Command::GetDestination {
            return vec![];
        }
        let header = GenlHeader { cmd: command.into(), version: 1 };
        let question = IpvsMessage::parse_with_param(question, header).unwrap();
        let asked = question.attributes.iter().find_map(|attribute| {
            if let IpvsAttr::Service(nest) = attribute { Some(key_of(nest)) } else { None }
        });
        let service = asked.unwrap();
        let found = self.table.iter().find(|(found, _)| found.key == service);
        let destinations = found.map(|(_, all)| all.as_slice()).unwrap_or_default();
        destinations
            .iter()
            .map(|one| emitted(Operation::NewDestination { service, destination: *one }))
            .map(|bytes| without_service(&bytes))
            .collect()
    }
}

/// The service's key is asked for without its settings: they are added, so that it can be read.
fn key_of(nest: &[crate::wire::ServiceAttr]) -> ServiceKey {
    let full = VirtualService::new(key(1), "rr".parse().unwrap());
    let missing = crate::wire::service_attributes(&full).into_iter().filter(|attribute| {
        let same = |other: &crate::wire::ServiceAttr| {
            std::mem::discriminant(other) == std::mem::discriminant(attribute)
        };
        !nest.iter().any(same)
    });
    let whole: Vec<_> = nest.iter().cloned().chain(missing).collect();
    read_service(&whole).unwrap().0.key
}

/// A destination's message in a dump has no service.
fn without_service(bytes: &[u8]) -> Vec<u8> {
    let service = usize::from(u16::from_ne_bytes(bytes[..2].try_into().unwrap()));
    bytes[service.next_multiple_of(4)..].to_vec()
}

fn dump(
    objects: Vec<Vec<u8>>,
    family: u16,
    sequence: u32,
    fault: Option<Fault>,
) -> Vec<Result<Vec<u8>, Errno>> {
    let flags = if fault == Some(Fault::Interrupted) { MULTI | INTERRUPTED } else { MULTI };
    let of_family = |object: &Vec<u8>| {
        message(family, flags, sequence, &[&[1_u8, 1, 0, 0][..], object].concat())
    };
    let mut messages: Vec<Vec<u8>> = objects.iter().map(of_family).collect();
    match fault {
        Some(Fault::Twice) => messages.insert(0, messages[0].clone()),
        Some(Fault::Skipped) => drop(messages.pop()),
        Some(Fault::Stale) => {
            messages.insert(0, message(family, MULTI, sequence.wrapping_sub(7), &[1, 1, 0, 0]));
        }
        Some(Fault::Garbage) => {
            messages[0] = message(family, MULTI, sequence, &[1, 1, 0, 0, 200, 0, 2, 128]);
        }
        Some(Fault::CutShort) => {
            let last = messages.last_mut().unwrap();
            last.truncate(10);
        }
        Some(Fault::TooLong) => {
            messages.last_mut().unwrap()[..4].copy_from_slice(&9999_u32.to_ne_bytes())
        }
        _other => {}
    }
    let mut answers = vec![Ok(messages.concat())];
    match fault {
        Some(Fault::Lost) => answers.push(Err(Errno::ENOBUFS)),
        Some(Fault::Endless) => {}
        _other => answers.push(Ok(message(DONE, flags, sequence, &0_i32.to_ne_bytes()))),
    }
    answers
}

/// A netlink message with its header, padded.
fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let length = 16 + payload.len();
    let mut bytes = u32::try_from(length).unwrap().to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes.resize(length.next_multiple_of(4), 0);
    bytes
}

pub(super) fn key(port: u16) -> ServiceKey {
    ServiceKey::Address {
        protocol: Protocol::Tcp,
        address: SocketAddr::from(([192, 0, 2, 10], port)),
    }
}

/// A client of a kernel with two services of three destinations each, and the kernel.
pub(super) fn client() -> (Client, Arc<Mutex<Kernel>>) {
    let destinations = |net: u8| -> Vec<Destination> {
        let address = |host| SocketAddr::from(([10, 0, net, host], 80));
        (1..=3).map(|host| Destination::new(address(host), Forwarding::Nat, 1)).collect()
    };
    let service = |port| VirtualService::new(key(port), "rr".parse().unwrap());
    let kernel = Kernel {
        family: Some(30),
        table: vec![(service(80), destinations(0)), (service(81), destinations(1))],
        faults: vec![],
        refuses: None,
        asked: vec![],
    };
    let kernel = Arc::new(Mutex::new(kernel));
    let script = Script { kernel: Arc::clone(&kernel), answers: RefCell::default() };
    (Client { socket: Socket::scripted(script), family: 30 }, kernel)
}

/// The kernel, for a look or a change.
pub(super) fn of(kernel: &Mutex<Kernel>) -> MutexGuard<'_, Kernel> {
    kernel.lock().unwrap()
}
