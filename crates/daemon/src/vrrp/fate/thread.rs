//! The fate channel's thread: connections that are held for others, and connections of others that are watched.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use holdfast_engine::vrrp::fate::{GOODBYE, HELLO};
use holdfast_engine::vrrp::{FateAction, FateEnd, FateEvent, FateWatch};
use holdfast_net::{FateListener, FateRead, FateStream, IfIndex, Waker, now, realtime, wait_until};
use holdfast_time::Instant;
use nix::errno::Errno;
use vrrp::AddressFamily;

use super::board::{self, Channel, ChannelState, Seen, Watcher};
use super::{Door, Slot, Target, Tell, Told, Wanted, lock};
use crate::supervisor::Custody;

/// Below the VRRP thread's.
const PRIORITY: u8 = 1;

/// Connections of others that are held at once; a further one is closed.
const HELD_MAX: usize = 64;
/// Of one address; its oldest is closed for a further one, which may be half open.
const HELD_OF_ONE_MAX: usize = 4;
/// Connections that are taken in a second; the others wait in the kernel's queue of eight, beyond which nobody is answered.
const ACCEPTED_MAX: u32 = 32;
const SECOND: Duration = Duration::from_secs(1);
/// So many nodes that are watched no more are remembered by the ends of their channels; the oldest gives way.
const PAST_MAX: usize = 64;
/// How long a node is watched after another one is heard as Active: perhaps that one was told of its death a moment sooner (`vrrp`, B3).
const LINGER: Duration = SECOND;
/// So many nodes are watched beyond their time at once; the rest is let go.
const LINGERING_MAX: usize = 64;
/// When a port that was not to be had is tried again.
const DOOR_AGAIN: Duration = Duration::from_secs(10);

/// A door, and the port behind it while it is to be had.
struct Gate {
    door: Door,
    listener: Option<FateListener>,
    again_at: Option<Instant>,
    /// Why the port is not to be had, which was said; none while it is.
    fault: Option<String>,
}

/// A connection that another node watches.
struct Held {
    stream: FateStream,
    from: IpAddr,
    by: (IfIndex, AddressFamily),
    since: Instant,
}

/// A node that is watched.
struct Watched {
    target: Target,
    watch: FateWatch,
    stream: Option<FateStream>,
    /// The last end that was told.
    noted: Option<(Instant, FateEnd)>,
    /// When it is let go; none as long as it is an Active.
    until: Option<Instant>,
}

/// What is known of the ends of channels.
#[derive(Default)]
struct Ends {
    /// By the node whose channel it was: the interface's name, when, and how.
    last: BTreeMap<(IfIndex, IpAddr), (String, Instant, FateEnd)>,
    counts: BTreeMap<FateEnd, u64>,
}

/// Everything that the thread owns.
pub(super) struct FateThread {
    slot: Slot,
    waker: Waker,
    custody: Option<Custody>,
    told: Told,
    port: Option<u16>,
    gates: BTreeMap<(IfIndex, AddressFamily), Gate>,
    held: Vec<Held>,
    watched: BTreeMap<(IfIndex, IpAddr), Watched>,
    ends: Ends,
    /// How many connections were taken since when.
    accepted: (u32, Instant),
}

impl FateThread {
    pub(super) fn new(slot: Slot, waker: Waker, custody: Option<Custody>, told: Told) -> Self {
        let (gates, held, watched) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        let (ends, accepted) = (Ends::default(), (0, now()));
        Self { slot, waker, custody, told, port: None, gates, held, watched, ends, accepted }
    }

    /// Works until it is told to stop. Dropped, by a panic too, it says goodbye.
    pub(super) fn run(mut self) {
        if let Err(refused) = realtime::enter(PRIORITY) {
            // The VRRP thread, which asks for more, says what to do.
            tracing::debug!(%refused, "the fate channel may be late when the host is busy");
        }
        loop {
            self.waker.drain();
            let (wanted, stops) = lock(&self.slot).take();
            if stops {
                return;
            }
            if let Some(wanted) = wanted {
                self.go_on(wanted);
                self.take_up();
            }
            self.open_gates();
            self.accept();
            self.held.retain(Held::is_silent);
            self.watch();
            self.told.board.write(self.seen());
            self.sleep();
        }
    }

