//! The examples of pairs without services, as they stand in `examples/`: before HAProxy, which really runs, and two crossed addresses.
//! Only the addresses are the lab's, and not even those where an example is run to the letter.
//!
//! ```text
//!  ┌────────┐   ┌──────────────────────┐   ┌──────────────────────┐   ┌──────────────┐
//!  │ client │   │ lb1 holdfastd haproxy│   │ lb2 holdfastd haproxy│   │ web1   nginx │     each lb with processes of its own,
//!  └───┬────┘   └──────────┬───────────┘   └──────────┬───────────┘   └──────┬───────┘     as two machines have
//!  ════╧═══════════════════╧══════════════════════════╧══════════════════════╧═════ br0
//! ```

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};

use holdfast_integration::duo::{Duo, wait_all, wait_priority, wait_status, wait_tracker};
use holdfast_integration::pair::LIMIT;
use holdfast_integration::{Director, ask};
use holdfast_testkit::lab::{Lab, Nginx, Node, Process, Topology, wait_until};
use nix::sys::signal::Signal;

/// What stands in the lab for the examples' 192.0.2.10/24 and 192.0.2.11/24, in both families, and whom a client asks.
const ADDRESSES: [[(&str, &str); 2]; 2] = [
    [("10.77.0.10/24", "10.77.0.10"), ("10.77.0.13/24", "10.77.0.13")],
    [
        ("'fe80::33/64', 'fd00:77::10/64'", "fd00:77::10"),
        ("'fe80::34/64', 'fd00:77::13/64'", "fd00:77::13"),
    ],
];

/// An example in the lab's addresses of a family, without its services: those need IPVS.
fn example(text: &str, [first, second]: [(&str, &str); 2]) -> String {
    let vrrp = text.split("\nservices:").next().unwrap();
    assert!(vrrp.contains("192.0.2.10/24"), "{vrrp}");
    vrrp.replace("192.0.2.10/24", first.0).replace("192.0.2.11/24", second.0)
}

/// A node's own processes: nobody in here sees those of the other node.
#[derive(Debug)]
struct Processes {
    holder: Process,
    node: Node,
}

impl Processes {
    fn new(node: &Node) -> Self {
        let words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sleep", "3600"];
        let this = Self { holder: node.spawn("processes", words).unwrap(), node: node.clone() };
        wait_until(LIMIT, "the node's own processes", || {
            let first: Vec<OsString> =
                this.before().into_iter().chain(["cat".into(), "/proc/1/comm".into()]).collect();
            (node.try_run(first).ok()?.stdout == "sleep\n").then_some(())
        })
        .unwrap();
        this
    }

    /// What runs a program among them.
    fn before(&self) -> Vec<OsString> {
        let of = format!("/proc/{}/ns", self.holder.pid());
        ["nsenter".to_owned(), format!("--pid={of}/pid_for_children"), format!("--mount={of}/mnt")]
            .map(OsString::from)
            .into()
    }

    /// Starts HAProxy, which sends requests on to web1 and says in the answer's head which node it is on.
    fn haproxy(&self, web: &Node) -> Process {
        let config = format!(
            "defaults\n  mode http\n  timeout connect 2s\n  timeout client 5s\n  timeout server 5s\n\
             frontend web\n  bind 0.0.0.0:80\n  bind [::]:80 v6only\n  \
             http-response set-header via {}\n  default_backend app\n\
             backend app\n  server web1 {}:80\n",
            self.node.name(),
            web.ip4()
        );
        let config = self.node.write("haproxy.cfg", &config).unwrap();
        let argv = ["/usr/sbin/haproxy".into(), "-db".into(), "-f".into(), config.into()];
        let argv = self.before().into_iter().chain(argv);
        let mut process = self.node.spawn("haproxy", argv).unwrap();
        process.wait_listening(80, LIMIT).unwrap();
        process
    }
}

