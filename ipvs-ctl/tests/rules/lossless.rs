//! A full save: whatever the kernel has, `restore` takes every line, and what the lines say is saved again as the same lines.

use ipvs_ctl::rules::lines::words;
use ipvs_ctl::rules::{
    Command, KernelDaemon, KernelDestination, KernelService, Numbers, lossless, message, parse,
};
use proptest::prelude::*;

/// A number that is often at an edge.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(128),
        Just(2_678_400),
        Just(2_678_401),
        Just(i32::MAX.cast_unsigned()),
        Just(u32::MAX),
        any::<u32>()
    ]
}

fn netmask() -> impl Strategy<Value = [u8; 4]> {
    prop_oneof![
        (0_u32..=32).prop_map(|ones| u32::MAX.checked_shl(32 - ones).unwrap_or(0).to_be_bytes()),
        (0_u32..=129).prop_map(u32::to_ne_bytes),
        any::<[u8; 4]>(),
    ]
}

/// Whatever a program may have made of a service, and more.
fn service() -> impl Strategy<Value = KernelService> {
    let key = (
        prop::sample::select(vec![2_u16, 10]),
        prop::sample::select(vec![6_u16, 17, 132, 1, 0]),
        any::<[u8; 16]>(),
        prop_oneof![Just(0_u16), Just(80), any::<u16>()],
        prop_oneof![Just(0_u32), number()],
    );
    let scheduler = prop::sample::select(vec!["rr", "sh", "mh", "wlc", "none", "thirdparty"]);
    let flags = prop_oneof![0_u32..0x80, any::<u32>()];
    let engine = prop::sample::select(vec!["", "sip"]);
    (key, scheduler, flags, number(), netmask(), engine).prop_map(
        |(
            (family, protocol, address, port, mark),
            scheduler,
            flags,
            timeout_s,
            netmask,
            engine,
        )| {
            let (scheduler, engine) = (scheduler.to_owned(), engine.to_owned());
            KernelService {
                family,
                protocol,
                address,
                port,
                mark,
                scheduler,
                flags,
                timeout_s,
                netmask,
                engine,
                ..KernelService::default()
            }
        },
    )
}

fn destination() -> impl Strategy<Value = KernelDestination> {
    let place = (
        prop::sample::select(vec![2_u16, 10]),
        any::<[u8; 16]>(),
        prop_oneof![Just(80_u16), any::<u16>()],
    );
    let tunnel = (0_u8..4, prop_oneof![Just(0_u16), any::<u16>()], 0_u16..5);
    let thresholds = prop_oneof![Just((0, 0)), (number(), number())];
    (place, 0_u32..8, number(), tunnel, thresholds).prop_map(
        |((family, address, port), method, weight, tunnel, thresholds)| {
            let (tunnel_type, tunnel_port, tunnel_flags) = tunnel;
            let (upper_threshold, lower_threshold) = thresholds;
            KernelDestination {
                family,
                address,
                port,
                method,
                weight,
                tunnel_type,
                tunnel_port,
                tunnel_flags,
                upper_threshold,
                lower_threshold,
                ..KernelDestination::default()
            }
        },
    )
}

fn daemon() -> impl Strategy<Value = KernelDaemon> {
    let group = prop::option::of(any::<std::net::IpAddr>());
    let interface = prop::sample::select(vec!["eth0", "", "a-very-long-interface", "-x"]);
    (0_u32..4, interface, number(), any::<u16>(), group, any::<u16>(), any::<u8>()).prop_map(
        |(state, interface, sync_id, max_length, group, port, ttl)| {
            let interface = interface.to_owned();
            KernelDaemon { state, interface, sync_id, max_length, group, port, ttl }
        },
    )
}

/// The commands of lines, each of which must be taken without an oddity.
fn commands(text: &[u8]) -> Vec<Command> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let read = |line: &[u8]| match parse(&words(line), false, &mut Numbers) {
        Ok(parsed) if parsed.oddities.is_empty() => parsed.command,
        other => panic!("{}: {other:?}", String::from_utf8_lossy(line)),
    };
    lines.map(read).collect()
}

/// The kernel after these commands, as far as they are about one service.
fn restored(commands: &[Command]) -> Option<(KernelService, Vec<KernelDestination>)> {
    let (first, servers) = commands.split_first()?;
    let service = KernelService::read(&message(first)?)?;
    let read = |command| KernelDestination::read(&message(command)?, service.family);
    let servers = servers.iter().map(read).collect::<Option<Vec<_>>>()?;
    Some((service, servers))
}

