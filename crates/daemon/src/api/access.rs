//! Who may do what over a connection: the kernel says who is at the other end, or a certificate does.

use axum::http::{Method, StatusCode};
use holdfast_control::Problem;
use nix::unistd::{Group, geteuid};

use super::caller::Caller;
use super::pace::Allowance;
use super::problem::refused;

/// What everybody may read where others may read at all: paths of `GET`, and what begins with them. What shows the configuration's text is
/// not among them.
const OPEN: [&str; 7] = [
    "/v1/status",
    "/v1/events",
    "/v1/vrrp",
    "/v1/services",
    "/v1/log",
    "/v1/openapi.json",
    "/metrics",
];

/// What another node may ask for besides: what must be equal is compared, and changes that are made on all nodes are made here. Who is
/// Active it may not decide by that, nor read the file, have it read again, or pass anything on.
const NODES_READ: [&str; 2] = ["/v1/fingerprint", "/v1/changes"];

/// Where another node may change something.
const NODES_CHANGE: &str = "/v1/services";

/// Who may use a listener.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// Anybody who reaches it; nothing that it serves changes anything.
    ReadOnly,
    /// Other nodes of the pair, by their certificates.
    Nodes,
    /// By the credentials of the process at the other end.
    Credentials {
        /// Its members may do everything, as root and the daemon's own user may.
        group: Option<u32>,
        /// Whether everybody else may read.
        others_read: bool,
    },
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Everything,
    Read,
    /// Another node's.
    Node,
    Nothing,
}

impl Access {
    /// The control socket's: `group` by its name, which the host has.
    pub(crate) fn control(group: Option<&str>, others_read: bool) -> Self {
        let group = group.and_then(|name| Group::from_name(name).ok().flatten());
        Self::Credentials { group: group.map(|group| group.gid.as_raw()), others_read }
    }

    /// What `caller` may do.
    pub(crate) fn right(&self, caller: &Caller) -> Right {
        let (group, others_read) = match self {
            Self::ReadOnly => return Right::Read,
            Self::Nodes if caller.is_node() => return Right::Node,
            Self::Nodes => return Right::Nothing,
            Self::Credentials { group, others_read } => (group, others_read),
        };
        let own = geteuid().as_raw();
        let trusted = caller.user().is_some_and(|user| user == 0 || user == own)
            || group.is_some_and(|group| caller.is_of(group));
        match (trusted, others_read) {
            (true, _) => Right::Everything,
            (false, true) => Right::Read,
            (false, false) => Right::Nothing,
        }
    }

    /// How much `caller` may ask, as far as it is known before it says anything.
    pub(crate) fn allowance(&self, caller: &Caller) -> Allowance {
        match self {
            Self::Nodes => Allowance::NODES,
            Self::ReadOnly | Self::Credentials { .. } => match self.right(caller) {
                Right::Everything => Allowance::TRUSTED,
                Right::Read | Right::Node | Right::Nothing => Allowance::OTHERS,
            },
        }
    }

