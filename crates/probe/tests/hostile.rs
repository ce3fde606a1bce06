//! Every check that talks over a connection, against servers that mean it no good: each costs bounded time and memory and has a
//! verdict.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use holdfast_health::{Code, Outcome, Verdict};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use support::probe;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(250);

const CHECKS: [&str; 18] = [
    "{tcp: {expect: never}}",
    "{tcp: {expect: {regex: '(never|more){3,9}'}}}",
    "{tls: {}}",
    "{http: {}}",
    "{http: {body: never}}",
    "{https: {}}",
    "{dns: {name: example.org, transport: tcp}}",
    "{redis: {role: primary}}",
    "{redis: {tls: {}}}",
    "{memcached: {}}",
    "{mysql: {}}",
    "{mysql: {user: monitor, role: primary, max_lag: 10s}}",
    "{postgres: {}}",
    "{postgres: {user: monitor, role: replica}}",
    "{postgres: {tls: {}}}",
    "{smtp: {starttls: {}}}",
    "{grpc: {service: shop}}",
    "{agent: {port: 1}}",
];

/// A server that does `serve` with every connection.
async fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind on the loopback");
    let address = listener.local_addr().expect("a bound socket has an address");
    let _server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a listener of ours");
            let _conversation = tokio::spawn(serve(stream));
        }
    });
    address
}

/// Runs `check`, whichever port it names, against `address`.
async fn run(check: &str, address: SocketAddr, timeout: Duration) -> Outcome {
    let check = check.replace("port: 1", &format!("port: {}", address.port()));
    let started = Instant::now();
    let outcome = probe(&check, address).run(timeout).await;
    assert!(started.elapsed() < timeout + PATIENCE, "{check} ran past its deadline");
    outcome
}

