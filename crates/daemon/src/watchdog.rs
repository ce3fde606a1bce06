//! The service manager's watchdog (`WatchdogSec=`): it hears from the daemon only while all of its loops turn.
//!
//! Both are asked each time: the VRRP thread, which advertises, and the director, which checks and programs the table. A loop that hangs
//! answers nothing, the service manager hears nothing, and starts the daemon anew.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, interval_at, timeout};

use crate::api::{Request, Requests};
use crate::vrrp::VrrpRemote;

/// Asked so many times in the time that the service manager allows: one late answer ends nothing.
const TIMES: u32 = 3;

/// Tells the service manager that the daemon is alive, as often as it wants to hear it; returns at once where it does not.
pub(crate) async fn serve(requests: Requests, vrrp: VrrpRemote) {
    let Some(patience) = holdfast_telemetry::service_manager::watchdog() else { return };
    let pause = (patience / TIMES).max(Duration::from_millis(1));
    let mut ticks = interval_at(Instant::now(), pause);
    let mut silent = false;
    loop {
        ticks.tick().await;
        let turns = timeout(pause, turns(&requests, &vrrp)).await;
        match turns {
            Ok(Ok(())) => {
                holdfast_telemetry::service_manager::alive();
                silent = false;
            }
            // The daemon stops, or the loop that has ended ends it.
            Ok(Err(Gone)) => return,
            Err(_late) if !silent => {
                tracing::error!(
                    ?pause,
                    "a loop of the daemon does not answer: the service manager's watchdog is not told that all is well"
                );
                silent = true;
            }
            Err(_late) => {}
        }
    }
}

/// A loop has ended.
struct Gone;

/// Comes when both loops have answered.
async fn turns(requests: &Requests, vrrp: &VrrpRemote) -> Result<(), Gone> {
    let (answer, director) = oneshot::channel();
    requests.send(Request::Alive(answer)).await.map_err(|_gone| Gone)?;
    director.await.map_err(|_gone| Gone)?;
    vrrp.turns().await.ok_or(Gone)
}
