//! Who is at the other end of a control connection, for the record: a process of this host, or another node.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use holdfast_net::peer_groups;
use nix::unistd::{Uid, User};
use tokio::net::UnixStream;

/// The audit system's number for "nobody logged in" (linux/audit.h, AUDIT_UID_UNSET).
const NO_LOGIN: u32 = u32::MAX;

/// A name service that answers later than this is not waited for: the number stands for the name.
const NAME_PATIENCE: Duration = Duration::from_secs(1);

/// The process at the other end, as the kernel tells it (SO_PEERCRED, SO_PEERGROUPS); none where there is no such thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    user: Option<u32>,
    /// All of its groups.
    groups: Arc<[u32]>,
    /// Who had logged in before becoming that user, by `sudo` say.
    login: Option<u32>,
    /// Another node, as its certificate says, and who asked for it there, as it says.
    node: Option<Arc<str>>,
    there: Option<Arc<str>>,
}

/// The header in which a node says who asked for what it passes on.
pub(crate) const ON_BEHALF: &str = "holdfast-user";

/// What is longer is not taken for a user.
const ON_BEHALF_MAX: usize = 128;

impl Caller {
    /// The caller of a connection that has just been accepted.
    pub(crate) fn of(stream: &UnixStream) -> Self {
        let Ok(credentials) = stream.peer_cred() else { return Self::default() };
        // The process may be gone, or hidden: then its user alone is known.
        let login = credentials
            .pid()
            .and_then(|pid| fs::read_to_string(format!("/proc/{pid}/loginuid")).ok());
        let login = login.and_then(|text| text.trim().parse().ok());
        let user = credentials.uid();
        // A kernel before 4.13 tells the one group only.
        let mut groups = peer_groups(stream).unwrap_or_default();
        groups.push(credentials.gid());
        Self {
            user: Some(user),
            groups: groups.into(),
            login: login.filter(|login| *login != NO_LOGIN && *login != user),
            ..Self::default()
        }
    }

    /// Another node, which has shown a certificate of its name.
    pub(crate) fn node(name: &str) -> Self {
        Self { node: Some(name.into()), ..Self::default() }
    }

    /// Whether it is another node.
    pub(crate) const fn is_node(&self) -> bool {
        self.node.is_some()
    }

    /// The same, for whom another node says that it asks. Nobody else is asked, and what can't be a name is nobody.
    pub(crate) fn on_behalf_of(mut self, user: Option<&HeaderValue>) -> Self {
        let user = user.filter(|_| self.is_node()).and_then(|user| user.to_str().ok());
        let fits = |user: &&str| {
            (1..=ON_BEHALF_MAX).contains(&user.len())
                && user.chars().all(|c| (' '..='~').contains(&c))
        };
        self.there = user.filter(fits).map(Into::into);
        self
    }

    /// The user's number.
    pub(crate) const fn user(&self) -> Option<u32> {
        self.user
    }

    /// Whether it is of `group`.
    pub(crate) fn is_of(&self, group: u32) -> bool {
        self.groups.contains(&group)
    }

    #[cfg(test)]
    pub(super) fn new(user: u32, groups: &[u32]) -> Self {
        Self { user: Some(user), groups: groups.into(), ..Self::default() }
    }

    /// Its name: `alice`, or `alice as root`; of another node `lb2/alice`. Names are asked of the host's name service, which may take a second at most.
    pub(crate) async fn name(self) -> Option<String> {
        if let Some(node) = self.node {
            return Some(match self.there {
                Some(user) => format!("{node}/{user}"),
                None => node.to_string(),
            });
        }
        let user = self.user?;
        let login = self.login;
        let asked = tokio::task::spawn_blocking(move || (account(user), login.map(account)));
        let (user, login) = match tokio::time::timeout(NAME_PATIENCE, asked).await {
            Ok(Ok(names)) => names,
            Ok(Err(_)) | Err(_) => (number(user), login.map(number)),
        };
        Some(login.map_or_else(|| user.clone(), |login| format!("{login} as {user}")))
    }
}

fn account(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => number(uid),
    }
}

fn number(uid: u32) -> String {
    format!("uid {uid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_caller_is_named_as_the_host_does_and_by_its_number_where_it_has_no_name() {
        let root = Caller::new(0, &[]);
        assert_eq!(root.name().await.as_deref(), Some("root"));
        let nobody = Caller { login: Some(4_294_967_000), ..Caller::new(0, &[]) };
        assert_eq!(nobody.name().await.as_deref(), Some("uid 4294967000 as root"));
        assert_eq!(Caller::default().name().await, None);
    }

    #[tokio::test]
    async fn another_node_says_for_whom_it_asks_and_nobody_else_is_believed() {
        let header = HeaderValue::from_static;
        let said = async |caller: Caller, user: &str| {
            caller.on_behalf_of(HeaderValue::from_str(user).ok().as_ref()).name().await
        };
        let node = || Caller::node("lb2");
        assert_eq!(said(node(), "alice as root").await.as_deref(), Some("lb2/alice as root"));
        assert_eq!(node().name().await.as_deref(), Some("lb2"));
        for strange in ["", "tab\tbed", &"x".repeat(ON_BEHALF_MAX + 1)] {
            assert_eq!(said(node(), strange).await.as_deref(), Some("lb2"), "{strange:?}");
        }
        let ours = Caller::new(0, &[]).on_behalf_of(Some(&header("alice")));
        assert_eq!(ours.name().await.as_deref(), Some("root"));
    }

    #[tokio::test]
    async fn the_kernel_says_who_is_at_the_other_end() {
        let (one, _other) = UnixStream::pair().unwrap();
        let caller = Caller::of(&one);
        assert_eq!(caller.user, Some(nix::unistd::getuid().as_raw()));
        assert!(caller.is_of(nix::unistd::getgid().as_raw()));
    }
}
