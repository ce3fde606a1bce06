//! Everything that a node hears, frame by frame, and what a frame tells of addresses that move: an advertisement, an announcement.

use std::io::IoSliceMut;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use holdfast_testkit::lab::Node;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, Socket, Type};

/// How often the listener looks whether it is to end.
const TURN: Duration = Duration::from_millis(50);

/// So many bytes of frames may wait for the listener, which may have no processor for a while.
const RECEIVE_BUFFER: usize = 64 << 20;

/// A frame that was heard, or sent by the node itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When the kernel received it, since 1970.
    pub at: Duration,
    bytes: Vec<u8>,
}

/// A listener to all interfaces of a node, in a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Tap {
    frames: Arc<Mutex<Vec<Frame>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tap {
    /// Starts to listen.
    ///
    /// # Errors
    /// The packet socket can't be opened.
    pub fn start(node: &Node) -> Result<Self> {
        // ETH_P_ALL of linux/if_ether.h, as the network has numbers.
        let every = Protocol::from(i32::from(3u16.to_be()));
        let socket = node.enter(|| Socket::new(Domain::PACKET, Type::RAW, Some(every)))?;
        let socket = socket.context("open a packet socket")?;
        socket.set_read_timeout(Some(TURN)).context("limit its waiting")?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).context("ask for times")?;
        setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).context("give it room")?;
        let (frames, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (frames, stop) = (Arc::clone(&frames), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Some(frame) = receive(&socket) {
                        frames.lock().unwrap_or_else(PoisonError::into_inner).push(frame);
                    }
                }
            }
        });
        Ok(Self { frames, stop, thread: Some(thread) })
    }

    /// All that was heard until now, in order.
    pub fn frames(&self) -> Vec<Frame> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // One that panicked has heard nothing more, which its reader notices.
            drop(thread.join());
        }
    }
}

fn receive(socket: &Socket) -> Option<Frame> {
    let mut bytes = vec![0; 2048];
    let mut space = nix::cmsg_space!(TimeSpec);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let received =
        recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty());
    // Nothing within a turn, or an interface that went down: what comes after it is heard.
    let message = received.ok()?;
    let at = message.cmsgs().ok()?.find_map(|one| {
        if let ControlMessageOwned::ScmTimestampns(at) = one { Some(at.into()) } else { None }
    })?;
    let length = message.bytes;
    bytes.truncate(length);
    Some(Frame { at, bytes })
}

impl Frame {
    /// The whole frame, from the Ethernet header on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The source and priority of a VRRP advertisement.
    pub fn advertisement(&self) -> Option<(IpAddr, u8)> {
        match (self.number(12)?, self.bytes.get(23)?, self.bytes.get(20)?) {
            (0x0800, 112, _) => {
                let words = usize::from(self.bytes.get(14)? & 0xf);
                Some((self.v4(26)?, *self.bytes.get(14 + words * 4 + 2)?))
            }
            (0x86dd, _, 112) => Some((self.v6(22)?, *self.bytes.get(54 + 2)?)),
            _ => None,
        }
    }

    /// The address that is announced without being asked for, and the Ethernet address that it is said to be at: gratuitous ARP (RFC 5227,
    /// §3: sender and target are one address), or a Neighbor Advertisement to all nodes whose flag S is 0 (RFC 4861, §7.2.6).
    pub fn announcement(&self) -> Option<(IpAddr, String)> {
        match self.number(12)? {
            0x0806 => {
                let address = self.v4(28)?;
                (address == self.v4(38)?).then_some((address, self.mac(22)?))
            }
            0x86dd if (self.bytes.get(20)?, self.bytes.get(54)?) == (&58, &136) => {
                let solicited = self.bytes.get(58)? & 0x40 != 0;
                let option = self.number(78)?;
                // Type 2, target link-layer address, of eight bytes.
                (!solicited && option == 0x0201).then_some((self.v6(62)?, self.mac(80)?))
            }
            _ => None,
        }
    }

    fn number(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..at + 2)?;
        bytes.try_into().ok().map(u16::from_be_bytes)
    }

    fn v4(&self, at: usize) -> Option<IpAddr> {
        let octets: [u8; 4] = self.bytes.get(at..at + 4)?.try_into().ok()?;
        Some(octets.into())
    }

    fn v6(&self, at: usize) -> Option<IpAddr> {
        let octets: [u8; 16] = self.bytes.get(at..at + 16)?.try_into().ok()?;
        Some(octets.into())
    }

    fn mac(&self, at: usize) -> Option<String> {
        let octets = self.bytes.get(at..at + 6)?;
        Some(octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":"))
    }
}
