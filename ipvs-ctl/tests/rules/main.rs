//! Properties of ipvsadm's language: any words are read or refused, and what is read is written back as it was.

#![cfg_attr(test, expect(clippy::panic, reason = "in a test a panic is the report"))]

mod lossless;

use ipvs_ctl::rules::lines::words;
use ipvs_ctl::rules::save::{self, Detail};
use ipvs_ctl::rules::{
    Command, KernelDestination, KernelService, Numbers, Parsed, Refusal, message, parse,
};
use ipvs_ctl::wire::{Command as Number, IpvsMessage};
use proptest::prelude::*;

fn address() -> impl Strategy<Value = (bool, String)> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| (false, std::net::Ipv4Addr::from(ip).to_string())),
        any::<[u16; 8]>().prop_map(|ip| (true, format!("[{}]", std::net::Ipv6Addr::from(ip)))),
        (0_u16..3, any::<u16>()).prop_map(|(high, low)| {
            (true, format!("[{}]", std::net::Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low)))
        }),
    ]
}

/// A service's name, and whether it is of IPv6, of UDP, by mark.
fn service() -> impl Strategy<Value = (String, bool, bool, bool)> {
    let by_address = (address(), 1_u16.., 0..3_usize).prop_map(|((ipv6, ip), port, protocol)| {
        let option = ["-t", "-u", "--sctp-service"].get(protocol).copied().unwrap_or("-t");
        (format!("{option} {ip}:{port}"), ipv6, option == "-u", false)
    });
    let by_mark = (1_u32.., any::<bool>()).prop_map(|(mark, ipv6)| {
        (format!("-f {mark}{}", if ipv6 { " -6" } else { "" }), ipv6, false, true)
    });
    prop_oneof![by_address, by_mark]
}

fn add_service() -> impl Strategy<Value = String> {
    let persistence = prop::option::of((1_u32..=2_678_400, 1_u32..=32, any::<bool>()));
    let flags = prop::sample::subsequence(vec!["flag-1", "flag-2", "flag-3"], 0..=3);
    let scheduler = prop::sample::select(vec!["rr", "wlc", "sh", "mh", "x?y"]);
    (service(), scheduler, persistence, flags, any::<bool>()).prop_map(
        |((name, ipv6, udp, mark), scheduler, persistence, flags, ops)| {
            let mut line = format!("-A {name} -s {scheduler}");
            if let Some((seconds, prefix, engine)) = persistence {
                line.push_str(&format!(" -p {seconds}"));
                let mask = std::net::Ipv4Addr::from(u32::MAX << (32 - prefix)).to_string();
                line.push_str(&format!(" -M {}", if ipv6 { prefix.to_string() } else { mask }));
                if engine {
                    line.push_str(" --pe sip");
                }
            }
            if ops && (udp || mark) {
                line.push_str(" -o");
            }
            if !flags.is_empty() {
                line.push_str(&format!(" -b {}", flags.join(",")));
            }
            line
        },
    )
}

fn add_server() -> impl Strategy<Value = String> {
    let method = prop::sample::select(vec![
        "-m",
        "-i --tun-type ipip",
        "-i --tun-type gue --tun-port 6080 --tun-nocsum",
        "-i --tun-type gue --tun-port 65535 --tun-remcsum",
        "-i --tun-type gre --tun-csum",
    ]);
    let numbers = (0_u16.., 0_i32..=i32::MAX, 0_i32..=i32::MAX);
    (service(), address(), 0_u16.., method, numbers).prop_map(
        |((name, ..), (_, ip), port, method, (weight, upper, lower))| {
            format!("-a {name} -r {ip}:{port} {method} -w {weight} -x {upper} -y {lower}")
        },
    )
}

fn read(line: &str) -> Result<Parsed, Refusal> {
    parse(&words(line.as_bytes()), false, &mut Numbers)
}

