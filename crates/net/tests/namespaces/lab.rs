//! Two namespaces and the cable between them.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;
use std::thread;
use std::time::Duration;

use holdfast_net::{Interface, MacAddress, now, wait_until};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, getsockname, sendto,
    socket,
};

/// How long an event may take before its test fails: far more than a slow machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const LEFT_MAC: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 1]);

/// A network namespace of the test's own.
pub(crate) struct Namespace(File);

impl Namespace {
    pub(crate) fn new() -> Self {
        let file = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)
                .expect("make a network namespace: these tests must run as root");
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        let namespace = Self(file.join().unwrap());
        namespace.ip("link set lo up");
        // Addresses are usable at once, unless a test asks for detection.
        namespace.sysctl("ipv6/conf/default/accept_dad", "0");
        namespace
    }

    /// Runs `f` in a thread that is in this namespace; a socket that it opens stays there.
    pub(crate) fn enter<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&self.0, CloneFlags::CLONE_NEWNET).unwrap();
                f()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs `ip` here with `arguments`, which must succeed; returns its output.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        let output =
            self.enter(|| Command::new("ip").args(arguments.split_whitespace()).output().unwrap());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {arguments}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn sysctl(&self, key: &str, value: &str) {
        self.enter(|| std::fs::write(format!("/proc/sys/net/{key}"), value).unwrap());
    }

    pub(crate) fn interface(&self, name: &str) -> Interface {
        self.enter(|| Interface::by_name(name).unwrap())
    }

    /// Sends a message of route netlink, as any process with CAP_NET_ADMIN may, to the socket `to`: as if the kernel had said it.
    pub(crate) fn forge(&self, to: &impl AsFd, kind: u16, payload: &[u8]) {
        let port: NetlinkAddr = getsockname(to.as_fd().as_raw_fd()).unwrap();
        assert_ne!(port.pid(), 0, "the socket has a port");
        let forger = self.enter(|| {
            let route = SockProtocol::NetlinkRoute;
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, route).unwrap()
        });
        // struct nlmsghdr: length, type and flags, sequence number, sender.
        let length = u32::try_from(16 + payload.len()).unwrap();
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend([0; 2 + 4 + 4]);
        message.extend(payload);
        let to = NetlinkAddr::new(port.pid(), 0);
        let sent = sendto(forger.as_raw_fd(), &message, &to, MsgFlags::empty());
        assert_eq!(sent, Ok(message.len()), "the kernel passes it on");
    }

    /// Where another process finds this namespace.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// A cable from `name` here to the interface of the same name there.
    pub(crate) fn cable(&self, name: &str, there: &Self) {
        self.ip(&format!(
            "link add {name} address 02:00:00:00:00:01 type veth \
             peer name {name} address 02:00:00:00:00:02 netns {}",
            there.path()
        ));
        for (namespace, host) in [(self, 1), (there, 2)] {
            namespace.ip(&format!("link set {name} addrgenmode none"));
            namespace.ip(&format!("link set {name} up"));
            namespace.ip(&format!("address add fe80::{host}/64 dev {name} nodad"));
        }
    }
}

/// The namespaces of the drawing.
pub(crate) struct Pair {
    pub(crate) left: Namespace,
    pub(crate) right: Namespace,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let (left, right) = (Namespace::new(), Namespace::new());
        left.cable("eth0", &right);
        for (namespace, host) in [(&left, 1), (&right, 2)] {
            namespace.ip(&format!("address add 192.0.2.{host}/24 dev eth0"));
            namespace.ip(&format!("address add 2001:db8::{host}/64 dev eth0 nodad"));
        }
        Self { left, right }
    }
}

/// Asks `poll` whenever `descriptor` is readable, until it has an answer.
pub(crate) fn await_some<F: AsFd, T>(
    descriptor: &mut F,
    mut poll: impl FnMut(&mut F) -> Option<T>,
) -> T {
    let deadline = now() + PATIENCE;
    loop {
        if let Some(answer) = poll(descriptor) {
            return answer;
        }
        assert!(now() < deadline, "it did not happen within {PATIENCE:?}");
        wait_until(&[descriptor.as_fd()], Some(deadline)).unwrap();
    }
}

/// Asks `poll` again and again, for what no descriptor tells.
pub(crate) fn await_true(what: &str, mut poll: impl FnMut() -> bool) {
    let deadline = now() + PATIENCE;
    while !poll() {
        assert!(now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::yield_now();
    }
}

/// Runs `f` in a thread that has no capability.
pub(crate) fn without_capabilities<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            capctl::CapState::empty().set_current().unwrap();
            f()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
