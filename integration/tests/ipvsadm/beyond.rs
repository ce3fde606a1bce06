//! What `holdfast ipvs` does and ipvsadm does not.

use std::thread;

use ipvs_ctl::client::Client;
use ipvs_ctl::model::{Destination, Forwarding, Protocol, ServiceKey};
use ipvs_ctl::plan::Operation;

use crate::program::{IPVSADM, enter_namespace, holdfast_ipvs, ipvsadm, run};

/// Runs `test` in a namespace of its own.
fn inside(test: impl FnOnce(&mut Client) + Send + 'static) {
    let body = move || {
        enter_namespace();
        test(&mut Client::open().unwrap());
    };
    thread::spawn(body).join().unwrap();
}

#[test]
fn what_makes_no_sense_is_refused_with_a_sentence() {
    inside(|client| {
        assert_eq!(holdfast_ipvs("-A -t 10.0.0.1:80 -s rr", "").code, 0);
        let before = client.table().unwrap();
        for (line, sentence) in [
            ("-a -t 10.0.0.1:80 -r 10.1.0.1:8080", "the server gets port 80, not 8080"),
            ("-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -i", "the server gets port 80, not 8080"),
            ("-A -t 10.0.0.2:80 -p -M 255.0.255.0", "gaps"),
            ("-A -t 10.0.0.2:80 -M 255.255.0.0", "means nothing without persistence"),
            ("-A -t 10.0.0.2:80 --pe sip", "means nothing without persistence"),
            ("-A -t 10.0.0.2:80 -s abcdefghijklmnop", "at most 15 bytes"),
            ("-a -r 10.1.0.1 -t 10.0.0.1:80 -m", "gets port 0, not the service's"),
            ("-A -t [10.0.0.2]:80 -p", "the port behind [10.0.0.2] is not read"),
            ("-A -t [::2]:80 -p -M 64x", "would be read as 64"),
            ("-A -M 64 -t [::2]:80 -p", "the netmask stands before its IPv6 service"),
            ("-A -f 0", "invalid fwmark value `0' specified"),
            ("-A -t 10.0.0.2:80 -b sh-port", "incompatible scheduler flag `sh-port'"),
            ("-A -t 10.0.0.2:80 -p 2678401", "invalid timeout value `2678401' specified"),
            ("-a -t 10.0.0.1:80 -r 10.1.0.1 -i --tun-type 9", "illegal tunnel type specified"),
            ("--start-daemon master --mcast-interface d0 --syncid 300", "illegal syncid specified"),
            ("--set 2678401 0 0", "invalid timeout value"),
        ] {
            let said = holdfast_ipvs(line, "");
            assert_eq!((said.code, said.out.as_str()), (2, ""), "{line}");
            assert!(said.err.contains(sentence), "{line}: {}", said.err);
        }
        for line in ["-S -o json", "-A -u 10.0.0.3:53 -o json", "-R -o json", "save --full -o json"]
        {
            let said = holdfast_ipvs(line, "-C\n");
            assert_eq!((said.code, said.out.as_str()), (2, ""), "{line}");
            assert!(said.err.contains("only listings have it"), "{line}: {}", said.err);
        }
        assert_eq!(client.table().unwrap(), before);
        // The kernel's refusal: ipvsadm's line, then ours.
        let said = holdfast_ipvs("-L -n -t 10.0.0.9:80", "");
        assert_eq!((said.code, said.out.as_str()), (1, ""));
        let lines: Vec<_> = said.err.lines().collect();
        assert_eq!(lines[0], "No such service");
        assert!(lines[1].contains("look up service tcp 10.0.0.9:80") && lines[1].contains("ESRCH"));
        let said = holdfast_ipvs("-d -t 10.0.0.1:80 -r 10.1.0.9:80", "");
        assert_eq!(said.code, 255);
        let lines: Vec<_> = said.err.lines().collect();
        assert_eq!(lines[0], "No such destination");
        assert!(lines[1].contains("remove destination 10.1.0.9:80") && lines[1].contains("ENOENT"));
    });
}

