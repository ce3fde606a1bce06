//! What holds where the configuration is silent, and the limits of what it may say, each with its reason.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU8;
use std::time::Duration;

use holdfast_health::{Damping, Policy};

/// The runtime directory that the service manager makes for the daemon.
pub(crate) const CONTROL_SOCKET: &str = "/run/holdfast/control.sock";
/// `sun_path` of sockaddr_un has 108 bytes, one of them the closing NUL.
pub(crate) const SOCKET_PATH_MAX: usize = 107;
/// A user without rights that the package creates; keepalived looks for `keepalived_script` in the same way.
pub(crate) const SCRIPT_USER: &str = "holdfast-script";
/// Long enough for a name server's retry, short enough that a hanging command is no leak.
pub(crate) const SCRIPT_TIMEOUT: Duration = Duration::from_secs(5);
/// A look at the table costs the kernel a dump of it, and others change it rarely: what they changed is undone within five
/// seconds. Where that matters more than a few per cent of a processor, `250ms` is right.
pub(crate) const IPVS_POLL: Duration = Duration::from_secs(5);
/// As long as the longest wait of VRRP's for another router: the service manager waits no longer than 90 s for both.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// The port of the API between nodes: beside that which the examples serve metrics on.
pub(crate) const PAIR_PORT: u16 = 9651;
/// More nodes than VRRP is run with anywhere; each is asked every interval.
pub(crate) const PAIR_NODES_MAX: usize = 16;
/// A difference is an operator's slip, and seen by who looks: it need not be seen at once.
pub(crate) const PAIR_INTERVAL: Duration = Duration::from_secs(10);
/// A handshake costs about a millisecond of a processor on either side.
pub(crate) const PAIR_INTERVAL_RANGE: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(3600));
/// The kernel multiplies by its tick rate, at most 1000, in a signed number of 32 bits: 24 days.
pub(crate) const TIMEOUTS_RANGE: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(24 * 24 * 3600));
/// A server on the same network that needs a second to answer is in trouble, and half of the interval stays free.
pub(crate) const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// HAProxy's `inter`: two failures of three are then seen within six seconds; its `rise`: one lucky pass is not enough; its
/// `fall`: one lost packet takes no server away.
pub(crate) const CHECK: Policy = Policy::steady(Duration::from_secs(2), CHECK_TIMEOUT, 2, 3);
/// What a file or a BFD session says has been weighed already by who says it: one reading counts. Changes are seen at once, and the
/// interval is for what the kernel does not tell.
pub(crate) const SAID: Policy = Policy::steady(Duration::from_secs(2), CHECK_TIMEOUT, 1, 1);
/// keepalived's for `vrrp_script`; its timeout is that of scripts.
pub(crate) const SCRIPT: Policy = Policy::steady(Duration::from_secs(1), SCRIPT_TIMEOUT, 1, 1);
/// A lost packet or two are no outage; one answer proves a way.
pub(crate) const REACH: Policy = Policy::steady(Duration::from_secs(1), CHECK_TIMEOUT, 1, 3);
/// ipvsadm's and keepalived's choice where none is made: it suits connections of unlike length.
pub(crate) const SCHEDULER: &str = "wlc";
/// ipvsadm's default weight.
pub(crate) const WEIGHT: u32 = 1;
/// The kernel's own template time of ipvsadm's `-p` without a number.
pub(crate) const PERSISTENCE: Duration = Duration::from_secs(300);
/// AWS's deregistration delay.
pub(crate) const SERVER_DRAIN: Duration = Duration::from_secs(300);
/// The range of a drain's time: an hour fits an overnight download badly, a week is a slip.
pub(crate) const SERVER_DRAIN_RANGE: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(7 * 24 * 3600));
/// Longer than a resolver repeats a question, shorter than an operator looks on.
pub(crate) const SERVER_IDLE: Duration = Duration::from_secs(5);
/// The kernel adds up its counters every two seconds: less than three says nothing of a client's silence.
pub(crate) const SERVER_IDLE_RANGE: (Duration, Duration) =
    (Duration::from_secs(3), Duration::from_secs(3600));
/// The kernel is written to ten times in it, for each server that comes up; AWS's greatest is a quarter of an hour.
pub(crate) const SLOW_START_RANGE: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(3600));
/// Three falls in five minutes are no accident; two minutes are time to look at it.
pub(crate) const DAMPING: Damping =
    Damping { falls: 3, within: Duration::from_secs(300), hold: Duration::from_secs(120) };
