//! Connections that last: downloads that a web server sends slowly.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use holdfast_testkit::lab::Node;

/// How long a read waits before it looks whether the download is to end.
const READ_TIMEOUT: Duration = Duration::from_millis(200);

/// How long a connection may take to come about, also on a busy machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Downloads of `/slow`, each on a connection of its own, that go on until they are dropped.
#[derive(Debug)]
pub struct Downloads {
    stop: Arc<AtomicBool>,
    each: Vec<Download>,
}

#[derive(Debug)]
struct Download {
    port: u16,
    bytes: Arc<AtomicU64>,
    broken: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Downloads {
    /// Starts `count` downloads from `target` on `client`.
    ///
    /// # Errors
    /// A connection is not made.
    pub fn start(client: &Node, target: SocketAddr, count: usize) -> Result<Self> {
        let mut downloads = Self { stop: Arc::new(AtomicBool::new(false)), each: Vec::new() };
        for _ in 0..count {
            downloads.add(client, target)?;
        }
        Ok(downloads)
    }

    /// Starts one more.
    ///
    /// # Errors
    /// The connection is not made.
    pub fn add(&mut self, client: &Node, target: SocketAddr) -> Result<()> {
        let stream = client
            .enter(|| request(target))?
            .with_context(|| format!("download {} from {target}", self.each.len() + 1))?;
        self.follow(stream)
    }

    /// Reads `stream` in a thread.
    fn follow(&mut self, stream: TcpStream) -> Result<()> {
        let port = stream.local_addr()?.port();
        let (bytes, broken) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (stop, bytes, broken) =
                (Arc::clone(&self.stop), Arc::clone(&bytes), Arc::clone(&broken));
            move || read(stream, &stop, &bytes, &broken)
        });
        self.each.push(Download { port, bytes, broken, thread: Some(thread) });
        Ok(())
    }

    /// Starts one more, whose client closes its direction after the request and goes on reading.
    ///
    /// # Errors
    /// The connection is not made.
    pub fn add_half_closed(&mut self, client: &Node, target: SocketAddr) -> Result<()> {
        let stream = client.enter(|| request(target))?.context("a half-closed download")?;
        stream.shutdown(Shutdown::Write).context("close the client's direction")?;
        self.follow(stream)
    }

    /// How many of them the kernel of `director` has sent to the real server `address` (IPv4).
    ///
    /// # Errors
    /// The kernel's list of connections can't be read.
    pub fn served_by(&self, director: &Node, address: Ipv4Addr) -> Result<usize> {
        let list = director.run(["cat", "/proc/net/ip_vs_conn"])?.stdout;
        let address = format!("{:08X}", u32::from(address));
        let ports: Vec<String> =
            self.each.iter().map(|download| format!("{:04X}", download.port)).collect();
        // Pro FromIP FPrt ToIP TPrt DestIP DPrt State Expires
        let to_address = list.lines().filter(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            words.get(5) == Some(&address.as_str())
                && words.get(2).is_some_and(|port| ports.iter().any(|ours| ours == port))
        });
        Ok(to_address.count())
    }

    /// How many bytes each has brought.
    pub fn bytes(&self) -> Vec<u64> {
        self.each.iter().map(|download| download.bytes.load(Ordering::Relaxed)).collect()
    }

    /// How many were cut.
    pub fn broken(&self) -> usize {
        self.each.iter().filter(|download| download.broken.load(Ordering::Relaxed)).count()
    }
}

impl Drop for Downloads {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.each.iter_mut().filter_map(|download| download.thread.take()) {
            // One that panicked has brought nothing more, which its reader notices.
            drop(thread.join());
        }
    }
}

fn request(target: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&target, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: lab\r\n\r\n")?;
    Ok(stream)
}

fn read(mut stream: TcpStream, stop: &AtomicBool, bytes: &AtomicU64, broken: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => {
                bytes.fetch_add(read as u64, Ordering::Relaxed);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => {
                broken.store(true, Ordering::Relaxed);
                return;
            }
        }
    }
}