proptest! {
    #[test]
    fn every_line_is_taken_and_saved_again_as_it_is(
        service in service(),
        destinations in prop::collection::vec(destination(), 0..6),
    ) {
        let mut saved = Vec::new();
        let losses = lossless::service(&service, &destinations, &mut saved);
        let commands = commands(&saved);
        let mut places: Vec<_> = commands
            .iter()
            .filter_map(|one| {
                if let Command::AddServer(rule) = one {
                    Some(rule.destination.address)
                } else {
                    None
                }
            })
            .collect();
        let lines = places.len();
        places.sort();
        places.dedup();
        prop_assert_eq!(places.len(), lines, "restore refuses what is there twice");
        match restored(&commands) {
            Some((service, destinations)) => {
                let mut again = Vec::new();
                prop_assert_eq!(lossless::service(&service, &destinations, &mut again), Vec::<String>::new());
                prop_assert_eq!(again, saved);
            }
            None => prop_assert!(saved.is_empty() && losses.len() == 1, "{:?}", losses),
        }
        // Who is not there is named.
        let missing = 1 + destinations.len() - commands.len();
        prop_assert!(losses.len() >= usize::from(missing > 0));
    }

    #[test]
    fn so_is_every_sync_daemon(daemon in daemon()) {
        let mut saved = Vec::new();
        let loss = lossless::daemon(&daemon, &mut saved);
        match commands(&saved).first() {
            Some(command) => {
                prop_assert_eq!(loss, None);
                prop_assert_eq!(message(command).and_then(|said| KernelDaemon::read(&said)), Some(daemon));
            }
            None => prop_assert!(loss.is_some()),
        }
    }
}

/// A service of TCP at 10.0.0.1:80 and what the kernel may have of it.
fn plain() -> KernelService {
    let mut address = [0; 16];
    address[..4].copy_from_slice(&[10, 0, 0, 1]);
    let scheduler = "rr".to_owned();
    KernelService { family: 2, protocol: 6, address, port: 80, scheduler, ..Default::default() }
}

fn saved(service: &KernelService, destinations: &[KernelDestination]) -> (String, Vec<String>) {
    let mut out = Vec::new();
    let losses = lossless::service(service, destinations, &mut out);
    (String::from_utf8_lossy(&out).into_owned(), losses)
}

#[test]
fn what_means_nothing_is_left_out_of_the_line_and_said() {
    let line = "-A -t 10.0.0.1:80 -s rr\n";
    for (service, loss) in [
        (KernelService { engine: "sip".to_owned(), ..plain() }, "persistence engine sip"),
        (KernelService { flags: 0x4, ..plain() }, "one-packet flag"),
        (KernelService { flags: 0x142, ..plain() }, "flags 0x140"),
    ] {
        let (text, losses) = saved(&service, &[]);
        assert_eq!(text, line);
        assert!(losses.len() == 1 && losses[0].contains(loss), "{losses:?}");
        assert!(losses[0].starts_with("service tcp 10.0.0.1:80: "), "{losses:?}");
    }
    let gaps = KernelService { flags: 1, timeout_s: 50, netmask: [255, 0, 255, 0], ..plain() };
    let (text, losses) = saved(&gaps, &[]);
    assert_eq!(text, "-A -t 10.0.0.1:80 -s rr -p 50\n");
    assert!(losses.len() == 1 && losses[0].contains("netmask"), "{losses:?}");
    let dead = KernelService { port: 0, ..plain() };
    let (text, losses) = saved(&dead, &[KernelDestination { family: 2, ..Default::default() }]);
    assert_eq!(text, "");
    assert!(losses[0].contains("is left out, with its 1 servers: Zero port"), "{losses:?}");
}

#[test]
fn a_server_that_no_rule_can_say_is_named() {
    let mut address = [0; 16];
    address[..4].copy_from_slice(&[10, 1, 0, 1]);
    let server =
        KernelDestination { family: 2, address, port: 80, weight: 1, ..Default::default() };
    let direct = |port| KernelDestination { method: 3, port, ..server.clone() };
    let (text, losses) = saved(&plain(), &[direct(8080), direct(8081), server.clone()]);
    assert!(
        losses[0].contains("server 10.1.0.1:8080 of tcp 10.0.0.1:80 is left out"),
        "{losses:?}"
    );
    assert_eq!((losses.len(), text.lines().count()), (2, 2), "{text} {losses:?}");
    let (text, losses) = saved(&plain(), &[direct(8080)]);
    assert!(text.ends_with("-a -t 10.0.0.1:80 -r 10.1.0.1:80 -g -w 1\n"), "{text}");
    assert!(losses[0].contains("written with the service's port"), "{losses:?}");
    for odd in [
        KernelDestination { method: 4, ..server.clone() },
        KernelDestination { method: 2, tunnel_type: 9, ..server.clone() },
        KernelDestination { method: 2, tunnel_type: 2, tunnel_flags: 2, ..server.clone() },
        KernelDestination { method: 2, tunnel_type: 1, ..server.clone() },
        KernelDestination { weight: u32::MAX, ..server.clone() },
        KernelDestination { upper_threshold: u32::MAX, ..server.clone() },
    ] {
        let (text, losses) = saved(&plain(), &[odd]);
        assert_eq!(text, "-A -t 10.0.0.1:80 -s rr\n");
        assert!(losses.len() == 1 && losses[0].contains("is left out: "), "{losses:?}");
    }
}
