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
    EXEC,
];

section! {
    "services.NAME.check" "mapping", default "none: servers are always up", range "one of the kinds below",
        "The check of every server that has none of its own: what is tried, and beside it when. `check` stands at a service, at a \
         real server, and in the list `checks`.",
        source "keepalived: `TCP_CHECK`, `HTTP_GET`, `MISC_CHECK`";
    "services.NAME.check.interval" "duration", default "`2s`", range "10ms to 1h", "From the start of one run to the start of the next.",
        source "keepalived: `delay_loop`; HAProxy: `inter`";
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
                "From so many days before the certificate's end on, the passing check's sentence says so. 0: never.", "RFC 5280 §4.1.2.5"),
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

const EXEC: &[Key] = check! { "exec":
    "" "mapping", default "", range "",
        "Runs a command without a shell, as `daemon.scripts.user`, in a clean environment. Exit 0 passes.", source "keepalived: `MISC_CHECK`";
    ".command" "list of text", default "required", range "an absolute path and at most 255 arguments",
        "The program and its arguments.", source "keepalived: `misc_path`";
};