    /// Does what is wanted from now on. What was there before and still is notices nothing.
    fn go_on(&mut self, wanted: Wanted) {
        let Wanted { port, doors, watched } = wanted;
        if port != self.port {
            // What a worker before this one has handed over is no worse for it.
            if self.port.is_some() {
                self.say_goodbye();
            }
            self.gates.clear();
            self.watched.clear();
            self.port = port;
        }
        self.gates.retain(|key, gate| {
            doors.get(key).is_some_and(|door| {
                door.interface == gate.door.interface && door.least_ttl == gate.door.least_ttl
            })
        });
        let Self { gates, held, .. } = self;
        held.retain(|held| {
            let stays = gates.contains_key(&held.by);
            if !stays {
                held.say_goodbye();
            }
            stays
        });
        let at = now();
        self.watched.retain(|key, one| match watched.get(key) {
            Some(target) => *target == one.target,
            None => one.watch.may_tell(),
        });
        let mut lingering = 0;
        self.watched.retain(|key, one| {
            let until = one.until.unwrap_or(at + LINGER);
            one.until = (!watched.contains_key(key)).then_some(until);
            lingering += usize::from(one.until.is_some());
            one.until.is_none() || lingering <= LINGERING_MAX
        });
        for (key, target) in watched {
            let watch = FateWatch::new(at);
            let fresh = Watched { target, watch, stream: None, noted: None, until: None };
            self.watched.entry(key).or_insert(fresh);
        }
        for (key, door) in doors {
            match self.gates.get_mut(&key) {
                Some(gate) => gate.change(door),
                None => {
                    let again_at = Some(now());
                    let gate = Gate { door, listener: None, again_at, fault: None };
                    self.gates.insert(key, gate);
                }
            }
        }
    }

    /// Takes up the connections by which others watched the workers before this one, of which the supervisor has copies. Those that came by
    /// no door of this one stand as they did, in its hands alone.
    fn take_up(&mut self) {
        let (Some(custody), Some(_)) = (&self.custody, self.port) else { return };
        let Self { gates, held, .. } = self;
        let since = now();
        let handed_down = std::iter::from_fn(|| custody.handed_down());
        for (stream, from, interface) in handed_down.filter_map(FateStream::taken_up) {
            let family = AddressFamily::of(from);
            let by = gates
                .iter()
                .find(|((_, of), gate)| *of == family && gate.door.interface.name == interface);
            if let Some((by, _)) = by.filter(|_| held.len() < HELD_MAX) {
                held.push(Held { stream, from, by: *by, since });
            }
        }
    }

    fn open_gates(&mut self) {
        let Some(port) = self.port else { return };
        let at = now();
        for ((_, family), gate) in &mut self.gates {
            if gate.again_at.is_none_or(|again| again > at) {
                continue;
            }
            let Door { interface, least_ttl, peers } = &gate.door;
            let opened = FateListener::open(interface, *family, port, *least_ttl);
            let opened = opened.and_then(|listener| {
                listener.admit(peers.as_ref())?;
                Ok(listener)
            });
            match opened {
                Ok(listener) => {
                    (gate.listener, gate.again_at, gate.fault) = (Some(listener), None, None);
                }
                Err(error) => {
                    let interface = &interface.name;
                    let fault = format!("listen on port {port} on {interface}: {error}");
                    if gate.fault.replace(fault).is_none() {
                        tracing::warn!(interface, port, %error, "the fate channel's port can't be had, so that peers hear later that this daemon has died; it is tried again every ten seconds (`vrrp.fate.port`)");
                    }
                    gate.again_at = Some(at + DOOR_AGAIN);
                }
            }
        }
    }

    /// Takes the connections that wait, as many as may be.
    fn accept(&mut self) {
        let at = now();
        let (taken, since) = &mut self.accepted;
        if at.saturating_since(*since) >= SECOND {
            (*taken, *since) = (0, at);
        }
        for (key, gate) in &mut self.gates {
            while let Some(listener) = gate.listener.as_ref().filter(|_| *taken < ACCEPTED_MAX) {
                match listener.accept() {
                    Ok(None) => break,
                    Ok(Some((stream, from))) => {
                        *taken += 1;
                        // The kernel has asked this before, but of who was a peer then.
                        let may =
                            gate.door.peers.as_ref().is_none_or(|peers| peers.contains(&from));
                        if may {
                            let held = Held { stream, from, by: *key, since: at };
                            hold(&mut self.held, held, self.custody.as_ref());
                        }
                    }
                    // Out of descriptors: to be asked again at once would be a busy loop.
                    Err(error) => {
                        tracing::warn!(%error, "connections of the fate channel can't be taken; it is tried again in ten seconds");
                        let interface = &gate.door.interface.name;
                        gate.fault = Some(format!("take connections on {interface}: {error}"));
                        gate.listener = None;
                        gate.again_at = Some(at + DOOR_AGAIN);
                    }
                }
            }
        }
    }

