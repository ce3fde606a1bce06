//! `-h` and `-v`.

use super::Manner;
use super::stream::{Streams, lossy};

/// The version whose command line this is.
const IPVSADM: &str = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)";

/// The commands and their options, in our own words.
const COMMANDS: &str = "\
Commands (one, and first):
  -A, --add-service SERVICE       adds a virtual service
  -E, --edit-service SERVICE      changes every setting of a service
  -D, --delete-service SERVICE    removes a service and its servers
  -C, --clear                     removes every service
  -a, --add-server SERVICE -r R   adds a real server
  -e, --edit-server SERVICE -r R  changes every setting of a real server
  -d, --delete-server SERVICE -r R  removes a real server
  -L, -l, --list [SERVICE]        lists the table
  -Z, --zero [SERVICE]            sets counters to 0
  -S, --save                      writes the table as rules
  -R, --restore                   carries out rules from standard input
      --set TCP TCPFIN UDP        sets timeouts in seconds; 0 leaves one as it is
      --start-daemon master|backup, --stop-daemon master|backup
  -h, --help, -v, --version

SERVICE:
  -t, --tcp-service HOST[:PORT]   -u, --udp-service HOST[:PORT]   --sctp-service HOST[:PORT]
  -f, --fwmark-service MARK [-6, --ipv6]

With -A and -E:
  -s, --scheduler NAME            rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh [default: wlc]
  -p, --persistent [SECONDS]      clients stay with their server [default: 360]
  -M, --netmask MASK              who counts as one client: a mask of IPv4, a prefix length of IPv6
      --pe NAME                   the persistence engine
  -b, --sched-flags FLAG,...      sh-fallback sh-port mh-fallback mh-port flag-1 flag-2 flag-3
  -o, --ops                       every UDP packet is scheduled anew

With -a and -e:
  -r, --real-server HOST[:PORT]
  -g, --gatewaying (default)      -i, --ipip      -m, --masquerading
  -w, --weight N                  0 to 2147483647 [default: 1]
  -x, --u-threshold N             -y, --l-threshold N
      --tun-type ipip|gue|gre     --tun-port PORT
      --tun-nocsum                --tun-csum      --tun-remcsum

With -L:
  -n, --numeric                   -c, --connection
      --stats  --rate  --thresholds  --persistent-conn  --tun-info
      --timeout  --daemon  --nosort  --sort  -X, --exact

With --start-daemon:
  --mcast-interface NAME [default: eth0]  --syncid 0..255  --sync-maxlen BYTES
  --mcast-group ADDRESS  --mcast-port PORT  --mcast-ttl TTL
";

/// What `holdfast ipvs` has beyond ipvsadm.
const BEYOND: &str = "
Beyond ipvsadm:
  -o, --output json               with -L: for programs
  -R --continue                   skips bad lines; without it they are listed and nothing is done
  save [--full] [-n]              --full also writes thresholds, timeouts and sync daemons, in numbers
  restore [--dry-run] [--continue] [FILE]
                                  makes the table what the file says, by the fewest changes
";

/// The help of `holdfast ipvs`, without a version.
pub(super) fn text() -> String {
    format!("{}{BEYOND}", ipvsadms("holdfast ipvs"))
}

/// The help under either name, so far.
fn ipvsadms(program: &str) -> String {
    format!("Usage: {program} COMMAND [OPTIONS]\n\n{COMMANDS}")
}

/// Prints the help, or the version.
pub(super) fn print(manner: &Manner, help: bool, streams: &mut Streams) -> Result<(), u8> {
    let program = lossy(manner.program());
    let version = match manner {
        Manner::Ipvsadm(_) => IPVSADM.to_owned(),
        Manner::Holdfast(_) => {
            format!("holdfast {} (the command line of {IPVSADM})", env!("CARGO_PKG_VERSION"))
        }
    };
    let mut text = format!("{version}\n");
    if help {
        text.push_str(&ipvsadms(&program));
        if !manner.is_ipvsadm() {
            text.push_str(BEYOND);
        }
    }
    streams.out().extend_from_slice(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::args::Arguments;

    #[test]
    fn help_ipvs_is_the_help_of_its_command_line() {
        let error = Arguments::try_parse_from(["holdfast", "help", "ipvs"]).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("Usage: holdfast ipvs COMMAND"), "{text}");
        assert!(text.contains("-A, --add-service") && text.contains("save [--full]"), "{text}");
    }
}
