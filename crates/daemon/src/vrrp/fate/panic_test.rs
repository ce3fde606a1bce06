//! A panic of the thread, on the loopback: the node whose death it tells of is a listener here, and the telling is what panics.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use holdfast_config::{Environment, parse};
use holdfast_engine::vrrp::fate::{GOODBYE, HELLO};
use holdfast_net::{FateRead, FateStream};

use super::*;
use crate::hooks::Hooks;

const LIMIT: Duration = Duration::from_secs(20);

/// What comes next on a connection.
fn next(stream: &FateStream) -> FateRead {
    let deadline = now() + LIMIT;
    while now() < deadline {
        wait_until(&[stream.as_fd()], Some(deadline)).unwrap();
        let read = stream.read();
        if read != FateRead::Nothing {
            return read;
        }
    }
    panic!("nothing comes");
}

/// A connection that is held. Until the port is open there is none.
fn held(on: &Interface, port: u16) -> FateStream {
    let deadline = now() + LIMIT;
    while now() < deadline {
        let stream = FateStream::connect(on, Ipv4Addr::LOCALHOST.into(), port, None).unwrap();
        if next(&stream) == FateRead::Byte(HELLO) {
            return stream;
        }
        std::thread::yield_now();
    }
    panic!("nobody listens");
}

#[test]
fn a_panic_says_goodbye_on_every_channel_and_the_thread_begins_anew() {
    let active = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let port = active.local_addr().unwrap().port();
    let deaths = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&deaths);
    let tell = move |_, _| {
        assert!(count.fetch_add(1, Ordering::Relaxed) > 0, "a fault of the daemon");
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let config = parse("f", "services: {}\n", &Environment::new("lb1")).config.unwrap();
    let (_hooks, hooks) = Hooks::start(&config);
    let told = Told { tell: Arc::new(tell), board: FateBoard::default(), hooks };
    let fate = Fate::new(Some(port), None, told);
    let lo = Interface::by_name("lo").unwrap();
    fate.settle(|wanted| {
        let door = |peers| Door { interface: lo.clone(), peers, least_ttl: 255 };
        let address = Some(Ipv6Addr::LOCALHOST.into());
        let nobody = Some(BTreeSet::from(["2001:db8::1".parse().unwrap()]));
        wanted.add(AddressFamily::Ipv4, door(None), None, None);
        // Its port is the other node's for now.
        wanted.add(AddressFamily::Ipv6, door(nobody), address, address);
    });
    let peer = held(&lo, port);
    let (mut watch, _) = active.accept().unwrap();
    watch.write_all(&[HELLO]).unwrap();
    // Its end, and nobody listens there any more: a death is told, and that panics.
    drop(active);
    drop(watch);
    assert_eq!([next(&peer), next(&peer)], [FateRead::Byte(GOODBYE), FateRead::Ended]);
    assert_eq!(deaths.load(Ordering::Relaxed), 1);
    drop(held(&lo, port));
}