/// The most memory that this process has had, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[tokio::test]
async fn silence_and_half_open_connections_end_at_the_deadline() {
    let address = server(|mut stream| async move {
        let _read = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    for check in CHECKS {
        // A busy machine may need longer than that for the connection.
        let outcome = run(check, address, 4 * SHORT).await;
        assert_eq!(outcome.verdict, Verdict::Fail, "{check}: {}", outcome.reason);
        assert!(
            matches!(outcome.reason.code, Code::L7TOUT | Code::L6TOUT),
            "{check}: {}",
            outcome.reason
        );
    }
}

#[tokio::test]
async fn a_byte_now_and_then_stretches_no_deadline() {
    for bytes in [&b"2"[..], b"\x16", b"\x00", b"R", b"+"] {
        let address = server(move |mut stream| async move {
            let mut pace = tokio::time::interval(SHORT / 10);
            while stream.write_all(bytes).await.is_ok() {
                pace.tick().await;
            }
        })
        .await;
        for check in CHECKS {
            let outcome = run(check, address, SHORT).await;
            assert_eq!(outcome.verdict, Verdict::Fail, "{check}: {}", outcome.reason);
        }
    }
}

#[tokio::test]
async fn a_close_and_a_reset_at_once_are_failures() {
    for reset in [false, true] {
        let address = server(move |stream| async move {
            if reset {
                stream.set_zero_linger().expect("a live socket");
            }
        })
        .await;
        for check in CHECKS {
            let outcome = run(check, address, PATIENCE).await;
            assert_eq!(outcome.verdict, Verdict::Fail, "{check}: {}", outcome.reason);
            let known = [Code::L7RSP, Code::L6RSP, Code::L4CON];
            assert!(known.contains(&outcome.reason.code), "{check}: {}", outcome.reason);
        }
    }
}

/// What goes on for ever: lines, one line, zeroes, packets and records whose lengths promise gigabytes.
#[tokio::test]
async fn what_never_ends_costs_bounded_memory() {
    let endless: [&[u8]; 12] = [
        b"220-and more\r\n",
        b"x",
        b"\0",
        b"\xff\xff\xff\0",
        b"\x16\x03\x03\x40\0",
        b"R\x7f\xff\xff\xff",
        b"S\0\0\0\x08aaaa",
        b"\x01\0\0\0\x01",
        b"*2147483647\r\n",
        b"$2147483647\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01",
    ];
    // What the process needs anyhow is there by then.
    for check in CHECKS {
        let address = server(|stream| async move { drop(stream) }).await;
        run(check, address, PATIENCE).await;
    }
    let before = peak();
    for bytes in endless {
        let chunk = bytes.repeat(65_536 / bytes.len());
        let address = server(move |mut stream| {
            let chunk = chunk.clone();
            async move { while stream.write_all(&chunk).await.is_ok() {} }
        })
        .await;
        for check in CHECKS {
            let outcome = run(check, address, 4 * SHORT).await;
            assert_eq!(outcome.verdict, Verdict::Fail, "{check}: {}", outcome.reason);
        }
    }
    let grown = peak() - before;
    assert!(grown < 16 << 20, "{grown} bytes more");
}

/// What HTTP/2 lets a server say without end: pings and settings to be acknowledged, a head in ever more frames, interim heads, data without
/// any.
#[tokio::test]
async fn frames_of_http_2_without_end_cost_bounded_memory() {
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    let continued = [&b"\0\x0f\xa0\x09\0\0\0\0\x01"[..], &b"\0\x01a\x01b".repeat(800)].concat();
    let floods: [(&[u8], &[u8]); 5] = [
        (b"", b"\0\0\x08\x06\0\0\0\0\0pingping"),
        (b"", SETTINGS),
        (b"\0\0\x01\x01\0\0\0\0\x01\x88", &continued),
        (b"", b"\0\0\x05\x01\x04\0\0\0\x01\x08\x03103"),
        (b"\0\0\x01\x01\x04\0\0\0\x01\x88", b"\0\0\0\0\0\0\0\0\x01"),
    ];
    let before = peak();
    for (head, frame) in floods {
        let head = [SETTINGS, head].concat();
        let frames = frame.repeat(65_536_usize.div_ceil(frame.len()));
        let address = server(move |mut stream| {
            let (head, frames) = (head.clone(), frames.clone());
            async move {
                let mut sending = stream.write_all(&head).await;
                while sending.is_ok() {
                    sending = stream.write_all(&frames).await;
                }
            }
        })
        .await;
        let outcome = run("{grpc: {service: shop}}", address, 4 * SHORT).await;
        assert_eq!(outcome.verdict, Verdict::Fail, "{frame:?}: {}", outcome.reason);
        let codes = [Code::L7RSP, Code::L7TOUT, Code::L7STS];
        assert!(codes.contains(&outcome.reason.code), "{frame:?}: {}", outcome.reason);
    }
    let grown = peak() - before;
    assert!(grown < 16 << 20, "{grown} bytes more");
}

/// The first words of servers of other protocols.
#[tokio::test]
async fn other_protocols_are_told() {
    for (greeting, known) in [
        (&b"SSH-2.0-OpenSSH_9.2p1\r\n"[..], ""),
        (b"+OK POP3 ready\r\n", "redis"),
        (b"* OK IMAP4rev1\r\n", "redis"),
        (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "http"),
        (b"-ERR unknown command\r\n", "redis"),
        (b"\x15\x03\x01\x00\x02\x02\x0a", ""),
    ] {
        let address = server(move |mut stream| async move {
            let _sent = stream.write_all(greeting).await;
            let _shut = stream.shutdown().await;
            let _closed = stream.read_to_end(&mut Vec::new()).await;
        })
        .await;
        for check in CHECKS {
            let outcome = run(check, address, PATIENCE).await;
            assert_eq!(outcome.verdict, Verdict::Fail, "{check}: {}", outcome.reason);
            let codes = [Code::L7RSP, Code::L6RSP, Code::L7STS];
            assert!(codes.contains(&outcome.reason.code), "{check} {known}: {}", outcome.reason);
        }
    }
}

/// Whatever a server answers, and in whichever pieces, there is a verdict and no panic.
#[test]
fn any_bytes_have_a_verdict() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 40, ..Config::default() });
    let starts: Vec<&[u8]> = vec![
        b"",
        b"\x4a\0\0\0\x0a8.0.36\0\x01\0\0\0abcdefgh\0\xff\xf7\x2d\x02\0\xff\x81\x15\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0mysql_native_password\0\x07\0\0\x02\0\0\0\x02\0\0\0",
        b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I",
        b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0",
        b"+PONG\r\n*3\r\n$6\r\n",
        b"220 x\r\n250-STARTTLS\r\n250 y\r\n220 go\r\n",
        b"\0\0\0\x04\0\0\0\0\0",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x16\x03\x03\0\x7a\x02\0\0\x76\x03\x03",
    ];
    let start = proptest::sample::select(starts);
    let rest = proptest::collection::vec(any::<u8>(), 0..200);
    let done = runner.run(&(start, rest, 1usize..64), |(start, rest, piece)| {
        let answer = [start, &rest].concat();
        runtime.block_on(async {
            let address = server(move |mut stream| {
                let answer = answer.clone();
                async move {
                    for piece in answer.chunks(piece) {
                        let _sent = stream.write_all(piece).await;
                    }
                    let _shut = stream.shutdown().await;
                    let _closed = stream.read_to_end(&mut Vec::new()).await;
                }
            })
            .await;
            for check in CHECKS {
                let outcome = run(check, address, PATIENCE).await;
                let late = [Code::L7TOUT, Code::L6TOUT].contains(&outcome.reason.code);
                assert!(!late, "{check}: {}", outcome.reason);
                assert_ne!(outcome.reason.code, Code::SOCKERR, "{check}: {}", outcome.reason);
            }
        });
        Ok(())
    });
    done.unwrap();
}

