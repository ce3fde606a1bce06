//! The raw sockets, one for each interface and family that an instance speaks on, and reading them to the end.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use holdfast_net::{Datagram, IfIndex, Interface, MAX_DATAGRAM, VrrpSocket, VrrpSocketError, now};
use holdfast_time::Instant;
use vrrp::AddressFamily;

/// So many datagrams of one socket are read before timers have their turn again: few, so that an Active's advertisements are on time
/// in a flood. The rest stays in the kernel's queue, which drops what does not fit.
const DATAGRAMS_PER_TURN: usize = 64;

/// Which socket: the interface's number and the family.
pub(super) type SocketKey = (IfIndex, AddressFamily);

/// The sockets that are open.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    sockets: BTreeMap<SocketKey, VrrpSocket>,
}

impl Sockets {
    /// Opens the socket of `interface` and `family` unless it is open, and joins `group`, another than VRRP's.
    ///
    /// # Errors
    /// The kernel refuses: a capability is missing, the interface has gone.
    pub(super) fn open(
        &mut self,
        interface: &Interface,
        family: AddressFamily,
        group: Option<IpAddr>,
    ) -> Result<(), VrrpSocketError> {
        let socket = match self.sockets.entry((interface.index, family)) {
            Entry::Vacant(place) => place.insert(VrrpSocket::open(interface, family)?),
            Entry::Occupied(open) => open.into_mut(),
        };
        group.map_or(Ok(()), |group| socket.join(group))
    }

    /// Closes the sockets of an interface that has gone.
    pub(super) fn close(&mut self, index: IfIndex) {
        self.sockets.retain(|(of, _), _| *of != index);
    }

    /// Closes every socket that none of `used` is.
    pub(super) fn keep_only(&mut self, used: &BTreeSet<SocketKey>) {
        self.sockets.retain(|key, _| used.contains(key));
    }

    pub(super) fn get(&self, key: SocketKey) -> Option<&VrrpSocket> {
        self.sockets.get(&key)
    }

    /// How many packets the kernel has dropped because they were not read in time.
    pub(super) fn dropped(&self) -> u64 {
        self.sockets.values().map(|socket| u64::from(socket.dropped())).sum()
    }

    /// What to wait for.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.values().map(AsFd::as_fd)
    }

    /// Which sockets there are, in the order of [`Self::descriptors`].
    pub(super) fn keys(&self) -> impl Iterator<Item = SocketKey> + '_ {
        self.sockets.keys().copied()
    }

    /// Reads each socket of `readable` until it is empty, or has had its turn, and gives each datagram to `take`. The answer is, for
    /// each of them, up to when all that had arrived has been read: a timer with a later deadline must not fire yet.
    pub(super) fn drain(
        &self,
        readable: &[SocketKey],
        mut take: impl FnMut(SocketKey, &Datagram, &[u8]),
    ) -> Vec<(SocketKey, Instant)> {
        let mut buffer = [0; MAX_DATAGRAM];
        let sockets = readable.iter().filter_map(|key| Some((*key, self.get(*key)?)));
        sockets.map(|(key, socket)| (key, drain_one(key, socket, &mut buffer, &mut take))).collect()
    }
}

fn drain_one(
    key: SocketKey,
    socket: &VrrpSocket,
    buffer: &mut [u8; MAX_DATAGRAM],
    take: &mut impl FnMut(SocketKey, &Datagram, &[u8]),
) -> Instant {
    let mut until = now();
    for turn in 1..=DATAGRAMS_PER_TURN {
        match socket.recv(buffer) {
            Ok(Some(datagram)) => {
                if let Some(payload) = buffer.get(datagram.payload.clone()) {
                    take(key, &datagram, payload);
                }
                if turn == DATAGRAMS_PER_TURN {
                    until = datagram.received_at;
                }
            }
            Ok(None) => break,
            Err(error) => tracing::debug!(%error, "the network reported an error"),
        }
    }
    until
}