/// ipvsadm does so without a word.
#[test]
fn an_edit_says_what_it_has_set_that_it_does_not_name() {
    inside(|_client| {
        assert_eq!(holdfast_ipvs("-A -t 10.0.0.1:80 -s rr", "").code, 0);
        for (line, told) in [
            ("-a -t 10.0.0.1:80 -r 10.1.0.5 -m -w 2 -x 9", ""),
            ("-e -t 10.0.0.1:80 -r 10.1.0.5 -m -w 3 -x 9", ""),
            (
                "-e -t 10.0.0.1:80 -r 10.1.0.5 -w 5",
                "holdfast: -e sets every setting; those that were not named got their defaults: forwarding nat → direct, upper threshold 9 → none\n",
            ),
            ("-A -t [::5]:80 -s rr -p 60 -M 64", ""),
            (
                "-E -t [::5]:80 -s wrr",
                "holdfast: -E sets every setting; those that were not named got their defaults: persistence 60 s → none\n",
            ),
            ("-E -t [::5]:80 -s wrr -p 60", ""),
            ("-E -t [::5]:80 -s wrr -p 60 -M 64", ""),
            (
                "-E -t [::5]:80 -s wrr -p 300",
                "holdfast: -E sets every setting; those that were not named got their defaults: persistence netmask /64 → /128\n",
            ),
            ("-E -t 10.0.0.1:80 -s rr -p 60 -M 255.255.255.0", ""),
            (
                "-E -t 10.0.0.1:80 -s rr -p 300",
                "holdfast: -E sets every setting; those that were not named got their defaults: persistence netmask /24 → /32\n",
            ),
            ("-e -t 10.0.0.1:80 -r 10.1.0.5 -w 5 -i --tun-type gue --tun-port 6080 --tun-csum", ""),
            (
                "-e -t 10.0.0.1:80 -r 10.1.0.5 -w 6 -i --tun-type gue --tun-port 6081",
                "holdfast: -e sets every setting; those that were not named got their defaults: tunnel checksum full → none\n",
            ),
            ("-e -t 10.0.0.1:80 -r 10.1.0.5 -w 6 -i --tun-type gre --tun-csum", ""),
            (
                "-e -t 10.0.0.1:80 -r 10.1.0.5 -w 5 -i",
                "holdfast: -e sets every setting; those that were not named got their defaults: tunnel gre → ipip, tunnel checksum full → none\n",
            ),
            ("-e -t 10.0.0.1:80 -r 10.1.0.5 -w 5 -i --tun-type gue --tun-port 6080", ""),
            (
                "-e -t 10.0.0.1:80 -r 10.1.0.5 -w 5",
                "holdfast: -e sets every setting; those that were not named got their defaults: forwarding tunnel → direct\n",
            ),
            ("-D -t [::5]:80", ""),
            ("-d -t 10.0.0.1:80 -r 10.1.0.5", ""),
        ] {
            let said = holdfast_ipvs(line, "");
            assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "", told), "{line}");
        }
    });
}

#[test]
fn what_to_do_about_a_refusal_is_said_for_who_has_typed_the_command() {
    inside(|_client| {
        assert_eq!(holdfast_ipvs("-A -t 10.0.0.1:80 -s rr", "").code, 0);
        for (line, advice) in [
            ("-A -t 10.0.0.1:80", "EEXIST; it is there already: -E changes it"),
            ("-E -t 10.0.0.9:80", "ESRCH; there is no such service: -L -n lists"),
            ("-D -t 10.0.0.9:80", "ESRCH; there is no such service: -L -n lists"),
            ("-a -t 10.0.0.9:80 -r 10.1.0.1 -m", "ESRCH; there is no such service: -A adds it"),
            ("-e -t 10.0.0.9:80 -r 10.1.0.1 -m", "ESRCH; there is no such service: -L -n lists"),
            ("-d -t 10.0.0.9:80 -r 10.1.0.1", "ESRCH; there is no such service: -L -n lists"),
            ("-e -t 10.0.0.1:80 -r 10.1.0.9 -m", "ENOENT; the service has no such server"),
            (
                "-A -t 10.0.0.9:80 -s nosuch",
                "no scheduler `nosuch`: `modprobe ip_vs_nosuch` says why",
            ),
            ("-A -t [::9]:80 -p 9 --pe x", "no persistence engine `x`: `modprobe ip_vs_wlc` and"),
        ] {
            let said = holdfast_ipvs(line, "");
            assert_eq!((said.code, said.err.lines().count()), (255, 2), "{line}: {}", said.err);
            assert!(said.err.contains(advice), "{line}: {}", said.err);
        }
    });
}

