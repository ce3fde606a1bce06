//! A check over the network: one try of what the configuration says, at one server.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use holdfast_config::{NetworkCheck, Talk};

use crate::deadline::Deadline;
use crate::finding::Finding;
use crate::lines::Lines;
use crate::place::Place;
use crate::{agent, dns, grpc, http, icmp, memcached, mysql, postgres, redis, smtp, tcp, tls, udp};

/// A check and the server that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// What is said, and on which way.
    pub check: Arc<NetworkCheck>,
    /// The server's own address; the check may go to another.
    pub server: SocketAddr,
}

impl Network {
    fn place(&self) -> Place<'_> {
        Place::of(&self.check.way, self.server)
    }

    /// Whether a run computes so little that many of them have room in one task: no TLS, no secrets, no great answers.
    pub fn is_light(&self) -> bool {
        match &self.check.talk {
            Talk::Tcp(_) | Talk::Memcached | Talk::Agent { .. } => true,
            Talk::Http(check) => check.tls.is_none() && check.body.is_none(),
            Talk::Redis(check) => check.tls.is_none(),
            Talk::Tls(_)
            | Talk::Icmp
            | Talk::Udp(_)
            | Talk::Dns(_)
            | Talk::Mysql(_)
            | Talk::Postgres(_)
            | Talk::Smtp(_)
            | Talk::Grpc(_) => false,
        }
    }

    /// Tries it once, over a line where there are lines.
    pub(crate) async fn run(&self, deadline: Deadline<'_>, lines: Option<&Lines>) -> Finding {
        let place = self.place().over(lines);
        // The greatest of these is many times the least, and a task is as great as the greatest of what it may hold: each has its own.
        match &self.check.talk {
            Talk::Tcp(bytes) if bytes.send.is_none() && bytes.expect.is_none() => {
                tcp::connects(&place, deadline).await
            }
            Talk::Tcp(bytes) => Box::pin(tcp::run(&place, bytes, deadline)).await,
            Talk::Tls(options) => Box::pin(tls::run(&place, options, deadline)).await,
            Talk::Http(check) => Box::pin(http::run(&place, check, deadline)).await,
            Talk::Icmp => Box::pin(icmp::run(&place, deadline)).await,
            Talk::Udp(check) => Box::pin(udp::run(&place, check, deadline)).await,
            Talk::Dns(check) => Box::pin(dns::run(&place, check, deadline)).await,
            Talk::Redis(check) => Box::pin(redis::run(&place, check, deadline)).await,
            Talk::Memcached => Box::pin(memcached::run(&place, deadline)).await,
            Talk::Mysql(check) => Box::pin(mysql::run(&place, check, deadline)).await,
            Talk::Postgres(check) => Box::pin(postgres::run(&place, check, deadline)).await,
            Talk::Smtp(check) => Box::pin(smtp::run(&place, check, deadline)).await,
            Talk::Grpc(check) => Box::pin(grpc::run(&place, check, deadline)).await,
            Talk::Agent { send } => Box::pin(agent::run(&place, send.as_deref(), deadline)).await,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, address) = (self.check.talk.name(), self.place().address);
        match &self.check.talk {
            Talk::Http(check) => write!(f, "{name} {}", http::url(address, check)),
            Talk::Icmp => write!(f, "{name} {}", address.ip()),
            Talk::Tcp(_)
            | Talk::Tls(_)
            | Talk::Udp(_)
            | Talk::Dns(_)
            | Talk::Redis(_)
            | Talk::Memcached
            | Talk::Mysql(_)
            | Talk::Postgres(_)
            | Talk::Smtp(_)
            | Talk::Grpc(_)
            | Talk::Agent { .. } => write!(f, "{name} {address}"),
        }
    }
}
