//! `-L … -o json`: listings for programs (docs/ipvs.md has the fields).

use ipvs_ctl::model::{Counters, ServiceFlags};
use ipvs_ctl::rules::connections::Connection;
use ipvs_ctl::rules::{KernelDaemon, KernelDestination, KernelService, List, ListKind};
use ipvs_ctl::wire::{
    BACKUP, BYPASS, CHECKSUM, DIRECT, GRE, GUE, IPIP, LOCAL, MASTER, NAT, NO_CHECKSUM,
    REMOTE_CHECKSUM, TUNNEL,
};
use serde_json::{Map, Value, json};

use super::execute::Session;
use super::list::{each_connection, open_connections};
use super::stream::Streams;

/// The flags that have a name whatever the scheduler. `sh` and `mh` call the first `fallback` and the second `port`.
const FLAGS: [(u32, &str, &str); 4] = [
    (ServiceFlags::ONE_PACKET.bits(), "one-packet", "one-packet"),
    (ServiceFlags::SCHEDULER_1.bits(), "flag-1", "fallback"),
    (ServiceFlags::SCHEDULER_2.bits(), "flag-2", "port"),
    (ServiceFlags::SCHEDULER_3.bits(), "flag-3", "flag-3"),
];

/// The listing as JSON. It has everything that the kernel tells, whatever columns were asked for. Services and connections are written one by
/// one, so that a table of any size takes no more memory than the list of its services; if something fails in the middle, what was written is not
/// complete JSON.
pub(super) fn list(
    session: &mut Session<'_>,
    list: &List,
    streams: &mut Streams,
) -> Result<(), u8> {
    let value = match list.kind {
        ListKind::All | ListKind::Service(_) => return tables(session, list, streams),
        ListKind::Connections => return connections(streams),
        ListKind::Timeouts => {
            let timeouts =
                session.client.timeouts().map_err(|error| session.unsaid(&error, streams))?;
            serde_json::to_value(timeouts).unwrap_or_default()
        }
        ListKind::Daemons => {
            let daemons = session.daemons().map_err(|error| session.unsaid(&error, streams))?;
            json!({ "daemons": daemons.iter().map(daemon).collect::<Vec<_>>() })
        }
    };
    streams.out().extend_from_slice(format!("{value:#}\n").as_bytes());
    Ok(())
}

fn tables(session: &mut Session<'_>, list: &List, streams: &mut Streams) -> Result<(), u8> {
    let services = session.listed(list, streams)?;
    let (major, minor, patch) = session.info.version;
    let size = session.info.connection_table_size;
    let mut written = Written::begin(
        &format!("{{\n  \"connection_table_size\": {size},\n  \"services\": ["),
        streams,
    );
    for found in services {
        let destinations = session.destinations(&found, list.nosort, streams)?;
        written.one(&service(&found, &destinations), streams)?;
    }
    written.end(&format!(",\n  \"version\": \"{major}.{minor}.{patch}\"\n}}\n"), streams);
    Ok(())
}

fn connections(streams: &mut Streams) -> Result<(), u8> {
    let file = open_connections(streams)?;
    let mut written = Written::begin("{\n  \"connections\": [", streams);
    each_connection(file, streams, |one, streams| written.one(&connection(one), streams))?;
    written.end("\n}\n", streams);
    Ok(())
}

/// A list that is written element by element, indented as a whole value would be.
struct Written {
    any: bool,
}

impl Written {
    fn begin(text: &str, streams: &mut Streams) -> Self {
        streams.out().extend_from_slice(text.as_bytes());
        Self { any: false }
    }

    fn one(&mut self, value: &Value, streams: &mut Streams) -> Result<(), u8> {
        let out = streams.out();
        out.extend_from_slice(if self.any { b"," } else { b"" });
        self.any = true;
        // A line's end within a text is escaped, so each of these is between two tokens.
        for line in format!("{value:#}").lines() {
            out.extend_from_slice(b"\n    ");
            out.extend_from_slice(line.as_bytes());
        }
        streams.ease()
    }

    fn end(self, text: &str, streams: &mut Streams) {
        let out = streams.out();
        out.extend_from_slice(if self.any { b"\n  ]" } else { b"]" });
        out.extend_from_slice(text.as_bytes());
    }
}

