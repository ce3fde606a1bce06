//! Listings of real connections: both programs list one namespace, one right after the other.
//!
//! The clock goes on between the two, so a pair of listings may differ by a tick; they are made again until they agree.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use holdfast_testkit::lab::wait_until;

use crate::program::{IPVSADM, Said, enter_namespace, holdfast, ipvsadm, run};

/// The kernel sums up what it counts on each processor every two seconds.
const LIMIT: Duration = Duration::from_secs(30);

/// So often a pair of listings is made at most.
const ATTEMPTS: usize = 20;

/// What is listed.
const LISTINGS: [&str; 14] = [
    "-L -n -c",
    "-L -c",
    "-L -n -c --persistent-conn",
    "-L -n",
    "-L",
    "-L -n --nosort",
    "-L --nosort",
    "-L -n --stats",
    "-L -n --stats --exact",
    "-L -n --rate",
    "-L -n --persistent-conn",
    "-L -n --thresholds",
    "-L -t 10.1.0.100:80 --stats",
    "-S -n",
];

#[test]
fn real_connections_are_listed_alike() {
    let ours = holdfast().to_str().unwrap().to_owned();
    thread::spawn(move || {
        enter_namespace();
        let _kept = traffic();
        wait_until(LIMIT, "the kernel to have summed up its counters", || {
            let counted = ipvsadm("-L -n --stats").out;
            counted.lines().any(|line| line.contains("TCP") && !line.ends_with(" 0")).then_some(())
        })
        .unwrap();
        for listing in LISTINGS {
            agree(&ours, listing);
        }
        let listed = ipvsadm("-L -n -c").out;
        assert!(listed.contains("ESTABLISHED"), "{listed}");
        // A persistence template has the client's port 0.
        assert!(listed.contains(":0 "), "{listed}");
        let of_sip = ipvsadm("-L -n -c --persistent-conn").out;
        assert!(of_sip.contains("sip") && of_sip.contains("call-1@example.org"), "{of_sip}");
    })
    .join()
    .unwrap();
}

fn agree(ours: &str, listing: &str) {
    let words: Vec<_> = listing.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    let both = || -> (Said, Said) {
        let theirs = run(IPVSADM, "ipvsadm", &words, b"");
        (theirs, run(ours, "ipvsadm", &words, b""))
    };
    let (mut theirs, mut mine) = both();
    for _ in 1..ATTEMPTS {
        if theirs == mine {
            return;
        }
        (theirs, mine) = both();
    }
    assert_eq!(theirs, mine, "{listing}");
}

/// Connections through several services, which last as long as what is returned.
fn traffic() -> Vec<(TcpStream, TcpStream)> {
    for line in
        ["address add 10.1.0.100/32 dev d0", "-6 address add 2001:db8:1::100/128 dev d0 nodad"]
    {
        let done = std::process::Command::new("ip").args(line.split(' ')).status().unwrap();
        assert!(done.success(), "ip {line}");
    }
    let web = TcpListener::bind("10.1.0.254:8080").unwrap();
    let web6 = TcpListener::bind("[2001:db8:1::fe]:8080").unwrap();
    for line in [
        "-A -t 10.1.0.100:80 -s rr",
        "-a -t 10.1.0.100:80 -r 10.1.0.254:8080 -m",
        "-A -t 10.1.0.100:81 -s wlc -p 60",
        "-a -t 10.1.0.100:81 -r 10.1.0.254:8080 -m -w 7",
        "-A -t [2001:db8:1::100]:80 -s rr",
        "-a -t [2001:db8:1::100]:80 -r [2001:db8:1::fe]:8080 -m",
        "-A -u 10.1.0.100:5060 -p 60 --pe sip",
        "-a -u 10.1.0.100:5060 -r 10.1.0.254:5061 -m",
        "-A -f 7 -s wrr -p 30 -M 255.255.255.0",
    ] {
        assert_eq!(ipvsadm(line).code, 0, "{line}");
    }
    let mut kept = Vec::new();
    for (address, listener) in [
        ("10.1.0.100:80", &web),
        ("10.1.0.100:80", &web),
        ("10.1.0.100:81", &web),
        ("[2001:db8:1::100]:80", &web6),
    ] {
        let mut client = TcpStream::connect(address).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        server.read_exact(&mut heard).unwrap();
        server.write_all(&heard).unwrap();
        client.read_exact(&mut heard).unwrap();
        kept.push((client, server));
    }
    let phone = UdpSocket::bind("10.1.0.254:0").unwrap();
    let exchange = UdpSocket::bind("10.1.0.254:5061").unwrap();
    let invitation = b"INVITE sip:a@example.org SIP/2.0\r\nCall-ID: call-1@example.org\r\n\r\n";
    phone.send_to(invitation, "10.1.0.100:5060").unwrap();
    let mut heard = [0; 128];
    exchange.recv_from(&mut heard).unwrap();
    kept
}