/// Shorter than a second is a check's affair (`fall`), longer than a day an operator's.
pub(crate) const DAMPING_RANGE: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(24 * 3600));
/// How long the first runs of checks may be spread: none at all, or an hour.
pub(crate) const SPREAD: (Duration, Duration) = (Duration::ZERO, PERIOD.1);
/// What an HTTP check asks for.
pub(crate) const HTTP_PATH: &str = "/";
/// RFC 9110 §15.3: the 2xx class is success. A redirect is not the page that was asked for.
pub(crate) const HTTP_EXPECT: (u16, u16) = (200, 299);

/// Two weeks are enough to renew a certificate in office hours, and short enough that Let's Encrypt's are not always warned of.
pub(crate) const TLS_WARN_DAYS: u32 = 14;

/// The range of a duration that schedules work: shorter would be a busy loop, longer a slip.
pub(crate) const PERIOD: (Duration, Duration) =
    (Duration::from_millis(10), Duration::from_secs(3600));
/// ipvsadm's greatest timeout, 31 days; the kernel's counter in ticks overflows at 49.
pub(crate) const PERSISTENCE_RANGE: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(31 * 24 * 3600));

/// The kernel looks at lifetimes once a second: of a shorter one too little is left for a pause of the daemon. Beyond an hour it is no
/// protection any more.
pub(crate) const LIFETIME: (Duration, Duration) =
    (Duration::from_secs(4), Duration::from_secs(3600));

/// How long an address lives by itself after its daemon: until a Backup must have taken over, and an interval.
pub(crate) fn lifetime(interval: Duration, down_adverts: NonZeroU8) -> Duration {
    let intervals = u32::from(down_adverts.get()) + 1;
    whole_seconds((interval * intervals).clamp(LIFETIME.0, LIFETIME.1))
}

/// `duration` in whole seconds, rounded up.
pub(crate) fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs() + u64::from(duration.subsec_nanos() > 0))
}

/// More virtual routers than a kernel's multicast and ARP tables like.
pub(crate) const INSTANCES_MAX: usize = 1000;
/// Nodes of one pair or group; each costs a reading of its instances.
pub(crate) const NODES_MAX: usize = 64;
/// Services of one director.
pub(crate) const SERVICES_MAX: usize = 10_000;
/// Listening addresses of one service.
pub(crate) const LISTEN_MAX: usize = 256;
/// Ranges of packets that are marked for one service, and for all: the kernel walks none of them for a packet, but `nft` loads and
/// lists them all.
pub(crate) const MATCH_MAX: usize = 256;
/// The same for all services.
pub(crate) const MATCHES_MAX: usize = 4096;
/// Files that are written one after the other are one reading; a second is no time for who has added a machine.
pub(crate) const DEBOUNCE: Duration = Duration::from_secs(1);
/// The range of that.
pub(crate) const DEBOUNCE_RANGE: (Duration, Duration) =
    (Duration::from_millis(10), Duration::from_secs(60));
