//! The BFD thread's loop: commands, packets, timers, in this order, then sleep until one of them has something new.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use holdfast_bfd::wire::Selector;
use holdfast_bfd::{DiscardReason, Discards, Discriminator, receive};
use holdfast_config::{BfdSession, Name};
use holdfast_net::{
    BfdDatagram, BfdReceiver, BfdSocketError, MAX_BFD_DATAGRAM, Waker, now, realtime, wait_until,
};
use holdfast_time::Instant;
use vrrp::AddressFamily;

use super::peer::Peer;
use super::{BfdStatus, Change, Command};

/// As the VRRP thread's: above all usual processes, below what the kernel and hardware need.
const PRIORITY: u8 = 2;

/// So many datagrams of one socket are read before timers have their turn again: few, so that packets go out on time in a flood. The
/// rest stays in the kernel's queue, which drops what does not fit.
const DATAGRAMS_PER_TURN: usize = 64;

/// A stop waits so long at most for the peers to know.
const FAREWELL: Duration = Duration::from_secs(1);

/// Everything that the thread owns.
#[derive(Debug)]
pub(super) struct BfdThread {
    peers: Vec<Peer>,
    /// Where in `peers` the session of a number of ours is.
    by_number: BTreeMap<Discriminator, usize>,
    receivers: Vec<BfdReceiver>,
    commands: Receiver<Command>,
    waker: Waker,
    strays: Discards,
}

impl BfdThread {
    /// Opens everything, in the thread that will use it.
    ///
    /// # Errors
    /// A socket can't be had: another program has BFD's port, say.
    pub(super) fn open(
        sessions: Vec<(Vec<Name>, BfdSession)>,
        commands: Receiver<Command>,
        waker: Waker,
    ) -> Result<Self, BfdSocketError> {
        let mut receivers = Vec::new();
        for family in [AddressFamily::Ipv4, AddressFamily::Ipv6] {
            if sessions.iter().any(|(_, session)| AddressFamily::of(session.peer) == family) {
                receivers.push(BfdReceiver::open(family)?);
            }
        }
        let mut peers = Vec::new();
        let mut by_number = BTreeMap::new();
        for (trackers, config) in sessions {
            let number = unused_number(&by_number);
            by_number.insert(number, peers.len());
            peers.push(Peer::new(now(), trackers, config, number, random()));
        }
        Ok(Self { peers, by_number, receivers, commands, waker, strays: Discards::default() })
    }

    /// Works until it is told to stop, or nobody is left to tell it; then says goodbye.
    pub(super) fn run(mut self, tell: &dyn Fn(Change)) {
        if let Err(refused) = realtime::enter(PRIORITY) {
            tracing::info!(%refused, "BFD packets may be late when the host is busy");
        }
        while self.take_commands() {
            self.turn(tell);
            self.sleep(None);
        }
        let end = now() + FAREWELL;
        for peer in &mut self.peers {
            peer.say_goodbye(now());
        }
        while now() < end && !self.peers.iter().all(Peer::knows_of_the_end) {
            self.turn(&|_| {});
            self.sleep(Some(end));
        }
    }

    /// Takes every command that waits; false when the thread is to stop.
    fn take_commands(&self) -> bool {
        self.waker.drain();
        loop {
            match self.commands.try_recv() {
                // Whoever asked may have gone away meanwhile.
                Ok(Command::Status(answer)) => drop(answer.send(self.status())),
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn status(&self) -> BfdStatus {
        let at = now();
        let sessions = self.peers.iter().map(|peer| peer.status(at)).collect();
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

    fn sleep(&self, end: Option<Instant>) {
        let deadline = self.peers.iter().filter_map(Peer::deadline).chain(end).min();
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
