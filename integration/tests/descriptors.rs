//! A director that may open few descriptors: its checks wait for one another, no server is marked down for it, and it says so.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use holdfast_integration::Director;
use holdfast_testkit::lab::{Lab, Node, Topology, wait_until};
use socket2::SockRef;

const LIMIT: Duration = Duration::from_secs(120);

/// So many servers has each of the two services, an IPv4 and an IPv6 one.
const SERVERS: u32 = 150;

/// So many descriptors may the daemon have, its own among them.
const DESCRIPTORS: &str = "--nofile=64:64";

/// So long takes a server to answer: the runs of all, which are due at once, have to wait for one another.
const SLOWNESS: Duration = Duration::from_millis(300);

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// One listener at every address of a node, of both families, that answers each request late.
struct Slow {
    listener: TcpListener,
}

#[derive(Default)]
struct Queue {
    streams: Mutex<VecDeque<(Instant, TcpStream)>>,
    more: Condvar,
}

impl Slow {
    fn stand(node: &Node) -> Result<Self> {
        let listener = node.enter(|| TcpListener::bind("[::]:80"))??;
        SockRef::from(&listener).listen(1024)?;
        let (accepting, queue) = (listener.try_clone()?, Arc::new(Queue::default()));
        let taken = Arc::clone(&queue);
        // Both end with the listener: nobody joins them.
        std::thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                taken.put((Instant::now() + SLOWNESS, stream));
            }
        });
        std::thread::spawn(move || {
            loop {
                let (at, mut stream) = queue.take();
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                // Who has gone away has had its answer late enough.
                let _read = stream.read(&mut [0; 1024]);
                let _written = stream.write_all(ANSWER);
            }
        });
        Ok(Self { listener })
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        drop(SockRef::from(&self.listener).shutdown(Shutdown::Both));
    }
}

impl Queue {
    fn put(&self, stream: (Instant, TcpStream)) {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).push_back(stream);
        self.more.notify_one();
    }

    fn take(&self) -> (Instant, TcpStream) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match streams.pop_front() {
                Some(stream) => return stream,
                None => streams = self.more.wait(streams).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// All servers are due at once, again and again, and one failure would take a server down.
fn configuration() -> String {
    let mut text = "services:\n".to_owned();
    for (name, vip, net) in
        [("four", "10.77.0.10", "10.50.0."), ("six", "[fd00:77::10]", "fd00:50::")]
    {
        text += &format!(
            "  {name}:\n    listen: tcp {vip}:80\n    forward: nat\n    \
             check: {{http: {{path: /}}, interval: 4s, timeout: 3900ms, spread: 0s, rise: 1, fall: 1}}\n    real_servers:\n"
        );
        for server in 1..=SERVERS {
            let address = format!("{net}{server}");
            let address = if name == "six" { format!("[{address}]") } else { address };
            text += &format!("      r{server}: \"{address}:80\"\n");
        }
    }
    text
}

/// The daemon's metrics.
fn metrics(director: &Director) -> Result<String> {
    let mut stream = UnixStream::connect(director.socket())?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: holdfast\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    ensure!(text.starts_with("HTTP/1.1 200"), "{text}");
    Ok(text)
}

/// A sample of the metrics; none where there is none of the name.
fn sample(metrics: &str, name: &str) -> Option<u64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[test]
fn checks_wait_for_descriptors_and_no_server_is_marked_down_for_it() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let lb1 = lab.lb1();
    lb1.run(["ip", "route", "add", "local", "10.50.0.0/24", "dev", "lo"])?;
    lb1.run(["ip", "-6", "route", "add", "local", "fd00:50::/64", "dev", "lo"])?;
    let _slow = Slow::stand(lb1)?;
    let before = ["prlimit", DESCRIPTORS].map(Into::into);
    let director = Director::start_by(lb1, &configuration(), &before)?;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", director.process().pid()))?;
    ensure!(limits.contains("Max open files            64                   64"), "{limits}");

    wait_until(LIMIT, "checks that wait to be told of by status, metrics and the log", || {
        let shown = director.cli(&["status"]).ok()?;
        let told = shown.contains("checks are due and wait for descriptors");
        let counted = sample(&metrics(&director).ok()?, "holdfast_check_runs_waiting ")? > 0;
        let logged = director.process().log().contains("checks wait for descriptors");
        (told && counted && logged).then_some(())
    })?;
    // Each is checked several times, as nobody is left out.
    let rounds = 3 * 2 * u64::from(SERVERS);
    wait_until(LIMIT, "every server to be up after three rounds", || {
        let passed = r#"holdfast_checks_total{result="passed",reason="L7OK"} "#;
        let up = ["four", "six"].map(|name| director.service(name).map(|service| service.up));
        let all = up.iter().all(|up| matches!(up, Ok(up) if *up == SERVERS as usize));
        (all && sample(&metrics(&director).ok()?, passed)? >= rounds).then_some(())
    })?;
    let (text, events) = (metrics(&director)?, director.cli(&["events"])?);
    let runs = text.lines().filter(|line| line.starts_with("holdfast_checks_total{"));
    let others: Vec<&str> = runs.filter(|line| !line.contains(r#"result="passed""#)).collect();
    ensure!(others.is_empty() && !events.contains("server.down"), "{others:?} {events}");
    Ok(())
}
