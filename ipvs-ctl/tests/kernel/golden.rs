//! The bytes of `tests/wire/golden.rs`: the kernel takes them, and both we and `ipvsadm` read them back.
#![cfg(target_endian = "little")]

use ipvs_ctl::model::{Forwarding, Tunnel, TunnelChecksum};
use ipvs_ctl::wire::Command;

use crate::namespace::{client, run};
use crate::objects::tcp;
use crate::raw::tell_bytes;

const TCP4: &str = "5400018006000100020000000600020006000000140003000a000001000000000000000000000000060004000050000007000600727200000c00070000000000ffffffff080008000000000008000900ffffffff";
const TCP4_KEY: &str = "3000018006000100020000000600020006000000140003000a0000010000000000000000000000000600040000500000";
const TCP6_MH: &str = "54000180060001000a00000006000200060000001400030020010db80000000000000000000000800600040001bb0000070006006d6800000c00070018000000ffffffff08000800000000000800090080000000";
const FWMARK_PERSISTENT: &str = "380001800600010002000000080005000700000008000600777272000c00070001000000ffffffff080008002c01000008000900ffffffff";
const DIRECT: &str = "48000280140001000a00000a000000000000000000000000060002000050000006000b00020000000800030003000000080004000100000008000500000000000800060000000000";
const GUE: &str = "60000280140001000a00000c000000000000000000000000060002000050000006000b0002000000080003000200000008000400010000000800050000000000080006000000000005000d000100000006000e0017c0000006000f0001000000";
const DAEMON: &str = "3c000380080001000100000007000200643000000800030005000000060004007805000008000500e000006306000700282300000500080004000000";

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn the_kernel_takes_the_golden_services_and_destinations() {
    let mut client = client();
    for service in [TCP4, TCP6_MH, FWMARK_PERSISTENT] {
        assert_eq!(tell_bytes(Command::NewService, &bytes(service)), Ok(()));
    }
    for destination in [DIRECT, GUE] {
        let request = [bytes(TCP4_KEY), bytes(destination)].concat();
        assert_eq!(tell_bytes(Command::NewDestination, &request), Ok(()));
    }
    let table = client.table().unwrap();
    assert_eq!(table.len(), 3);
    let gue = Tunnel::Gue { port: 6080, checksum: TunnelChecksum::Full };
    let methods: Vec<Forwarding> = table
        .get(&tcp("10.0.0.1:80"))
        .unwrap()
        .destinations
        .values()
        .map(|destination| destination.forwarding)
        .collect();
    assert_eq!(methods, [Forwarding::Direct, Forwarding::Tunnel(gue)]);
    let mut saved: Vec<String> = run("ipvsadm -S -n").lines().map(str::to_owned).collect();
    saved.sort();
    assert_eq!(
        saved,
        [
            "-A -f 7 -s wrr -p 300",
            "-A -t 10.0.0.1:80 -s rr",
            "-A -t [2001:db8::80]:443 -s mh -b mh-fallback,mh-port",
            "-a -t 10.0.0.1:80 -r 10.0.0.10:80 -g -w 1",
            "-a -t 10.0.0.1:80 -r 10.0.0.12:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum",
        ]
    );
}

#[test]
fn the_kernel_takes_the_golden_daemon() {
    let mut client = client();
    run("ip link add d0 type dummy");
    run("ip addr add 10.9.0.1/24 dev d0");
    run("ip link set d0 up");
    run("ip route add 224.0.0.0/4 dev d0");
    assert_eq!(tell_bytes(Command::NewDaemon, &bytes(DAEMON)), Ok(()));
    let [daemon] = client.daemons().unwrap().try_into().unwrap();
    assert_eq!((daemon.port, daemon.ttl, daemon.sync_id), (Some(9000), Some(4), 5));
    assert_eq!(
        run("ipvsadm -L -n --daemon").trim_end(),
        "master sync daemon (mcast=d0, syncid=5, maxlen=1400, group=224.0.0.99, port=9000, ttl=4)"
    );
}