/// A server of UDP that answers every datagram with what `answer` makes of it.
fn udp(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("[::1]:0").expect("bind on the loopback");
    let address = socket.local_addr().expect("a bound socket has an address");
    let _server = std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            for datagram in answer(buffer.get(..length).unwrap_or_default()) {
                let _sent = socket.send_to(&datagram, from);
            }
        }
    });
    address
}

#[tokio::test]
async fn answers_of_the_dns_that_are_not_ours_are_read_past_and_loops_end() {
    const CHECK: &str = "{dns: {name: a.example, type: CNAME}}";
    let reply = |query: &[u8], records: &[u8]| {
        let mut reply = query[..query.len() - 11].to_vec();
        reply[2..4].copy_from_slice(&[0x81, 0x80]);
        reply[6..12].copy_from_slice(&[0, u8::from(!records.is_empty()), 0, 0, 0, 0]);
        reply.extend_from_slice(records);
        reply
    };
    // Forgeries first: another identifier, another question, a query.
    let address = udp(move |query| {
        let good = reply(query, &[]);
        let mut other = good.clone();
        other[0] ^= 1;
        let mut question = good.clone();
        question[13] ^= 1;
        vec![other, question, query.to_vec(), vec![], good]
    });
    let outcome = probe(CHECK, address).run(PATIENCE).await;
    assert_eq!(outcome.reason.code, Code::L7OK, "{}", outcome.reason);
    // A name that points at itself, and one that grows for ever.
    for data in [&b"\xc0\x26"[..], b"\x01a\xc0\x25"] {
        let address = udp(move |query| {
            let length = u8::try_from(data.len()).unwrap();
            let at = u8::try_from(query.len() - 11 + 12).unwrap();
            let mut data = data.to_vec();
            *data.last_mut().unwrap() = at;
            vec![reply(
                query,
                &[b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0", &[length][..], &data].concat(),
            )]
        });
        let outcome = probe(CHECK, address).run(PATIENCE).await;
        assert_eq!(
            (outcome.verdict, outcome.reason.code),
            (Verdict::Fail, Code::L7RSP),
            "{}",
            outcome.reason
        );
        assert!(outcome.reason.sentence.contains("a name that can't be"), "{}", outcome.reason);
    }
    // Forgeries for ever.
    let address = udp(|query| {
        let mut other = query.to_vec();
        other[0] ^= 1;
        vec![other; 50]
    });
    let outcome = probe(CHECK, address).run(SHORT).await;
    assert_eq!(
        (outcome.verdict, outcome.reason.code),
        (Verdict::Fail, Code::L7TOUT),
        "{}",
        outcome.reason
    );
}

#[tokio::test]
async fn udp_tells_replies_silence_and_refusals_apart() {
    let echo = udp(|datagram| vec![datagram.to_vec()]);
    let silent = udp(|_| vec![]);
    for (check, address, code) in [
        ("{udp: {send: ping, expect: ping}}", echo, Code::L7OK),
        ("{udp: {send: {hex: '00 ff'}, expect: {regex: '(?-u)\\xff$'}}}", echo, Code::L7OK),
        ("{udp: {send: ping, expect: pong}}", echo, Code::L7STS),
        ("{udp: {}}", echo, Code::L7OK),
        ("{udp: {send: ping, reply: true}}", silent, Code::L7TOUT),
        ("{udp: {send: ping, expect: ping}}", silent, Code::L7TOUT),
        ("{udp: {send: ping}}", silent, Code::L4OK),
    ] {
        let timeout = if address == silent { SHORT } else { PATIENCE };
        let outcome = probe(check, address).run(timeout).await;
        assert_eq!(outcome.reason.code, code, "{check}: {}", outcome.reason);
    }
    for host in ["127.0.0.1:0", "[::1]:0"] {
        // Bound and gone: nobody listens there.
        let address = UdpSocket::bind(host).unwrap().local_addr().unwrap();
        for check in ["{udp: {send: ping}}", "{dns: {name: a.example}}"] {
            let outcome = probe(check, address).run(PATIENCE).await;
            assert_eq!(
                (outcome.verdict, outcome.reason.code),
                (Verdict::Fail, Code::L4CON),
                "{}",
                outcome.reason
            );
            assert!(outcome.reason.sentence.contains("ECONNREFUSED"), "{}", outcome.reason);
        }
    }
}

#[tokio::test]
async fn a_ping_is_answered_by_the_loopback_and_not_by_nobody() {
    for host in ["127.0.0.1:1", "[::1]:1"] {
        let address: SocketAddr = host.parse().unwrap();
        let outcome = probe("{icmp: {}}", address).run(PATIENCE).await;
        assert_eq!(outcome.reason.code, Code::L4OK, "{}", outcome.reason);
        assert_eq!(outcome.reason.sentence, format!("ping {}: it answers", address.ip()));
        let way = format!("{{icmp: {{source: '{}', device: lo, mark: 7}}}}", address.ip());
        let outcome = probe(&way, address).run(PATIENCE).await;
        assert_eq!(outcome.reason.code, Code::L4OK, "{}", outcome.reason);
        let outcome = probe("{icmp: {device: hf-none}}", address).run(PATIENCE).await;
        assert_eq!(
            (outcome.verdict, outcome.reason.code),
            (Verdict::Inconclusive, Code::SOCKERR),
            "{}",
            outcome.reason
        );
    }
    // 240.0.0.0/4 is nobody's; by the loopback there is no way to it.
    let outcome = probe("{icmp: {device: lo}}", "240.0.0.1:1".parse().unwrap()).run(SHORT).await;
    assert_eq!(outcome.verdict, Verdict::Fail, "{}", outcome.reason);
}

#[tokio::test]
async fn an_agent_is_taken_at_its_word() {
    for (said, code) in [
        (&b"up\n"[..], Code::L7OK),
        (b"75%\r\n", Code::L7OK),
        (b"ready", Code::L7OK),
        (b"drain#upgrade\n", Code::L7OK),
        (b"0%\n", Code::L7OK),
        (b"down#disk\n", Code::L7STS),
        (b"\n", Code::L7RSP),
    ] {
        let address = server(move |mut stream| async move {
            let mut asked = [0; 5];
            if stream.read_exact(&mut asked).await.is_ok() && &asked == b"web1\n" {
                let _sent = stream.write_all(said).await;
            }
        })
        .await;
        let check = format!("{{agent: {{port: {}, send: \"web1\\n\"}}}}", address.port());
        let outcome = probe(&check, "127.0.0.1:80".parse().unwrap()).run(PATIENCE).await;
        assert_eq!(outcome.reason.code, code, "{}", outcome.reason);
    }
}
