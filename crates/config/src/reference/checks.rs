//! The keys of checks: those of every check, and each kind's.

use super::{Key, section};

/// All of them, a parent before its children.
pub(super) const SECTIONS: &[&[Key]] = &[
    KEYS,
    TCP,
    WAY_TCP,
    TLS,
    TLS_OPTIONS,
    WAY_TLS,
    HTTP,
    WAY_HTTP,
    HTTPS,
    HTTPS_AT,
    HTTPS_TLS,
    WAY_HTTPS,
    ICMP,
    WAY_ICMP,
    UDP,
    WAY_UDP,
    DNS,
    WAY_DNS,
    REDIS,
    REDIS_TLS,
    WAY_REDIS,
    MEMCACHED,
    WAY_MEMCACHED,
    MYSQL,
    WAY_MYSQL,
    POSTGRES,
    POSTGRES_TLS,
    WAY_POSTGRES,
    SMTP,
    SMTP_TLS,
    WAY_SMTP,
    GRPC,
    GRPC_TLS,
    WAY_GRPC,
    AGENT,
    WAY_AGENT,
    EXEC,
    FILE,
    BFD,
];

section! {
    "services.NAME.check" "mapping", default "none: servers are always up", range "one of the kinds below",
        "The check of every server that has none of its own: what is tried, and beside it when. `check` stands at a service, at a \
         real server, and in the list `checks`.",
        source "keepalived: `TCP_CHECK`, `HTTP_GET`, `MISC_CHECK`";
    "services.NAME.check.interval" "duration", default "`2s`", range "10ms to 1h", "From the start of one run to the start of the next.",
        source "keepalived: `delay_loop`; HAProxy: `inter`";
    "services.NAME.check.fast_interval" "duration", default "the interval", range "10ms up to the interval",
        "The same while outcomes speak against the server's state and are too few to change it yet.", source "HAProxy: `fastinter`";
    "services.NAME.check.down_interval" "duration", default "the interval", range "10ms to 1h",
        "The same while the server is down and nothing speaks against that.", source "HAProxy: `downinter`";
    "services.NAME.check.spread" "duration", default "the interval, at most `5s`", range "0s to 1h",
        "The first runs of a service's checks are spread over so long after the start, each server at its own place.", source "keepalived: `warmup`; HAProxy: `spread-checks`";
    "services.NAME.check.timeout" "duration", default "`1s` (exec: `daemon.scripts.timeout`), at most half of the interval", range "1ms up to the interval",
        "A run that takes longer has failed.", source "keepalived: `connect_timeout`; HAProxy: `timeout check`";
    "services.NAME.check.rise" "integer", default "2", range "1 to 255", "So many passes in a row bring a server up.", source "HAProxy: `rise`";
    "services.NAME.check.fall" "integer", default "3", range "1 to 255", "So many failures in a row take a server down.", source "HAProxy: `fall`; keepalived: `retry` + 1";
}

/// The keys of one kind; `tail` follows its name.
macro_rules! check {
    ($kind:literal: $($tail:literal $form:literal, default $default:literal, range $range:literal, $text:literal, source $source:literal;)+) => {
        &[$(Key {
            path: concat!("services.NAME.check.", $kind, $tail),
            kind: $form, default: $default, range: $range, text: $text, source: $source,
        }),+]
    };
}

/// The way of a check over the network.
macro_rules! way {
    ($kind:literal) => {
        check! { $kind:
            ".port" "integer", default "the server's port", range "1 to 65535", "Another port than the server's.",
                source "keepalived: `connect_port`; HAProxy: `port`";
            ".address" "address", default "the server's address", range "a unicast address", "Another address than the server's.",
                source "keepalived: `connect_ip`; HAProxy: `addr`";
            ".source" "address", default "the kernel's choice", range "an address of this host, of the target's family",
                "The address that the check comes from.", source "bind(2); keepalived: `bindto`";
            ".device" "text", default "the kernel's choice", range "1 to 15 characters", "The interface that the check leaves and is answered by.",
                source "SO_BINDTODEVICE; keepalived: `bind_if`";
            ".mark" "integer", default "none", range "1 to 4294967295", "The mark of the check's packets, which policy routing and nftables see.",
                source "SO_MARK; keepalived: `fwmark`";
        }
    };
}

