//! The BFD thread's loop: commands, packets, timers, in this order, then sleep until one of them has something new.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use holdfast_bfd::wire::Selector;
use holdfast_bfd::{DiscardReason, Discards, Discriminator, receive};
use holdfast_net::{
    BfdDatagram, BfdReceiver, BfdSocketError, MAX_BFD_DATAGRAM, Waker, now, realtime, wait_until,
};
use holdfast_time::Instant;
use vrrp::AddressFamily;

use super::peer::Peer;
use super::{BfdStatus, Change, Command, Next, Session};

/// As the VRRP thread's: above all usual processes, below what the kernel and hardware need.
const PRIORITY: u8 = 2;

/// So many datagrams of one socket are read before timers have their turn again: few, so that packets go out on time in a flood. The
/// rest stays in the kernel's queue, which drops what does not fit.
const DATAGRAMS_PER_TURN: usize = 64;

/// The end of a session waits so long at most for its peer to know.
const FAREWELL: Duration = Duration::from_secs(1);

/// Everything that the thread owns.
#[derive(Debug)]
pub(super) struct BfdThread {
    peers: Vec<Peer>,
    /// Where in `peers` the session of a number of ours is.
    by_number: BTreeMap<Discriminator, usize>,
    receivers: Vec<BfdReceiver>,
    /// The families that sessions have, or are about to have: those of others are listened to no longer when they are out.
    families: BTreeSet<AddressFamily>,
    commands: Receiver<Command>,
    /// The sessions that there shall be, when they shall be others than before.
    next: Next,
    waker: Waker,
    strays: Discards,
}

impl BfdThread {
    /// A thread without a session, which listens to `families`, opened where it will run.
    ///
    /// # Errors
    /// A socket can't be had: another program has BFD's port, say.
    pub(super) fn open(
        families: &BTreeSet<AddressFamily>,
        commands: Receiver<Command>,
        next: Next,
        waker: Waker,
    ) -> Result<Self, BfdSocketError> {
        let mut thread = Self {
            peers: Vec::new(),
            by_number: BTreeMap::new(),
            receivers: Vec::new(),
            families: BTreeSet::new(),
            commands,
            next,
            waker,
            strays: Discards::default(),
        };
        thread.listen(families)?;
        Ok(thread)
    }

    /// Listens to these families, too, until other sessions come.
    ///
    /// # Errors
    /// A socket can't be had. Nothing has changed then.
    fn listen(&mut self, families: &BTreeSet<AddressFamily>) -> Result<(), BfdSocketError> {
        let is_open =
            |family: &AddressFamily| self.receivers.iter().any(|one| one.family() == *family);
        let missing = families.iter().filter(|family| !is_open(family));
        let opened =
            missing.map(|family| BfdReceiver::open(*family)).collect::<Result<Vec<_>, _>>()?;
        self.receivers.extend(opened);
        self.families.extend(families);
        Ok(())
    }

    /// Goes on with these sessions: those that are there already notice nothing but what differs of them, those that are gone end by intent.
    fn go_on(&mut self, sessions: Vec<Session>, tell: &dyn Fn(Change)) {
        let at = now();
        self.families = super::families(&sessions);
        for peer in &mut self.peers {
            if !sessions.iter().any(|(_, config)| peer.is_of(config)) {
                peer.leave(at, at + FAREWELL);
            }
        }
        for (trackers, config) in sessions {
            if let Some(peer) = self.peers.iter_mut().find(|peer| peer.is_of(&config)) {
                peer.go_on(at, trackers, config, tell);
                continue;
            }
            let number = unused_number(&self.by_number);
            self.by_number.insert(number, self.peers.len());
            self.peers.push(Peer::new(at, trackers, config, number, random()));
        }
        self.drop_leaving();
    }

    /// Forgets the sessions that were leaving and are out, and listens no longer for whom nobody is left.
    fn drop_leaving(&mut self) {
        let at = now();
        self.peers.retain(|peer| !peer.is_out(at));
        let numbered = self.peers.iter().enumerate();
        self.by_number = numbered.map(|(index, peer)| (peer.number(), index)).collect();
        let Self { receivers, families, peers, .. } = self;
        receivers.retain(|one| {
            let family = one.family();
            families.contains(&family) || peers.iter().any(|peer| peer.family() == family)
        });
    }

    /// Works until it is told to stop, or nobody is left to tell it; then says goodbye.
    pub(super) fn run(mut self, tell: &dyn Fn(Change)) {
        if let Err(refused) = realtime::enter(PRIORITY) {
            tracing::info!(%refused, "BFD packets may be late when the host is busy");
        }
        while self.take_commands() {
            if let Some(sessions) = self.next.take() {
                self.go_on(sessions, tell);
            }
            self.turn(tell);
            self.sleep();
        }
        self.go_on(Vec::new(), &|_| {});
        loop {
            self.waker.drain();
            self.turn(&|_| {});
            // Asked before the sleep, which without a session has no end.
            if self.peers.is_empty() {
                return;
            }
            self.sleep();
        }
    }