#[test]
fn of_a_file_with_bad_lines_nothing_is_done_unless_told_to() {
    inside(|client| {
        let long = format!("-A -t 10.0.0.9:80 -s {}", "x".repeat(10 << 20));
        let file = format!(
            "# a comment\n-A -t 10.0.0.1:80 -s rr\n-A -t nonsense\n{long}\n-A -t 10.0.0.2:80 --nosuch\n-A -t 10.0.0.1:80 -s lc\n\
             -A -t 10.0.0.3:80 \0\n\n-L -n\n-a -t 10.0.0.1:80 -r 10.1.0.1 -w 3\n-a -t 10.0.0.1:80 -r 10.1.0.1 -w 4\nfoo\n"
        );
        let said = holdfast_ipvs("-R", &file);
        assert_eq!(said.code, 1);
        for number in [3, 4, 5, 6, 7, 9, 11, 12] {
            let told = format!("holdfast: line {number}: ");
            assert_eq!(said.err.matches(&told).count(), 1, "{number}: {}", said.err);
        }
        assert!(said.err.contains("bad lines: 8; nothing was changed"), "{}", said.err);
        assert!(said.err.len() < 4096, "no line is quoted at length");
        assert!(client.table().unwrap().is_empty());

        assert_eq!(holdfast_ipvs("-R --continue", &file).code, 1);
        let saved = ipvsadm("-S -n").out;
        assert_eq!(saved, "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.1:80 -g -w 3\n");

        // What the kernel refuses has its line's number, and the rest is done.
        let said = holdfast_ipvs("-R", "\n-A -t 10.0.0.1:80\n-A -t 10.0.0.2:80\n");
        assert_eq!(said.code, 1);
        assert!(
            said.err.starts_with("holdfast: line 2:\nService already exists\n"),
            "{}",
            said.err
        );
        assert_eq!(client.table().unwrap().len(), 2);

        // Garbage of every kind.
        for garbage in
            ["\u{0}\u{1}\u{2}".repeat(1000), "-".repeat(100_000), "\u{fe}\n".repeat(5000)]
        {
            let said = holdfast_ipvs("-R", &garbage);
            assert_eq!(said.code, 1);
            assert!(said.err.contains("nothing was changed"), "{}", said.err);
        }
        assert_eq!(client.table().unwrap().len(), 2);

        // What is quoted of a file reaches no terminal as it is, and not at length.
        let file = format!("-A -f \u{1b}]0;owned\u{7}{}\n", "x".repeat(60_000));
        let said = holdfast_ipvs("-R", &file);
        assert_eq!(said.code, 1);
        assert!(
            said.err.contains("line 1: invalid fwmark value `\\u{1b}]0;owned\\u{7}xxx"),
            "{}",
            said.err
        );
        assert!(said.err.len() < 1000 && !said.err.contains('\u{1b}'));
    });
}

#[test]
fn of_a_file_that_contradicts_itself_nothing_is_restored() {
    inside(|client| {
        let file = "-A -t 10.0.0.1:80\n-a -t 10.0.0.9:80 -r 10.1.0.1 -m\n-A -t 10.0.0.1:80 -s rr\n--set 1 2 3\n--set 4 5 6\n\
                    --start-daemon master --mcast-interface d0\n--start-daemon master --mcast-interface lo\n-A -f nonsense\n";
        let said = holdfast_ipvs("restore", file);
        assert_eq!(said.code, 1);
        for (number, sentence) in [
            (2, "its service tcp 10.0.0.9:80 is not defined before this line"),
            (3, "service tcp 10.0.0.1:80 is there already, in line 1"),
            (5, "the timeouts are there already, in line 4"),
            (7, "a master sync daemon is there already, in line 6"),
            (8, "invalid fwmark value `nonsense' specified"),
        ] {
            let told = format!("holdfast: line {number}: {sentence}\n");
            assert!(said.err.contains(&told), "{told}: {}", said.err);
        }
        assert!(
            said.err
                .ends_with("bad lines: 5; nothing was changed; --continue leaves bad lines out\n")
        );
        assert!(client.table().unwrap().is_empty());
        // Many servers without a service are not all told.
        let orphans: String = (0..300).map(|at| format!("-a -f 7 -r 10.1.0.1:{at} -m\n")).collect();
        let said = holdfast_ipvs("restore", &orphans);
        assert_eq!((said.code, said.err.lines().count()), (1, 102), "{}", said.err);
        assert!(said.err.contains("and 200 more bad lines"));
    });
}

