//! Addresses of instances.

use std::net::IpAddr;
use std::ops::Range;

use crate::ledger::{Id, Ledger};
use crate::tree::Statement;
use crate::yaml::{Map, Node, plain, text};

/// An address with what ip-address(8) says of it.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) id: Id,
    pub(crate) ip: IpAddr,
    prefix: u8,
    device: Option<String>,
    label: Option<String>,
    scope: Option<String>,
    /// Words that Holdfast has nothing for.
    left: Vec<String>,
}

/// The addresses of a block.
pub(crate) fn addresses(block: &Statement, ledger: &mut Ledger) -> Vec<Address> {
    ledger.exact(block.id);
    block.children().iter().filter_map(|statement| Address::read(statement, ledger)).collect()
}

impl Address {
    /// An address alone.
    pub(crate) const fn new(ip: IpAddr, prefix: u8, id: Id) -> Self {
        Self { id, ip, prefix, device: None, label: None, scope: None, left: Vec::new() }
    }

    fn read(statement: &Statement, ledger: &mut Ledger) -> Option<Self> {
        let whole = statement.keyword();
        let (ip, prefix) = whole.split_once('/').map_or((whole, None), |(ip, p)| (ip, Some(p)));
        let most = |ip: IpAddr| if ip.is_ipv4() { 32 } else { 128 };
        let read = ip.parse::<IpAddr>().ok().and_then(|ip| match prefix {
            None => Some((ip, most(ip))),
            Some(prefix) => Some((ip, prefix.parse::<u8>().ok().filter(|p| *p <= most(ip))?)),
        });
        let Some((ip, prefix)) = read else {
            let message = format!("`{whole}` is not an address with a prefix length");
            let help = "keepalived goes on without this address; correct it";
            ledger.wrong(statement.id, statement.column(0), message, help);
            return None;
        };
        let mut address = Self::new(ip, prefix, statement.id);
        let mut words = statement.arguments();
        while let Some(word) = words.next() {
            match word {
                "dev" => address.device = words.next().map(ToOwned::to_owned),
                "label" => address.label = words.next().map(ToOwned::to_owned),
                "scope" => address.scope = words.next().map(ToOwned::to_owned),
                "brd" | "broadcast" | "peer" | "preferred_lft" | "track_group" => {
                    address.left.push(format!("{word} {}", words.next().unwrap_or_default()));
                }
                other => address.left.push(other.to_owned()),
            }
        }
        Some(address)
    }

    /// The statement that it comes from.
    pub(crate) const fn origin(&self) -> Range<Id> {
        self.id..self.id + 1
    }

    /// It in Holdfast's words; `own` is the instance's interface.
    pub(crate) fn node(&self, own: &str, ledger: &mut Ledger) -> Node {
        ledger.exact(self.id);
        if !self.left.is_empty() {
            let note =
                format!("`{}` is left out: Holdfast has no such attribute", self.left.join(" "));
            ledger.differs(self.id, note);
        }
        let whole = text(format!("{}/{}", self.ip, self.prefix));
        let device = self.device.as_deref().filter(|device| *device != own);
        let mut map = Map::default();
        let origin = self.origin();
        map.set("address", whole.clone(), origin.clone());
        if let Some(device) = device {
            map.set("device", text(device), origin.clone());
        }
        if let Some(label) = &self.label {
            let on = format!("{}:", self.device.as_deref().unwrap_or(own));
            if label.starts_with(&on) && label.len() <= 15 && self.ip.is_ipv4() {
                map.set("label", text(label), origin.clone());
            } else {
                let note = format!(
                    "the label `{label}` is left out: it is not {on}SUFFIX of at most 15 bytes"
                );
                ledger.differs(self.id, note);
            }
        }
        if let Some(scope) = self.scope.as_deref() {
            match scope {
                "global" | "site" | "link" | "host" => map.set("scope", plain(scope), origin),
                other => ledger.differs(self.id, format!("the scope `{other}` is left out")),
            }
        }
        if map.entries.len() == 1 { whole } else { Node::Map(map) }
    }
}