/// Who takes more than half of a pool away at once has more likely broken a file than a data centre.
pub(crate) const MAX_REMOVAL: u32 = 50;
/// Patterns of `include`.
pub(crate) const INCLUDES_MAX: usize = 16;
/// Real servers of one service, at most: the kernel walks them for every new connection.
pub const SERVERS_MAX: usize = 10_000;
/// Sorry servers of one service: they only say that there is nothing.
pub(crate) const SORRY_MAX: usize = 64;
/// Checks of one server.
pub(crate) const CHECKS_MAX: usize = 16;
/// A program and its arguments.
pub(crate) const COMMAND_MAX: usize = 256;
/// Statuses and ranges of one `expect`.
pub(crate) const EXPECT_MAX: usize = 32;
/// Paths of one HTTP check: each is a request, and all have to fit the timeout.
pub(crate) const HTTP_PATHS_MAX: usize = 16;
/// Headers of an HTTP check's request.
pub(crate) const HTTP_HEADERS_MAX: usize = 32;
/// Bytes that a check sends or looks for; more is no question but a load.
pub(crate) const PAYLOAD_MAX: usize = 4096;
/// Values that a DNS check wants to see.
pub(crate) const DNS_ANSWER_MAX: usize = 64;
/// A replica that is further behind is of no use to anybody.
pub(crate) const LAG_MAX: Duration = Duration::from_secs(24 * 3600);
/// HAProxy's: servers take it from anybody, and it says nothing of us.
pub(crate) const SMTP_HELLO: &str = "localhost";
/// The count field of an advertisement is one byte (RFC 9568 §5.2.5).
pub(crate) const IPV4_ADDRESSES_MAX: usize = 255;
/// (1500 - 40 of IPv6 - 8 of VRRP) / 16: adverts are not fragmented.
pub(crate) const IPV6_ADDRESSES_MAX: usize = 90;
/// Active_Down_Interval is three intervals and the skew (RFC 9568 §6.1).
pub(crate) const DOWN_ADVERTS: NonZeroU8 = const { NonZeroU8::new(3).unwrap() };
/// Where the service manager's `StateDirectory=holdfast` is.
pub(crate) const STATE: &str = "/var/lib/holdfast";
/// Addresses that move along and are in no advertisement: no packet limits them, the time to move them does.
pub(crate) const EXCLUDED_MAX: usize = 4096;
/// Unicast peers of an instance: each advertisement is sent to each.
pub(crate) const PEERS_MAX: usize = 64;
/// RFC 9568 §5.1.1.3: 255 proves that no router forwarded the packet.
pub(crate) const PEER_TTL: (u8, u8) = (255, 255);
/// IPVS's own group and port (IP_VS_SYNC_GROUP, IP_VS_SYNC_PORT).
pub(crate) const SYNC_GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));
pub(crate) const SYNC_PORT: u16 = 8848;
/// More than there are.
pub(crate) const SYSCTLS_MAX: usize = 64;
/// keepalived's limit.
pub(crate) const PREEMPT_DELAY_MAX: Duration = Duration::from_secs(1000);
/// As `preempt_delay`.
pub(crate) const WAIT_FOR_SYNC: (Duration, Duration) = (Duration::from_secs(1), PREEMPT_DELAY_MAX);
/// The range of a wait; zero = none.
pub(crate) const DELAY: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(3600));
/// More often would be a flood of ARP; a day is keepalived's limit.
pub(crate) const REFRESH: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(24 * 3600));
/// Things watched; each costs a process, a socket or a timer.
pub(crate) const TRACKERS_MAX: usize = 1000;
/// Trackers of one instance or group.
pub(crate) const TRACK_MAX: usize = 64;
/// Sync groups; each has two instances at least.
pub(crate) const GROUPS_MAX: usize = 500;
/// Interfaces with settings of their own.
pub(crate) const INTERFACES_MAX: usize = 1000;
/// Commands of one instance, group, or of all.
pub(crate) const HOOKS_MAX: usize = 16;
/// Whoever is told of events; each has a reader of the stream of events.
pub(crate) const NOTIFICATIONS_MAX: usize = 16;
/// Families and kinds of events that one is told of.
pub(crate) const EVENTS_MAX: usize = 64;
/// With pauses of 1 s, 2 s, … 60 s between them: about two minutes.
pub(crate) const WEBHOOK_ATTEMPTS: u32 = 8;
/// Longer ones are taken by few servers.
pub(crate) const URL_MAX: usize = 2048;
/// Routes of one instance.
pub(crate) const ROUTES_MAX: usize = 1024;
/// Policy rules of one instance: the kernel walks all of them for each packet.
pub(crate) const RULES_MAX: usize = 256;
/// RT_TABLE_MAIN (linux/rtnetlink.h).
pub(crate) const TABLE_MAIN: u32 = 254;
/// More than 253 either way changes nothing: effective priorities are 1 to 254.
pub(crate) const WEIGHT_LIMIT: i64 = 253;
/// RFC 5880 counts in microseconds; below a millisecond no scheduler keeps the time.
pub(crate) const BFD_INTERVAL: (Duration, Duration) =
    (Duration::from_millis(1), Duration::from_secs(60));
/// Three of it make a detection time of 150 ms.
pub(crate) const BFD_DEFAULT: Duration = Duration::from_millis(50);
/// RFC 5880's and most routers' default.
pub(crate) const BFD_MULTIPLIER: NonZeroU8 = DOWN_ADVERTS;