/// Waits until a client's request is answered by the web server through `via`.
fn wait_answered(client: &Node, address: &str, via: &Node) {
    let address: IpAddr = address.parse().unwrap();
    let url = format!("http://{}/", SocketAddr::new(address, 80));
    let mut last = None;
    wait_until(LIMIT, &format!("{url} to be answered through {}", via.name()), || {
        let answer = client.try_run(["curl", "-sS", "-i", "--max-time", "2", &url]).ok()?;
        let through = answer.stdout.contains(&format!("via: {}\r\n", via.name()));
        let is_so = through && answer.stdout.ends_with("\r\n\r\nweb1\n");
        last = Some(answer);
        is_so.then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {last:?}"));
}

/// HAProxy is killed on the Active, then on both, and started again.
#[test]
fn who_has_no_haproxy_gives_the_address_to_who_has_it() {
    for family in ADDRESSES {
        let lab = Lab::with(Topology::one_arm().webs(1)).unwrap();
        let _web = Nginx::start(lab.web(1), 80).unwrap();
        let spaces = [lab.lb1(), lab.lb2()].map(Processes::new);
        let [first, second] = &spaces;
        let mut haproxy1 = first.haproxy(lab.web(1));
        let haproxy2 = second.haproxy(lab.web(1));
        let config = example(include_str!("../../examples/vrrp-haproxy.yaml"), family);
        let [lb1, lb2] = [first, second]
            .map(|space| Director::start_by(&space.node, &config, &space.before()).unwrap());
        let duo = Duo { lb1, lb2, lab };
        let (client, address) = (duo.lab.client(), family[0].1);
        duo.wait_lb1().unwrap();
        wait_answered(client, address, duo.lab.lb1());

        haproxy1.kill_group(Signal::SIGKILL).unwrap();
        haproxy1.wait(LIMIT).unwrap();
        duo.wait_lb2().unwrap();
        wait_priority(&duo.lb1, 90, &[("haproxy", -60)]).unwrap();
        wait_answered(client, address, duo.lab.lb2());

        // On neither of them: the better one has the address.
        haproxy2.kill_group(Signal::SIGKILL).unwrap();
        duo.wait_lb1().unwrap();
        wait_priority(&duo.lb2, 40, &[("haproxy", -60)]).unwrap();
        let said = wait_tracker(&duo.lb2, "haproxy", "down").unwrap();
        assert_eq!(said, "no process is named haproxy");
        let _haproxy2 = second.haproxy(duo.lab.web(1));
        duo.wait_lb2().unwrap();
        wait_answered(client, address, duo.lab.lb2());

        let _haproxy1 = first.haproxy(duo.lab.web(1));
        duo.wait_lb1().unwrap();
        wait_answered(client, address, duo.lab.lb1());
        wait_priority(&duo.lb1, 150, &[]).unwrap();
        duo.ensure_at_rest(&duo.lb1).unwrap();
    }
}

fn wait_crossed(director: &Director, active: &str, backup: &str) {
    wait_status(director, &format!("{active} is active and {backup} backup"), |status| {
        let is = |name: &str, state: &str| {
            let holds = state == "active";
            let is = |one: &&holdfast_control::Instance| {
                one.name == name && one.state == state && one.holds_addresses == holds
            };
            status.vrrp.iter().any(|one| is(&one))
        };
        is(active, "active") && is(backup, "backup")
    })
    .unwrap();
}

fn wait_named(client: &Node, address: &str, node: &Node) {
    let address = SocketAddr::new(address.parse().unwrap(), 80);
    let mut last = None;
    wait_until(LIMIT, &format!("{} to answer at {address}", node.name()), || {
        last = Some(client.enter(|| ask(address)).ok()?);
        matches!(&last, Some(Ok(name)) if name == node.name()).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {last:?}"));
}

/// Two crossed addresses as `config` has them: each node has its own, and both when it is alone. `first` and `second` are what clients
/// ask for each of them.
fn crossed(lab: Lab, config: &str, first: &[&str], second: &[&str]) {
    let _webs = [lab.lb1(), lab.lb2()].map(|node| Nginx::start(node, 80).unwrap());
    let mut duo = Duo::start(lab, config).unwrap();
    let wait_shared = |duo: &Duo| {
        wait_crossed(&duo.lb1, "first", "second");
        wait_crossed(&duo.lb2, "second", "first");
        for (addresses, node) in [(first, duo.lab.lb1()), (second, duo.lab.lb2())] {
            addresses.iter().for_each(|address| wait_named(duo.lab.client(), address, node));
        }
    };
    wait_shared(&duo);
    for dies in [true, false] {
        duo.lab.link_down(if dies { duo.lab.lb1() } else { duo.lab.lb2() }).unwrap();
        let (lost, left) = if dies { (&mut duo.lb1, &duo.lb2) } else { (&mut duo.lb2, &duo.lb1) };
        lost.kill().unwrap();
        wait_all(left, "active").unwrap();
        for address in first.iter().chain(second) {
            wait_named(duo.lab.client(), address, left.node());
        }
        duo.lab.link_up(lost.node()).unwrap();
        lost.restart().unwrap();
        wait_shared(&duo);
    }
}

#[test]
fn of_two_crossed_addresses_each_node_has_one_and_both_when_it_is_alone() {
    for family in ADDRESSES {
        let lab = Lab::with(Topology::one_arm().webs(0)).unwrap();
        let config = example(include_str!("../../examples/crossed-pair.yaml"), family);
        let [first, second] = family.map(|(_, address)| address);
        crossed(lab, &config, &[first], &[second]);
    }
}

/// The example without services, to the letter: it is the client that comes into the example's networks.
#[test]
fn the_example_of_two_crossed_addresses_alone_works_as_it_stands() {
    let lab = Lab::with(Topology::one_arm().webs(0)).unwrap();
    lab.client()
        .sh("ip address add 192.0.2.1/24 dev eth0; ip address add 2001:db8::1/64 dev eth0 nodad")
        .unwrap();
    let config = include_str!("../../examples/vrrp-crossed-pair.yaml");
    let (first, second) = (["192.0.2.10", "2001:db8::10"], ["192.0.2.11", "2001:db8::11"]);
    crossed(lab, config, &first, &second);
}