const RULES: [&str; 14] = [
    "-A -t 10.0.0.1:80 -s mh -p 60 -M 255.255.255.0 -b mh-fallback,mh-port",
    "-a -t 10.0.0.1:80 -r 10.1.0.1 -x 100 -y 50",
    "-a -t 10.0.0.1:80 -r 10.1.0.2 -w 0 -x 9",
    "-a -t 10.0.0.1:80 -r 10.1.0.3 -i --tun-type gue --tun-port 6080 --tun-remcsum",
    "-a -t 10.0.0.1:80 -r 10.1.0.4 -i --tun-type gre --tun-csum",
    "-A -t [2001:db8::1]:443 -s sh -b sh-port,flag-3 -p 5 -M 64",
    "-a -t [2001:db8::1]:443 -r [2001:db8:1::1]:8443 -m -w 70000",
    "-A -f 4294967295 -s wrr",
    "-a -f 4294967295 -r 10.1.0.1:0 -m",
    "-A -f 7 -6 -s rr -o",
    "-A -u 10.0.0.1:5060 -s wlc -p 30 --pe sip",
    "--set 100 50 25",
    "--start-daemon master --mcast-interface d0 --syncid 5 --mcast-group 224.0.0.99 --mcast-port 9000 --mcast-ttl 4",
    "--start-daemon backup --mcast-interface d0 --syncid 6 --sync-maxlen 1400",
];

#[test]
fn a_full_save_is_restored_by_the_fewest_changes() {
    inside(|client| {
        for line in RULES {
            let said = holdfast_ipvs(line, "");
            assert_eq!(said.code, 0, "{line}: {}", said.err);
        }
        let everything = |client: &mut Client| {
            (client.table().unwrap(), client.timeouts().unwrap(), client.daemons().unwrap())
        };
        let before = everything(client);
        let saved = holdfast_ipvs("save --full -n", "").out;

        // Nothing differs, so nothing is done.
        let said = holdfast_ipvs("restore --dry-run", &saved);
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "", ""), "{saved}");

        // What differs is told and then done, and nothing else.
        assert_eq!(holdfast_ipvs("-e -t 10.0.0.1:80 -r 10.1.0.1 -w 5 -x 100 -y 50", "").code, 0);
        assert_eq!(holdfast_ipvs("-D -f 7 -6", "").code, 0);
        assert_eq!(holdfast_ipvs("-A -t 10.0.0.77:80", "").code, 0);
        assert_eq!(holdfast_ipvs("--set 1 0 0", "").code, 0);
        assert_eq!(holdfast_ipvs("--stop-daemon backup", "").code, 0);
        let said = holdfast_ipvs("restore --dry-run", &saved);
        assert_eq!(
            said.out,
            "change destination 10.1.0.1:80 of tcp 10.0.0.1:80: weight 5 → 1\nadd service fwmark 7 ipv6\nremove service tcp 10.0.0.77:80\n\
             set timeouts 100 50 25\nstart backup sync daemon on d0\n"
        );
        assert_ne!(everything(client), before);
        let said = holdfast_ipvs("restore", &saved);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        assert_eq!(everything(client), before);

        // From nothing.
        let clear = |client: &mut Client| {
            client.flush().unwrap();
            assert_eq!(ipvsadm("--stop-daemon master").code, 0);
            assert_eq!(ipvsadm("--stop-daemon backup").code, 0);
            assert_eq!(ipvsadm("--set 900 120 300").code, 0);
        };
        clear(client);
        assert_eq!(holdfast_ipvs("restore -", &saved).code, 0);
        assert_eq!(everything(client), before);

        // By the real ipvsadm.
        clear(client);
        let said = run(IPVSADM, "ipvsadm", &[b"-R".to_vec()], saved.as_bytes());
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        assert_eq!(everything(client), before);

        let said = holdfast_ipvs("restore", "-a -t 10.0.0.1:80 -r 10.1.0.1\n-C\n");
        assert_eq!(said.code, 1);
        assert!(said.err.contains("line 2: a file that is restored"), "{}", said.err);
        assert_eq!(everything(client), before);
    });
}

/// The kernel makes 1,024 of a shorter length for a listener (`start_sync_thread`): that is what was asked for, and no reason to stop it.
#[test]
fn a_listener_whose_length_the_kernel_has_raised_is_as_the_file_says() {
    inside(|_client| {
        let file =
            "-A -t 10.0.0.1:80\n--start-daemon backup --mcast-interface d0 --sync-maxlen 500\n";
        let said = holdfast_ipvs("restore", file);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        let said = holdfast_ipvs("restore --dry-run", file);
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "", ""));
    });
}