    /// Hears what has become of the nodes that are watched.
    fn watch(&mut self) {
        let Some(port) = self.port else { return };
        let at = now();
        let Self { watched, ends, told, .. } = self;
        watched.retain(|_, one| one.until.is_none_or(|until| at < until && one.watch.may_tell()));
        for (key, watched) in watched {
            let address = key.1;
            watched.watch.handle_timeout(now());
            watched.act(*key, port, &told.tell);
            watched.note(*key, ends, told);
            while let Some(event) = watched.stream.as_ref().and_then(event) {
                let stood = watched.watch.stands();
                watched.watch.handle(now(), event);
                watched.act(*key, port, &told.tell);
                watched.note(*key, ends, told);
                if watched.watch.stands() && !stood {
                    let interface = &watched.target.interface.name;
                    tracing::info!(%address, interface, "the fate channel to the active node stands");
                    told.hooks.tell_news(board::stands(address, interface));
                }
            }
        }
    }

    /// Everything as it is now, for who asks.
    fn seen(&self) -> Seen {
        let watched = self.watched.iter().filter(|(_, one)| one.until.is_none());
        let watched = watched.map(|(key, one)| {
            let before = self.ends.last.get(key).map(|(_, at, end)| (*at, *end));
            let state = match one.watch.stands() {
                true => ChannelState::Stands,
                false => ChannelState::Missing(one.watch.trouble()),
            };
            Channel {
                peer: key.1,
                interface: one.target.interface.name.clone(),
                state,
                since: one.watch.since(),
                last_end: one.watch.last_end().or(before),
            }
        });
        let is_watched =
            |key: &(IfIndex, IpAddr)| self.watched.get(key).is_some_and(|one| one.until.is_none());
        let past = self.ends.last.iter().filter(|(key, _)| !is_watched(key));
        let past = past.map(|(key, (interface, at, end))| Channel {
            peer: key.1,
            interface: interface.clone(),
            state: ChannelState::Over,
            since: *at,
            last_end: Some((*at, *end)),
        });
        let watchers = self.held.iter().map(|held| Watcher {
            peer: held.from,
            interface: self.interface_of(held),
            since: held.since,
        });
        Seen {
            port: self.port,
            watched: watched.chain(past).collect(),
            watchers: watchers.collect(),
            problems: self.gates.values().filter_map(|gate| gate.fault.clone()).collect(),
            ends: self.ends.counts.clone(),
        }
    }

    fn interface_of(&self, held: &Held) -> String {
        self.gates.get(&held.by).map(|gate| gate.door.interface.name.clone()).unwrap_or_default()
    }

    /// Says that connections end though nobody dies: those of this process, and those that its supervisor has kept for earlier ones.
    fn say_goodbye(&mut self) {
        self.held.drain(..).for_each(|held| held.say_goodbye());
        if let Some(custody) = &self.custody {
            // A supervisor that is gone has let go.
            let _gone = custody.let_go();
        }
    }