/// The keys of TLS below the key `at`.
macro_rules! tls {
    ($kind:literal, $at:literal) => {
        &[
            key(concat!("services.NAME.check.", $kind, $at, ".verify"), ("boolean", "`true`", ""),
                "Whether the server's certificate must be valid: in its time, for the name, by a trusted authority.",
                "RFC 5280; HAProxy: `verify`"),
            key(concat!("services.NAME.check.", $kind, $at, ".ca"), ("path", "the system's authorities", "an absolute path"),
                "A PEM file with the authorities that are trusted instead of the system's.", "HAProxy: `ca-file`"),
            key(concat!("services.NAME.check.", $kind, $at, ".certificate"), ("path", "none", "an absolute path"),
                "A PEM file with our own certificate and those above it, for servers that ask for one. With `key`.", "HAProxy: `crt`"),
            key(concat!("services.NAME.check.", $kind, $at, ".key"), ("path", "none", "an absolute path"),
                "A PEM file with the certificate's private key, which only root should be able to read.", "HAProxy: `crt`"),
            key(concat!("services.NAME.check.", $kind, $at, ".name"), ("text", "`host` of an HTTP check where that is a name, otherwise the address", "a host name or an address"),
                "The name that the server is asked for (SNI) and that its certificate must have.", "RFC 6066 §3; keepalived: `sni_name`"),
            key(concat!("services.NAME.check.", $kind, $at, ".warn_days"), ("integer", "14", "0 to 3650"),
                "From so many days before the certificate's end on, the passing check's sentence and `holdfast status` say so. 0: never.", "RFC 5280 §4.1.2.5"),
        ]
    };
}