    /// Why whoever has `right` may not do that; none where he may.
    pub(crate) fn refusal(&self, right: Right, method: &Method, path: &str) -> Option<Problem> {
        let reads = method == Method::GET || method == Method::HEAD;
        let under = |all: &[&str]| {
            all.iter().any(|open| {
                path.strip_prefix(open).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        let open = under(&OPEN);
        let what = match (self, right) {
            (Self::Nodes, Right::Node)
                if reads && (open || under(&NODES_READ)) || !reads && under(&[NODES_CHANGE]) =>
            {
                return None;
            }
            (Self::Nodes, Right::Nothing) => {
                let detail = "this certificate is of no node that `daemon.pair.nodes` names here: name the node, the same on every node, or \
                              give it a certificate whose subjectAltName is its name"
                    .to_owned();
                return Some(refused(StatusCode::FORBIDDEN, "not_a_node", detail));
            }
            (Self::Nodes, _) => {
                let detail = "other nodes may read the state and change real servers, and no more: do that on the node itself".to_owned();
                return Some(refused(StatusCode::FORBIDDEN, "not_allowed", detail));
            }
            // What is not served there is not there.
            (Self::ReadOnly, _) | (_, Right::Everything) => return None,
            (_, Right::Read) if reads && open => return None,
            (_, Right::Read) => "you may read the state, and no more",
            (_, Right::Node | Right::Nothing) => "the control socket is not for you",
        };
        let detail = format!(
            "{what}: root and members of the control socket's group (`daemon.control.group`) may do everything"
        );
        Some(refused(StatusCode::FORBIDDEN, "not_allowed", detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(others_read: bool) -> Access {
        Access::Credentials { group: Some(900), others_read }
    }

    #[test]
    fn root_and_the_group_may_do_everything_and_others_what_they_are_allowed() {
        let right = |others, user, groups: &[u32]| access(others).right(&Caller::new(user, groups));
        assert_eq!(right(false, 0, &[]), Right::Everything);
        assert_eq!(right(false, 1000, &[1000, 900]), Right::Everything);
        assert_eq!(right(false, 1000, &[1000]), Right::Nothing);
        assert_eq!(right(true, 1000, &[1000]), Right::Read);
        let none = Access::Credentials { group: None, others_read: false };
        assert_eq!(none.right(&Caller::new(1000, &[900])), Right::Nothing);
        assert_eq!(none.right(&Caller::default()), Right::Nothing, "nobody in particular");
    }

    #[test]
    fn who_may_read_reads_the_state_and_neither_changes_nor_sees_the_file() {
        let refusal = |right, method: Method, path| {
            access(true).refusal(right, &method, path).map(|problem| problem.status)
        };
        for path in ["/v1/status", "/v1/events", "/v1/services/web", "/v1/openapi.json"] {
            assert_eq!(refusal(Right::Read, Method::GET, path), None, "{path}");
            assert_eq!(refusal(Right::Read, Method::POST, path), Some(403), "{path}");
            assert_eq!(refusal(Right::Nothing, Method::GET, path), Some(403), "{path}");
            assert_eq!(refusal(Right::Everything, Method::DELETE, path), None, "{path}");
        }
        for path in ["/v1/plan", "/v1/reload", "/v1/statuses", "/", "/v1/export"] {
            assert_eq!(refusal(Right::Read, Method::GET, path), Some(403), "{path}");
        }
        assert_eq!(Access::ReadOnly.refusal(Right::Read, &Method::POST, "/v1/plan"), None);
    }

    #[test]
    fn another_node_reads_the_state_and_changes_servers_and_a_stranger_does_nothing() {
        let access = Access::Nodes;
        let (node, stranger) =
            (access.right(&Caller::node("lb2")), access.right(&Caller::default()));
        assert_eq!((node, stranger), (Right::Node, Right::Nothing));
        assert_eq!(access.right(&Caller::new(0, &[])), Right::Nothing, "root of where?");
        let refused = |right, method: Method, path| {
            access.refusal(right, &method, path).map(|problem| problem.code)
        };
        for (method, path) in [
            (Method::GET, "/v1/status"),
            (Method::GET, "/v1/fingerprint"),
            (Method::GET, "/v1/changes"),
            (Method::GET, "/v1/services/web"),
            (Method::POST, "/v1/services/web/servers"),
            (Method::POST, "/v1/services/web/servers/web1/drain"),
            (Method::DELETE, "/v1/services/web/servers/web1"),
        ] {
            assert_eq!(refused(node, method.clone(), path), None, "{method} {path}");
            assert_eq!(refused(stranger, method, path).as_deref(), Some("not_a_node"), "{path}");
        }
        for (method, path) in [
            (Method::POST, "/v1/reload"),
            (Method::GET, "/v1/plan"),
            (Method::GET, "/v1/export"),
            (Method::POST, "/v1/log"),
            (Method::POST, "/v1/vrrp/edge/release"),
            (Method::GET, "/v1/nodes"),
            (Method::POST, "/v1/nodes/lb1/v1/services/web/servers/web1/drain"),
            (Method::POST, "/v1/servicesx"),
        ] {
            assert_eq!(refused(node, method, path).as_deref(), Some("not_allowed"), "{path}");
        }
    }
}
