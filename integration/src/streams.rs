//! Connections on which both sides talk all the time, and every byte of which is checked.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_testkit::lab::{Node, wait_until};

/// What a client sends at a time; the server answers with the same bytes, each turned by [`TURN`].
const BLOCK: usize = 512;
const TURN: u8 = 0x5a;

/// Between two blocks.
const PACE: Duration = Duration::from_millis(100);

/// A connection that stands still for longer is broken: TCP's retransmissions are a few seconds apart after a takeover.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers on `port` of `node`, to IPv4 and IPv6 and as long as the process lives, with what it reads, turned.
///
/// # Errors
/// The port is taken.
pub fn answer(node: &Node, port: u16) -> Result<()> {
    let listener = node
        .enter(|| TcpListener::bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)))?
        .with_context(|| format!("listen on port {port} of {}", node.name()))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || turn(stream));
        }
    });
    Ok(())
}

fn turn(mut stream: TcpStream) {
    let mut bytes = [0; BLOCK];
    while let Ok(read @ 1..) = stream.read(&mut bytes) {
        let Some(read) = bytes.get_mut(..read) else { return };
        read.iter_mut().for_each(|byte| *byte ^= TURN);
        if stream.write_all(read).is_err() {
            return;
        }
    }
}

/// Connections that go on until they are dropped.
#[derive(Debug)]
pub struct Streams {
    stop: Arc<AtomicBool>,
    each: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    blocks: Arc<AtomicU64>,
    broken: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Streams {
    /// Opens `count` connections from `client` to `target`, one after the other.
    ///
    /// # Errors
    /// One is not made.
    pub fn start(client: &Node, target: SocketAddr, count: u64) -> Result<Self> {
        let mut streams = Self { stop: Arc::new(AtomicBool::new(false)), each: Vec::new() };
        for number in 0..count {
            let stream = client
                .enter(|| TcpStream::connect_timeout(&target, PATIENCE))?
                .with_context(|| format!("connection {number} to {target}"))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            let (blocks, broken) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(None)));
            let thread = std::thread::spawn({
                let stop = Arc::clone(&streams.stop);
                let (blocks, broken) = (Arc::clone(&blocks), Arc::clone(&broken));
                move || {
                    let ended = talk(stream, number, &stop, &blocks).err();
                    *broken.lock().unwrap_or_else(PoisonError::into_inner) = ended;
                }
            });
            streams.each.push(Stream { blocks, broken, thread: Some(thread) });
        }
        Ok(streams)
    }

    /// How many blocks each has sent and got back right.
    pub fn blocks(&self) -> Vec<u64> {
        self.each.iter().map(|stream| stream.blocks.load(Ordering::Relaxed)).collect()
    }

    /// Why those that are broken are so.
    pub fn broken(&self) -> Vec<String> {
        let broken =
            |stream: &Stream| stream.broken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.each.iter().filter_map(broken).collect()
    }

    /// Waits until every one has brought so many blocks more.
    ///
    /// # Errors
    /// One is broken, or stands still.
    pub fn wait_going_on(&self, blocks: u64) -> Result<()> {
        let before = self.blocks();
        let on = || {
            let broken = !self.broken().is_empty();
            let all =
                self.blocks().iter().zip(&before).all(|(now, before)| now >= &(before + blocks));
            (broken || all).then_some(())
        };
        let waited = wait_until(2 * PATIENCE, "every stream to go on", on);
        let broken = self.broken();
        ensure!(broken.is_empty(), "{} streams are broken: {:?}", broken.len(), broken.first());
        waited
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.each.iter_mut().filter_map(|stream| stream.thread.take()) {
            // One that panicked got no further, which its reader notices.
            drop(thread.join());
        }
    }
}

fn talk(
    mut stream: TcpStream,
    number: u64,
    stop: &AtomicBool,
    blocks: &AtomicU64,
) -> Result<(), String> {
    // xorshift64: no two connections say the same, and no block is like another.
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    while !stop.load(Ordering::Relaxed) {
        let said: Vec<u8> = (0..BLOCK / 8).flat_map(|_| next()).collect();
        let mut heard = [0; BLOCK];
        let at = blocks.load(Ordering::Relaxed);
        let failed = |error: std::io::Error| format!("connection {number}, block {at}: {error}");
        stream.write_all(&said).map_err(failed)?;
        stream.read_exact(&mut heard).map_err(failed)?;
        if said.iter().zip(heard).any(|(said, heard)| said ^ TURN != heard) {
            return Err(format!("connection {number}, block {at}: other bytes than were sent"));
        }
        blocks.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(PACE);
    }
    Ok(())
}