    fn sleep(&self) {
        let (taken, since) = self.accepted;
        let full = taken >= ACCEPTED_MAX;
        let watched = self.watched.values();
        let timeouts = watched.flat_map(|one| [one.watch.poll_timeout(), one.until]).flatten();
        let again = self.gates.values().filter_map(|gate| gate.again_at);
        let deadline = timeouts.chain(again).chain(full.then(|| since + SECOND)).min();
        let listeners = self.gates.values().filter_map(|gate| gate.listener.as_ref());
        let listeners = listeners.filter(|_| !full).map(AsFd::as_fd);
        let streams = self.watched.values().filter_map(|one| one.stream.as_ref());
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![self.waker.as_fd()];
        descriptors.extend(listeners);
        descriptors.extend(self.held.iter().map(|held| held.stream.as_fd()));
        descriptors.extend(streams.map(AsFd::as_fd));
        if let Err(error) = wait_until(&descriptors, deadline) {
            // Without this pause a kernel out of memory would be asked in a busy loop.
            tracing::error!(%error, "the fate channel's thread could not sleep");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for FateThread {
    fn drop(&mut self) {
        self.say_goodbye();
    }
}

impl Gate {
    /// Lets others in from now on, at the same port.
    fn change(&mut self, door: Door) {
        let peers = &door.peers;
        if self.door.peers != *peers
            && let Some(listener) = &self.listener
            && listener.admit(peers.as_ref()).is_err()
        {
            // It is opened anew, for these.
            (self.listener, self.again_at) = (None, Some(now()));
        }
        self.door = door;
    }
}

impl Held {
    /// Whether it goes on: who says something ends it.
    fn is_silent(&self) -> bool {
        let silent = self.stream.read() == FateRead::Nothing;
        if !silent {
            self.stream.end();
        }
        silent
    }

    /// Ends it, the supervisor's copy too, though this daemon lives on.
    fn say_goodbye(&self) {
        // It may have ended; then nobody has to be told.
        let _ended = self.stream.say(GOODBYE);
        self.stream.end();
    }
}

impl Watched {
    /// Tells of an end, once, when it is known what it was.
    fn note(&mut self, key: (IfIndex, IpAddr), ends: &mut Ends, told: &Told) {
        let last = self.watch.last_end();
        if self.watch.is_in_doubt() || last == self.noted {
            return;
        }
        self.noted = last;
        if let Some(last) = last {
            let interface = &self.target.interface.name;
            ends.add(key, interface, last);
            told.hooks.tell_news(board::ended(key.1, interface, last.1));
        }
    }

    /// Does what follows.
    fn act(&mut self, (index, address): (IfIndex, IpAddr), port: u16, tell: &Tell) {
        while let Some(action) = self.watch.poll_action() {
            match action {
                FateAction::Close => self.stream = None,
                FateAction::Connect => {
                    let Target { interface, source } = &self.target;
                    match FateStream::connect(interface, address, port, *source) {
                        Ok(stream) => self.stream = Some(stream),
                        Err(error) => {
                            self.stream = None;
                            self.watch.handle(now(), begins(&error));
                        }
                    }
                }
                FateAction::Died => {
                    tracing::warn!(%address, interface = self.target.interface.name, "the active node's daemon has died");
                    tell(index, address);
                }
            }
        }
    }
}

impl Ends {
    /// Takes note of how a channel has ended.
    fn add(&mut self, key: (IfIndex, IpAddr), interface: &str, (at, end): (Instant, FateEnd)) {
        let count = self.counts.entry(end).or_default();
        *count = count.saturating_add(1);
        self.last.insert(key, (interface.to_owned(), at, end));
        if self.last.len() > PAST_MAX {
            let oldest = self.last.iter().min_by_key(|(_, (_, at, _))| *at).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                self.last.remove(&oldest);
            }
        }
    }
}

/// Holds a connection as long as this daemon lives: first in the supervisor's hands, then it is said.
fn hold(all: &mut Vec<Held>, held: Held, custody: Option<&Custody>) {
    let same = all.iter().filter(|one| one.from == held.from).count();
    if same >= HELD_OF_ONE_MAX
        && let Some(oldest) = all.iter().position(|one| one.from == held.from)
    {
        all.remove(oldest).say_goodbye();
    }
    if all.len() >= HELD_MAX {
        return;
    }
    match custody.map_or(Ok(()), |custody| custody.keep(held.stream.as_fd())) {
        Ok(()) => {}
        // Without a supervisor this process is all there is.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        // It would end with this process, which may be followed by another: nothing was promised yet.
        Err(_) => return,
    }
    if held.stream.say(HELLO).is_ok() {
        all.push(held);
    }
}

/// What is new of a connection.
fn event(stream: &FateStream) -> Option<FateEvent> {
    match stream.read() {
        FateRead::Nothing => None,
        FateRead::Byte(HELLO) => Some(FateEvent::Hello),
        FateRead::Byte(GOODBYE) => Some(FateEvent::Goodbye),
        FateRead::Ended => Some(FateEvent::Ended),
        FateRead::Refused => Some(FateEvent::Refused),
        FateRead::Byte(_) | FateRead::Failed(_) => Some(FateEvent::Broken),
    }
}

/// What it means that a connection could not be begun.
fn begins(error: &io::Error) -> FateEvent {
    if error.raw_os_error() == Some(Errno::ECONNREFUSED as i32) {
        FateEvent::Refused
    } else {
        FateEvent::Broken
    }
}
