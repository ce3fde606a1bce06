//! `holdfast export`: the configuration that runs, written out again with what commands have changed.

use axum::http::StatusCode;
use holdfast_config::{Config, Edit, EditKind, Name, export};
use holdfast_control::{Exported, Problem, RuntimeChange};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::{Reloader, stopping};
use crate::api::{Request, refused};
use crate::state::last_good::LastGood;

impl Reloader {
    /// The configuration that runs, with run-time changes; what no file can say is told besides.
    pub(super) async fn export(&self) -> Result<Exported, Problem> {
        let (answer, changes) = oneshot::channel();
        self.director.send(Request::Changes(answer)).await.map_err(stopping)?;
        let changes = changes.await.map_err(stopping)?.changes;
        let (state, config) = (self.current.daemon.state.clone(), self.current.clone());
        let fingerprint = self.loaded.view().fingerprint;
        let written = spawn_blocking(move || write(&state, &fingerprint, &changes, &config)).await;
        written
            .map_err(stopping)?
            .map_err(|why| refused(StatusCode::SERVICE_UNAVAILABLE, "no_configuration", why))
    }
}

fn write(
    state: &std::path::Path,
    fingerprint: &str,
    changes: &[RuntimeChange],
    config: &Config,
) -> Result<Exported, String> {
    let kept = LastGood::read(state).map_err(|error| error.to_string())?;
    let Some(kept) = kept.filter(|kept| kept.fingerprint == fingerprint) else {
        let state = state.display();
        return Err(format!(
            "the text of the configuration that runs is not in {state}: the log says why it could not be kept there"
        ));
    };
    let mut left_out = Vec::new();
    let mut edits: Vec<Edit> =
        changes.iter().filter_map(|change| edit(change, config, &mut left_out)).collect();
    // One that was added may have the name of one that was removed.
    edits.sort_by_key(|edit| !matches!(edit.kind, EditKind::Remove));
    let (text, covered) = export(kept.files(), &edits)
        .map_err(|_found| "the configuration can't be read".to_owned())?;
    if covered {
        left_out.push("passwords and headers are covered by `********`: put them back".to_owned());
    }
    let discovers = config.services.values().any(|service| service.discover.is_some());
    if discovers {
        left_out.push("servers that files name (`discover`) are left to those files".to_owned());
    }
    Ok(Exported { text, left_out })
}

/// What a change is in a file; why it is nothing there goes to `left_out`.
fn edit(change: &RuntimeChange, config: &Config, left_out: &mut Vec<String>) -> Option<Edit> {
    let name = |text: &str| Name::try_from(text.to_owned()).ok();
    let (service, server) = (name(&change.service)?, name(&change.server)?);
    let in_file = config
        .services
        .get(&service)
        .and_then(|service| service.real_servers.get(&server))
        .is_some_and(|server| server.address.to_string() == change.address);
    let mut leave = |why: &str| {
        left_out.push(format!("{}/{} {}: {why}", change.service, change.server, change.kind));
        None
    };
    if change.dormant.is_some() {
        return leave("it does not hold as the configuration is");
    }
    if change.ephemeral {
        return leave("it ends with the daemon");
    }
    let kind = match change.kind.as_str() {
        "added" if change.lease_ms.is_some() => return leave("it is there for a time"),
        "added" => EditKind::Add { address: change.address.parse().ok()?, weight: weight(change)? },
        "removed" if in_file => EditKind::Remove,
        "weight" => EditKind::Weigh(weight(change)?),
        "removed" => return leave("it is in a file of `discover`"),
        _ => return leave("a file has no such state"),
    };
    Some(Edit { service, server, kind })
}

/// The weight that a change comes to: a share is taken of it as the kernel's is, a half up, and never to nothing.
fn weight(change: &RuntimeChange) -> Option<u32> {
    let to = change.to.as_deref()?;
    let to = to.strip_prefix("weight ").unwrap_or(to);
    let Some((share, of)) = to.split_once("% of ") else { return to.parse().ok() };
    let (share, of): (u64, u64) = (share.parse().ok()?, of.parse().ok()?);
    let product = share * of;
    let rounded = (product + 50) / 100;
    u32::try_from(if product == 0 { 0 } else { rounded.max(1) }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_as_the_kernels_weight_is() {
        for (to, expected) in [
            ("5", Some(5)),
            ("weight 3", Some(3)),
            ("50% of 5", Some(3)),
            ("1% of 1", Some(1)),
            ("0% of 7", Some(0)),
            ("many", None),
        ] {
            let change = RuntimeChange { to: Some(to.to_owned()), ..RuntimeChange::default() };
            assert_eq!(weight(&change), expected, "{to}");
        }
    }
}