fn service(service: &KernelService, destinations: &[KernelDestination]) -> Value {
    let mut object = Map::new();
    object.insert("family".into(), family(service.is_ipv6()));
    if service.mark == 0 {
        let protocol = service
            .transport()
            .map_or_else(|| json!(service.protocol), |protocol| json!(protocol.to_string()));
        object.insert("protocol".into(), protocol);
        object.insert("address".into(), json!(service.ip()));
        object.insert("port".into(), json!(service.port));
    } else {
        object.insert("fwmark".into(), json!(service.mark));
    }
    object.insert("scheduler".into(), json!(service.scheduler));
    let hashes = matches!(service.scheduler.as_str(), "sh" | "mh");
    let flags = FLAGS.iter().filter(|(bit, ..)| service.flags & bit != 0);
    let flags: Vec<_> =
        flags.map(|(_, plain, hashed)| if hashes { *hashed } else { *plain }).collect();
    object.insert("flags".into(), json!(flags));
    object.insert("persistence".into(), persistence(service));
    object.insert("counters".into(), counters(&service.counters));
    let servers: Vec<_> = destinations.iter().map(destination).collect();
    object.insert("destinations".into(), Value::Array(servers));
    Value::Object(object)
}

fn persistence(service: &KernelService) -> Value {
    if !service.is_persistent() {
        return Value::Null;
    }
    let netmask = if service.is_ipv6() {
        json!(u32::from_ne_bytes(service.netmask))
    } else {
        json!(std::net::Ipv4Addr::from(service.netmask))
    };
    let engine = Some(&service.engine).filter(|name| !name.is_empty());
    json!({ "timeout_s": service.timeout_s, "netmask": netmask, "engine": engine })
}

fn destination(destination: &KernelDestination) -> Value {
    let forward = match destination.forwarding_method() {
        NAT => json!("nat"),
        LOCAL => json!("local"),
        TUNNEL => json!("tunnel"),
        DIRECT => json!("direct"),
        BYPASS => json!("bypass"),
        other => json!(other),
    };
    let mut value = json!({
        "family": family(destination.is_ipv6()),
        "address": destination.ip(),
        "port": destination.port,
        "forward": forward,
        "weight": destination.weight,
        "upper_threshold": destination.upper_threshold,
        "lower_threshold": destination.lower_threshold,
        "active_connections": destination.active,
        "inactive_connections": destination.inactive,
        "persistent_connections": destination.persistent,
        "counters": counters(&destination.counters),
    });
    if destination.forwarding_method() == TUNNEL
        && let Some(object) = value.as_object_mut()
    {
        object.insert("tunnel".into(), tunnel(destination));
    }
    value
}

fn tunnel(destination: &KernelDestination) -> Value {
    let checksum = match destination.tunnel_flags {
        NO_CHECKSUM => json!("none"),
        CHECKSUM => json!("full"),
        REMOTE_CHECKSUM => json!("remote"),
        other => json!(other),
    };
    match destination.tunnel_type {
        IPIP => json!({ "type": "ipip" }),
        GUE => json!({ "type": "gue", "port": destination.tunnel_port, "checksum": checksum }),
        GRE => json!({ "type": "gre", "checksum": checksum }),
        other => json!({ "type": other }),
    }
}

fn counters(counters: &Counters) -> Value {
    serde_json::to_value(counters).unwrap_or_default()
}

fn family(ipv6: bool) -> Value {
    json!(if ipv6 { "ipv6" } else { "ipv4" })
}

fn connection(connection: &Connection) -> Value {
    let end =
        |(address, port): (std::net::IpAddr, u16)| json!({ "address": address, "port": port });
    let engine =
        connection.engine.as_ref().map(|(name, data)| json!({ "name": name, "data": data }));
    json!({
        "protocol": connection.protocol.to_lowercase(),
        "expires_s": connection.expires_s,
        "state": connection.state,
        "client": end(connection.client),
        "virtual": end(connection.service),
        "destination": end(connection.destination),
        "engine": engine,
    })
}

fn daemon(daemon: &KernelDaemon) -> Value {
    let role = match daemon.state {
        MASTER => json!("master"),
        BACKUP => json!("backup"),
        other => json!(other),
    };
    json!({
        "role": role,
        "interface": daemon.interface,
        "sync_id": daemon.sync_id,
        "max_length": daemon.max_length,
        "group": daemon.group,
        "port": daemon.port,
        "ttl": daemon.ttl,
    })
}
