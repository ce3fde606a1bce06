//! The verbs of `holdfast vrrp`, and waiting for what they started.

use std::time::Duration;

use holdfast_control::{Client, Instance, Release, RoleChange};
use tokio::time::{Instant, sleep};

use crate::args;
use crate::failure::Failure;
use crate::output::{Answer, to_answer};
use crate::render;

/// How often the state is looked at while waiting.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

pub(crate) async fn run(client: &Client, verb: args::Vrrp) -> Result<Answer, Failure> {
    let backup = |instance: &Instance| instance.state == "backup" && instance.active.is_some();
    match verb {
        args::Vrrp::Status => {
            to_answer(&client.vrrp().await?, |instances| render::instances_and_peers(instances))
        }
        args::Vrrp::Release { role, keep } => {
            let change = client.release(&role.name, &Release { keep }).await?;
            settled(client, change, role.wait, "another node is not active", backup).await
        }
        args::Vrrp::Resume { role } => {
            let change = client.resume(&role.name).await?;
            let takes_part = |instance: &Instance| instance.state != "initialize";
            settled(client, change, role.wait, "it takes no part", takes_part).await
        }
        args::Vrrp::Failover { role } => {
            let change = client.failover(&role.name).await?;
            settled(client, change, role.wait, "another node is not active", backup).await
        }
    }
}

/// The change, after `wait` at most until all of its instances are `done`, told from the instances as they are then.
async fn settled(
    client: &Client,
    mut change: RoleChange,
    wait: Option<Duration>,
    otherwise: &str,
    done: impl Fn(&Instance) -> bool,
) -> Result<Answer, Failure> {
    let Some(wait) = wait else { return to_answer(&change, render::role) };
    let deadline = Instant::now() + wait;
    loop {
        let names: Vec<String> = change.instances.iter().map(|one| one.name.clone()).collect();
        let all = client.vrrp().await?;
        change.instances = all.into_iter().filter(|one| names.contains(&one.name)).collect();
        let Some(open) = change.instances.iter().find(|one| !done(one)) else {
            return to_answer(&change, render::role);
        };
        if Instant::now() >= deadline {
            return Err(Failure::TimedOut(format!(
                "after {wait:?} {otherwise}: {} is {} here ({})",
                open.name,
                open.state,
                open.fault.as_ref().unwrap_or(&open.reason)
            )));
        }
        sleep(LOOK_INTERVAL).await;
    }
}