    /// Takes every command that waits; false when the thread is to stop.
    fn take_commands(&mut self) -> bool {
        self.waker.drain();
        loop {
            match self.commands.try_recv() {
                // Whoever asked may have gone away meanwhile.
                Ok(Command::Status(answer)) => drop(answer.send(self.status())),
                Ok(Command::Listen { families, answer }) => {
                    drop(answer.send(self.listen(&families)));
                }
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn status(&self) -> BfdStatus {
        let at = now();
        let mut sessions: Vec<_> = self.peers.iter().filter_map(|peer| peer.status(at)).collect();
        sessions.sort_by_key(|session| session.peer);
        BfdStatus { sessions, strays: self.strays.clone() }
    }

    /// What has arrived is read before a detection time may run out.
    fn turn(&mut self, tell: &dyn Fn(Change)) {
        let read_until = self.read_packets(tell);
        for peer in &mut self.peers {
            let read = read_until.iter().find(|(family, _)| *family == peer.family());
            let now = now();
            peer.fire(now, read.map_or(now, |(_, until)| *until), tell);
        }
        let at = now();
        if self.peers.iter().any(|peer| peer.is_out(at)) {
            self.drop_leaving();
        }
    }

    /// Gives every packet that has arrived to its session. The answer is, for each family, up to when everything that had arrived has
    /// been read.
    fn read_packets(&mut self, tell: &dyn Fn(Change)) -> Vec<(AddressFamily, Instant)> {
        let Self { peers, by_number, receivers, strays, .. } = self;
        let mut buffer = [0; MAX_BFD_DATAGRAM];
        let mut read_until = Vec::new();
        for receiver in receivers {
            let mut until = now();
            for turn in 1..=DATAGRAMS_PER_TURN {
                match receiver.recv(&mut buffer) {
                    Ok(Some(datagram)) => {
                        let payload = buffer.get(..datagram.length).unwrap_or_default();
                        if let Err(reason) = dispatch(peers, by_number, &datagram, payload, tell) {
                            strays.count(reason);
                        }
                        if turn == DATAGRAMS_PER_TURN {
                            until = datagram.received_at;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => tracing::debug!(%error, "the network reported an error"),
                }
            }
            read_until.push((receiver.family(), until));
        }
        read_until
    }

    fn sleep(&self) {
        let deadline = self.peers.iter().filter_map(Peer::deadline).min();
        let descriptors: Vec<BorrowedFd<'_>> = std::iter::once(self.waker.as_fd())
            .chain(self.receivers.iter().map(AsFd::as_fd))
            .collect();
        if let Err(error) = wait_until(&descriptors, deadline) {
            // The timers still have to be served; without this pause a kernel out of memory would be asked in a busy loop.
            tracing::error!(%error, "the BFD thread could not sleep");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Gives a datagram to the session that it selects.
///
/// # Errors
/// It is for none, for the reason that comes first.
fn dispatch(
    peers: &mut [Peer],
    by_number: &BTreeMap<Discriminator, usize>,
    datagram: &BfdDatagram,
    payload: &[u8],
    tell: &dyn Fn(Change),
) -> Result<(), DiscardReason> {
    let received = receive::Datagram {
        source: datagram.source,
        interface: datagram.interface,
        hop_limit: datagram.hop_limit,
        payload,
    };
    let packet = receive::read(&received)?;
    let index = match packet.selector() {
        Selector::Discriminator(number) => by_number.get(&number).copied(),
        Selector::Addresses => {
            peers.iter().position(|peer| peer.expectation().is_selected(&received, &packet))
        }
    };
    let Some(peer) = index.and_then(|index| peers.get_mut(index)) else {
        return receive::check(&received, &packet, None);
    };
    match receive::check(&received, &packet, Some(peer.expectation())) {
        Ok(()) => peer.receive(now(), packet, datagram.received_at, tell),
        Err(reason) => peer.discard(reason),
    }
    Ok(())
}

/// A number that no session has.
fn unused_number(taken: &BTreeMap<Discriminator, usize>) -> Discriminator {
    loop {
        let [a, b, c, d, ..] = random().to_le_bytes();
        match Discriminator::new(u32::from_le_bytes([a, b, c, d])) {
            Some(number) if !taken.contains_key(&number) => return number,
            Some(_) | None => {}
        }
    }
}

/// A random number: the standard library seeds its hashers from the kernel, another for each.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