#[test]
fn every_listing_is_json_too() {
    inside(|_client| {
        let empty: serde_json::Value =
            serde_json::from_str(&holdfast_ipvs("-L -o json", "").out).unwrap();
        assert_eq!(empty["services"], serde_json::json!([]));
        for line in RULES {
            assert_eq!(holdfast_ipvs(line, "").code, 0, "{line}");
        }
        let json = |line: &str| -> serde_json::Value {
            let said = holdfast_ipvs(line, "");
            assert_eq!(said.code, 0, "{line}: {}", said.err);
            serde_json::from_str(&said.out).unwrap()
        };
        let listed = json("-L -n -o json");
        // It is written piece by piece, as one value would be.
        assert_eq!(holdfast_ipvs("-L -n -o json", "").out, format!("{listed:#}\n"));
        let services = listed["services"].as_array().unwrap();
        assert_eq!(services.len(), 5);
        let of = |key: &str, value: serde_json::Value| {
            services.iter().find(|service| service[key] == value).unwrap().clone()
        };
        let web = of("scheduler", "mh".into());
        assert_eq!(web["flags"], serde_json::json!(["fallback", "port"]));
        assert_eq!(
            web["persistence"],
            serde_json::json!({ "timeout_s": 60, "netmask": "255.255.255.0", "engine": null })
        );
        assert_eq!(web["destinations"][0]["upper_threshold"], 100);
        assert_eq!(
            web["destinations"][2]["tunnel"],
            serde_json::json!({ "type": "gue", "port": 6080, "checksum": "remote" })
        );
        assert_eq!(of("fwmark", 4_294_967_295_u32.into())["destinations"][0]["forward"], "nat");
        assert_eq!(of("port", 443.into())["persistence"]["netmask"], 64);
        // All that a listing may be asked for is in it already.
        for more in
            ["", "-n --stats", "--rate --exact", "--thresholds", "--persistent-conn", "--tun-info"]
        {
            assert_eq!(json(&format!("-L {more} -o json")), listed, "{more}");
        }
        for service in ["-f 4294967295", "-f 7 -6", "-u 10.0.0.1:5060", "-t [2001:db8::1]:443"] {
            let one = json(&format!("-L {service} -n -o json"));
            assert_eq!(one["services"].as_array().map(Vec::len), Some(1), "{service}");
        }
        let one = json("-L -t 10.0.0.1:80 --output json");
        assert_eq!(one["services"].as_array().unwrap().len(), 1);
        assert_eq!(
            json("-o json -L --timeout"),
            serde_json::json!({ "tcp_s": 100, "tcp_fin_s": 50, "udp_s": 25 })
        );
        let daemons = json("-L --daemon -o json");
        assert_eq!(daemons["daemons"][0]["role"], "master");
        assert_eq!(daemons["daemons"][0]["group"], "224.0.0.99");
        assert_eq!(json("-L -c -o json"), serde_json::json!({ "connections": [] }));
    });
}

/// ipvsadm and other programs give the kernel what `restore` refuses. The rest is saved, what is missing is told, and the exit code says so.
#[test]
fn a_full_save_says_what_restore_would_refuse() {
    inside(|client| {
        for line in [
            "-A -t 10.0.0.1:80 -s rr --pe sip",
            "-A -t [2001:db8::1]:80 -s rr -p 50 -M 64",
            "-A -u 10.0.0.2:53 -s rr -p 50 -M 255.0.255.0",
            "-a -u 10.0.0.2:53 -r 10.1.0.1 -m",
        ] {
            assert_eq!(ipvsadm(line).code, 0, "{line}");
        }
        let service = ServiceKey::Address {
            protocol: Protocol::Tcp,
            address: "10.0.0.1:80".parse().unwrap(),
        };
        let direct = |to: &str| Operation::NewDestination {
            service,
            destination: Destination::new(to.parse().unwrap(), Forwarding::Direct, 1),
        };
        let local = Operation::NewDestination {
            service,
            destination: Destination::new("10.1.0.3:80".parse().unwrap(), Forwarding::Bypass, 1),
        };
        let made = client.apply(&[direct("10.1.0.1:8080"), direct("10.1.0.2:80"), local]).unwrap();
        assert!(made.is_clean(), "{made:?}");

        let saved = holdfast_ipvs("save --full", "");
        assert_eq!(saved.code, 1, "{}", saved.err);
        for sentence in [
            "service tcp 10.0.0.1:80: its persistence engine sip is left out",
            "service udp 10.0.0.2:53: its netmask is left out",
            "server 10.1.0.1:8080 of tcp 10.0.0.1:80: it is written with the service's port",
            "server 10.1.0.3:80 of tcp 10.0.0.1:80 is left out",
            "not everything can be saved: 4 differences",
        ] {
            assert!(saved.err.contains(sentence), "{sentence}: {}", saved.err);
        }
        client.flush().unwrap();
        let said = holdfast_ipvs("restore", &saved.out);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", saved.out);
        let again = holdfast_ipvs("save --full", "");
        assert_eq!((again.code, again.err.as_str()), (0, ""));
        assert_eq!(again.out, saved.out);
    });
}