const fn key(
    path: &'static str,
    (kind, default, range): (&'static str, &'static str, &'static str),
    text: &'static str,
    source: &'static str,
) -> Key {
    Key { path, kind, default, range, text, source }
}

const WAY_TCP: &[Key] = way!("tcp");
const WAY_TLS: &[Key] = way!("tls");
const WAY_HTTP: &[Key] = way!("http");
const WAY_HTTPS: &[Key] = way!("https");

const TCP: &[Key] = check! { "tcp":
    "" "mapping", default "", range "", "Connects and closes; with `send` or `expect` it talks before.", source "keepalived: `TCP_CHECK`; HAProxy: `tcp-check`";
    ".send" "text or mapping", default "nothing", range "at most 4096 bytes", "What is sent when the connection stands. In double quotes YAML knows `\\r\\n`.",
        source "HAProxy: `tcp-check send`";
    ".send.hex" "text", default "required in the mapping", range "pairs of hexadecimal digits", "The bytes in hexadecimal digits.", source "HAProxy: `tcp-check send-binary`";
    ".expect" "text or mapping", default "nothing is read", range "at most 4096 bytes", "Text that has to come among the first 64 KiB.", source "HAProxy: `tcp-check expect`";
    ".expect.regex" "text", default "", range "", "A regular expression that has to match what comes.", source "the crate `regex`; HAProxy: `rstring`";
    ".expect.hex" "text", default "", range "pairs of hexadecimal digits", "Bytes that have to come.", source "HAProxy: `binary`";
};

const TLS: &[Key] = check! { "tls":
    "" "mapping", default "", range "", "Connects and makes a TLS handshake (1.2 or 1.3).", source "RFC 8446; HAProxy: `check-ssl`";
};

/// The keys that `http` and `https` share.
macro_rules! http {
    ($kind:literal, $text:literal, $source:literal) => {
        check! { $kind:
            "" "mapping", default "", range "", $text, source $source;
            ".path" "text or list", default "`/`", range "1 to 16, each begins with `/` and has at most 2048 visible ASCII characters",
                "The path and query that are asked for. Several are asked for one after the other, each over a connection of its own; all must pass.",
                source "RFC 9112 §3.2.1; keepalived: `url path`";
            ".method" "word", default "`GET`", range "`GET`, `HEAD`, `OPTIONS`", "The request's method.", source "RFC 9110 §9; HAProxy: `http-check send meth`";
            ".host" "text", default "the server's address and port", range "1 to 255 visible ASCII characters",
                "The Host header: the virtual host.", source "RFC 9110 §7.2; keepalived: `virtualhost`";
            ".headers" "mapping", default "none", range "at most 32, values of at most 1024 visible ASCII characters and spaces",
                "Further headers of the request, by name.", source "RFC 9110 §6.3; HAProxy: `http-check send hdr`";
            ".headers.NAME" "text", default "", range "", "One header. It may replace `user-agent` and `accept`.", source "";
            ".expect" "status, range or list", default "`200-299`", range "100 to 599",
                "The statuses that pass: `200`, `\"200-299\"`, or a list of these.", source "RFC 9110 §15; keepalived: `status_code`";
            ".body" "text or mapping", default "the body is not read", range "at most 4096 bytes", "Text that the body has to contain. At most 256 KiB of body are read.",
                source "HAProxy: `http-check expect string`";
            ".body.regex" "text", default "", range "", "A regular expression that has to match in the body.", source "the crate `regex`; keepalived: `regex`";
            ".body.sha256" "text", default "", range "64 hexadecimal digits", "The hash of the whole body.", source "FIPS 180-4; keepalived: `digest` (MD5)";
        }
    };
}

const HTTP: &[Key] =
    http!("http", "Makes HTTP/1.1 requests, without TLS.", "keepalived: `HTTP_GET`");
const HTTPS: &[Key] = http!(
    "https",
    "Makes HTTP requests over TLS, HTTP/2 where the server offers it.",
    "keepalived: `SSL_GET`"
);
const HTTPS_AT: &[Key] = check! { "https":
    ".tls" "mapping", default "all defaults", range "", "How TLS is spoken, and what the server's certificate must be.", source "RFC 8446";
};
const HTTPS_TLS: &[Key] = tls!("https", ".tls");
const TLS_OPTIONS: &[Key] = tls!("tls", "");

const WAY_ICMP: &[Key] = way!("icmp");
const WAY_UDP: &[Key] = way!("udp");
const WAY_DNS: &[Key] = way!("dns");
const WAY_REDIS: &[Key] = way!("redis");
const WAY_MEMCACHED: &[Key] = way!("memcached");
const WAY_MYSQL: &[Key] = way!("mysql");
const WAY_POSTGRES: &[Key] = way!("postgres");
const WAY_SMTP: &[Key] = way!("smtp");
const WAY_GRPC: &[Key] = way!("grpc");
const WAY_AGENT: &[Key] = way!("agent");

const ICMP: &[Key] = check! { "icmp":
    "" "mapping", default "", range "", "Sends an echo request (ping) and waits for its reply. `port` means nothing to it.", source "RFC 792, RFC 4443; keepalived: `PING_CHECK`";
};

const UDP: &[Key] = check! { "udp":
    "" "mapping", default "", range "", "Sends a datagram; a reply, or a refusal by ICMP, decides.", source "keepalived: `UDP_CHECK`";
    ".send" "text or mapping", default "an empty datagram", range "at most 4096 bytes", "What is sent.", source "keepalived: `payload`";
    ".send.hex" "text", default "required in the mapping", range "pairs of hexadecimal digits", "The bytes in hexadecimal digits.", source "";
    ".expect" "text or mapping", default "any reply passes", range "at most 4096 bytes", "Text that has to be in the first reply.", source "keepalived: `require_reply`";
    ".expect.regex" "text", default "", range "", "A regular expression that has to match the reply.", source "the crate `regex`";
    ".expect.hex" "text", default "", range "pairs of hexadecimal digits", "Bytes that have to be in the reply.", source "";
    ".reply" "boolean", default "`true` with `expect`, otherwise `false`", range "", "Whether silence until the timeout fails. Without it only a refusal does.", source "keepalived: `require_reply`";
};

const DNS: &[Key] = check! { "dns":
    "" "mapping", default "", range "", "Asks a question of the DNS.", source "RFC 1035; keepalived: `DNS_CHECK`";
    ".name" "text", default "the root", range "a name of at most 253 characters", "What is asked for.", source "keepalived: `name`";
    ".type" "word", default "`SOA`", range "A AAAA CAA CNAME DNSKEY DS HTTPS MX NAPTR NS PTR RRSIG SOA SRV SVCB TLSA TXT", "The type of record that is asked for.", source "keepalived: `type`";
    ".transport" "word", default "`udp`", range "`udp`, `tcp`", "How it is asked.", source "RFC 7766";
    ".rcode" "word or list", default "`noerror`", range "`noerror`, `formerr`, `servfail`, `nxdomain`, `notimp`, `refused`, `notauth`", "The response codes that pass.", source "RFC 1035 §4.1.1";
    ".answer" "text or list", default "any answer passes", range "at most 64; of A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT", "Values that all have to be in the answer, as zone files have them.", source "RFC 1035 §5.1";
};

const REDIS: &[Key] = check! { "redis":
    "" "mapping", default "", range "", "Sends PING to Redis, and ROLE where a role is expected.", source "HAProxy: `option redis-check`";
    ".user" "text", default "Redis's default user", range "1 to 255 bytes", "Who logs in.", source "Redis: AUTH";
    ".password_file" "path", default "nobody logs in", range "an absolute path", "The file whose first line is the password. It is read at each run.", source "";
    ".password_credential" "text", default "`password_file`", range "the name of a credential", "The credential of the service manager whose first line is the password (`LoadCredential=` of the unit). It is read at each run.", source "systemd: `LoadCredential=`";
    ".role" "word", default "either", range "`primary`, `replica`", "What the server has to be.", source "Redis: ROLE";
    ".tls" "mapping", default "no TLS", range "", "TLS from the first byte on.", source "RFC 8446";
};
const REDIS_TLS: &[Key] = tls!("redis", ".tls");

const MEMCACHED: &[Key] = check! { "memcached":
    "" "mapping", default "", range "", "Asks memcached for its version.", source "memcached: `protocol.txt`";
};

const MYSQL: &[Key] = check! { "mysql":
    "" "mapping", default "", range "", "Reads the greeting of MySQL or MariaDB; with a user it logs in.", source "HAProxy: `option mysql-check`";
    ".user" "text", default "nobody logs in", range "1 to 255 bytes", "Who logs in.", source "";
    ".password_file" "path", default "an empty password", range "an absolute path", "The file whose first line is the password. It is read at each run.", source "";
    ".password_credential" "text", default "`password_file`", range "the name of a credential", "The credential of the service manager whose first line is the password (`LoadCredential=` of the unit). It is read at each run.", source "systemd: `LoadCredential=`";
    ".role" "word", default "either", range "`primary`, `replica`", "What the server has to be: `primary` has `read_only` off. Needs `user`.", source "MySQL: `read_only`";
    ".max_lag" "duration", default "not asked", range "1s to 24h", "How far its replication may be behind; one that stands fails. Needs `user`.", source "MySQL: SHOW REPLICA STATUS";
};

const POSTGRES: &[Key] = check! { "postgres":
    "" "mapping", default "", range "", "Asks PostgreSQL whether it takes connections; with a user it logs in.", source "HAProxy: `option pgsql-check`; pg_isready";
    ".user" "text", default "nobody logs in", range "1 to 255 bytes", "Who logs in.", source "";
    ".password_file" "path", default "no password", range "an absolute path", "The file whose first line is the password. It is read at each run.", source "";
    ".password_credential" "text", default "`password_file`", range "the name of a credential", "The credential of the service manager whose first line is the password (`LoadCredential=` of the unit). It is read at each run.", source "systemd: `LoadCredential=`";
    ".database" "text", default "the user's name", range "1 to 255 bytes", "The database that is logged in to. Needs `user`.", source "";
    ".role" "word", default "either", range "`primary`, `replica`", "What the server has to be: a `replica` is in recovery. Needs `user`.", source "PostgreSQL: pg_is_in_recovery()";
    ".tls" "mapping", default "no TLS", range "", "TLS, asked for by an SSLRequest.", source "PostgreSQL: protocol, SSL Session Encryption";
};
const POSTGRES_TLS: &[Key] = tls!("postgres", ".tls");

const SMTP: &[Key] = check! { "smtp":
    "" "mapping", default "", range "", "Greeting, EHLO, QUIT.", source "RFC 5321; keepalived: `SMTP_CHECK`";
    ".hello" "text", default "`localhost`", range "a host name", "The name that is said in EHLO.", source "keepalived: `helo_name`";
    ".starttls" "mapping", default "no TLS", range "", "TLS by STARTTLS, and EHLO again under it.", source "RFC 3207";
};
const SMTP_TLS: &[Key] = tls!("smtp", ".starttls");

const GRPC: &[Key] = check! { "grpc":
    "" "mapping", default "", range "", "Asks gRPC's health service.", source "grpc.health.v1";
    ".service" "text", default "the server as a whole", range "1 to 255 bytes", "The service that is asked about.", source "grpc.health.v1";
    ".host" "text", default "the server's address and port", range "1 to 255 visible ASCII characters", "The `:authority` of the request.", source "RFC 9113 §8.3.1";
    ".tls" "mapping", default "no TLS", range "", "TLS from the first byte on.", source "RFC 8446";
};
const GRPC_TLS: &[Key] = tls!("grpc", ".tls");

const AGENT: &[Key] = check! { "agent":
    "" "mapping", default "", range "", "Asks an agent on the server that speaks HAProxy's agent-check text. `port` is required.", source "HAProxy: `agent-check`";
    ".send" "text or mapping", default "nothing", range "at most 4096 bytes", "What is sent to the agent.", source "HAProxy: `agent-send`";
    ".send.hex" "text", default "required in the mapping", range "pairs of hexadecimal digits", "The bytes in hexadecimal digits.", source "";
};

const EXEC: &[Key] = check! { "exec":
    "" "mapping", default "", range "",
        "Runs a command without a shell, as `daemon.scripts.user`, in a clean environment. Exit 0 passes.", source "keepalived: `MISC_CHECK`";
    ".command" "list of text", default "required", range "an absolute path and at most 255 arguments",
        "The program and its arguments.", source "keepalived: `misc_path`";
    ".nagios" "boolean", default "`false`", range "", "Whether the exit status is that of a plugin of Nagios: 0 and 1 (a warning) pass, 2 fails, 3 (unknown) counts neither way.",
        source "Monitoring Plugins, development guidelines";
    ".weight" "boolean", default "`false`", range "not with `nagios`", "Whether the exit status is a weight: 0 passes, 1 fails, and 2 to 255 pass with a weight of 0 to 253 in place of the configured one.",
        source "keepalived: `misc_dynamic`";
};

const FILE: &[Key] = check! { "file":
    "" "mapping", default "", range "", "Reads a file in which somebody says what is to be done with the server: `up`, `down`, `drain`, `maint`, `ready`, `75%`, or a number, which is its weight. A change counts at once; `rise` and `fall` are 1 where they are not given.",
        source "keepalived: `FILE_CHECK`; HAProxy: `agent-check`";
    ".path" "path", default "required", range "an absolute path", "The file. `{service}` and `{server}` stand for the names of these.", source "keepalived: `track_file`";
    ".missing" "word", default "`up`", range "`up`, `down`", "What it means that the file is not there.", source "keepalived: a file that is not there counts as 0";
};

const BFD: &[Key] = check! { "bfd":
    "" "mapping", default "", range "", "Passes while a BFD session is up. A change counts at once; `rise` and `fall` are 1 where they are not given.",
        source "RFC 5880; keepalived: `BFD_CHECK`";
    ".session" "text", default "required", range "a tracker of the kind `bfd`", "The tracker in `vrrp.trackers` whose session it is.", source "keepalived: `BFD_CHECK name`";
};