/// The line that stands for the command once the kernel has it.
fn written(command: &Command) -> String {
    let Some(message) = message(command) else { panic!("{command:?} changes nothing") };
    let mut text = Vec::new();
    if let Command::AddServer(rule) = command {
        let query = IpvsMessage::on_service(Number::GetService, &rule.service);
        let found = KernelService::read(&query).and_then(|service| {
            Some((KernelDestination::read(&message, service.family)?, service))
        });
        let Some((destination, service)) = found else { panic!("no destination") };
        save::service(&service, &[destination], true, Detail::Full, &mut Numbers, &mut text);
        return String::from_utf8_lossy(&text).lines().nth(1).unwrap_or_default().to_owned();
    }
    let Some(service) = KernelService::read(&message) else { panic!("no service") };
    save::service(&service, &[], true, Detail::Full, &mut Numbers, &mut text);
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

proptest! {
    #[test]
    fn what_is_saved_asks_for_what_was_there(line in prop_oneof![add_service(), add_server()]) {
        match read(&line) {
            Ok(Parsed { command, oddities, .. }) if oddities.is_empty() => {
                let again = written(&command);
                prop_assert_eq!(read(&again).map(|parsed| parsed.command), Ok(command), "{}", again);
            }
            // Of another family without a tunnel, or a tunnel to another port.
            Ok(_) | Err(Refusal::Usage(_)) => {}
            Err(refusal) => return Err(TestCaseError::fail(format!("{line}: {refusal:?}"))),
        }
    }

    #[test]
    fn any_words_are_read_or_refused(words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..12)) {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let _read = parse(&words, false, &mut Numbers);
    }

    #[test]
    fn words_that_are_nearly_right_are_read_or_refused(
        words in prop::collection::vec(prop_oneof![
            prop::sample::select(vec![
                "-A", "-a", "-e", "-L", "-t", "-u", "-f", "-6", "-r", "-p", "-M", "-s", "-b", "-w", "-x", "-i", "-o", "--set",
                "--start-daemon", "master", "10.0.0.1:80", "[::1]:80", "7", "64", "rr", "mh-port", "--tun-type", "gue", "--",
                "--mcast-group", "ff02::1", "-Ln", "--stats", "-w=", "-",
            ]).prop_map(str::to_owned),
            "[ -~]{0,12}",
        ], 0..12),
    ) {
        let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        let read = parse(&words, false, &mut Numbers);
        if let Ok(Parsed { command, .. }) = read {
            let _message = message(&command);
        }
    }
}

#[test]
fn oddities_are_told_and_carried_out() {
    for (line, sentence) in [
        ("-a -t 10.0.0.1:80 -r 10.0.0.2:8080", "the server gets port 80, not 8080"),
        ("-A -t 10.0.0.1:80 -p -M 255.0.255.0", "gaps"),
        ("-A -t 10.0.0.1:80 -M 255.255.0.0", "without persistence"),
        ("-A -t 10.0.0.1:80 --pe sip", "without persistence"),
        ("-A -t 10.0.0.1:80 -s abcdefghijklmnopq", "too long"),
        ("--start-daemon master --mcast-interface abcdefghijklmnopq", "too long"),
        ("-Z -t 0.0.0.0:0", "names no service"),
        ("-a -r 10.0.0.2 -t 10.0.0.1:80 -m", "gets port 0, not the service's"),
        ("-A -t [10.0.0.1]:80 -p", "the port behind [10.0.0.1] is not read"),
        ("-a -t 10.0.0.1:80 -r [10.0.0.2]:8080 -m", "the port behind [10.0.0.2] is not read"),
        ("-A -t [::1]:80 -p -M 64x", "would be read as 64"),
        ("-A -t [::1]:80 -p -M 4294967360", "would be read as 64"),
        ("-A -M 64 -t [::1]:80 -p", "is forgotten"),
        ("-A -f 7 -p -M 255.255.255.0 -6", "is forgotten"),
    ] {
        match read(line) {
            Ok(parsed) => {
                let told: Vec<_> = parsed.oddities.iter().map(ToString::to_string).collect();
                assert!(told.iter().any(|told| told.contains(sentence)), "{line}: {told:?}");
            }
            Err(refusal) => panic!("{line}: {refusal:?}"),
        }
    }
}

#[test]
fn what_is_said_in_order_is_not_odd() {
    for line in [
        "-a -t 10.0.0.1:80 -r 10.0.0.2 -m",
        "-a -r 10.0.0.2:80 -t 10.0.0.1:80 -m",
        "-a -r 10.0.0.2 -f 7 -m",
        "-a -r 10.0.0.2 -t 10.0.0.1:80",
        "-A -p -M 255.255.255.0 -t 10.0.0.1:80",
        "-A -f 7 -6 -p -M 64",
    ] {
        assert_eq!(read(line).map(|parsed| parsed.oddities), Ok(Vec::new()), "{line}");
    }
}
