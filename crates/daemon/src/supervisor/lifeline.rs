//! What a worker has of its supervisor: the estate that it writes, the pipe that it speaks through, and an end that comes with the
//! supervisor's.

use std::fs::File;
use std::io::Write;
use std::os::fd::RawFd;
use std::os::unix::process::parent_id;
use std::str::FromStr;
use std::sync::Arc;

use holdfast_net::inherited;
use holdfast_telemetry::service_manager;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};

use super::estate::Estate;
use super::keepsakes::Custody;
use crate::failure::Failure;

/// What a worker exits with that has found a fault of its own: EX_SOFTWARE of sysexits.h. The next one is started.
pub(crate) const FAULT: u8 = 70;

/// The threads without which nothing works. A panic of one of them ends the worker before it has taken anything back, so that the next
/// one goes on where it was; of others the director hears when they are gone.
const ESSENTIAL: [&str; 3] = ["vrrp", "addresses", "renewing"];

/// The supervisor's end of a worker, as it is on the worker's command line: `ESTATE,PIPE,SUPERVISOR,KEEPSAKES`, three descriptors and a
/// process between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handles {
    pub(crate) estate: RawFd,
    pub(crate) pipe: RawFd,
    pub(crate) supervisor: u32,
    pub(crate) keepsakes: RawFd,
}

impl FromStr for Handles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let mut part = || parts.next().ok_or_else(|| "four numbers are wanted".to_owned());
        let number = |text: &str| text.parse::<RawFd>().map_err(|error| error.to_string());
        let (estate, pipe) = (number(part()?)?, number(part()?)?);
        let supervisor = part()?.parse().map_err(|error| format!("{error}"))?;
        let keepsakes = number(part()?)?;
        Ok(Self { estate, pipe, supervisor, keepsakes })
    }
}

impl std::fmt::Display for Handles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { estate, pipe, supervisor, keepsakes } = self;
        write!(f, "{estate},{pipe},{supervisor},{keepsakes}")
    }
}

/// A worker's life under a supervisor.
#[derive(Clone, Debug)]
pub(crate) struct Lifeline {
    estate: Arc<Estate>,
    custody: Custody,
}

impl Lifeline {
    /// Takes hold of it, before there is another thread.
    ///
    /// # Errors
    /// The descriptors are not there, or the supervisor is not: somebody else has started this process by a worker's command line.
    pub(crate) fn grasp(handles: Handles) -> Result<Self, Failure> {
        let failed = |error| Failure::new("start as a supervisor's worker", error);
        let estate = inherited::take(handles.estate).map_err(failed)?;
        let pipe = inherited::take(handles.pipe).map_err(failed)?;
        let keepsakes = inherited::take(handles.keepsakes).map_err(failed)?;
        // A supervisor that is gone takes its worker along, in order: nobody would start the next one.
        prctl::set_pdeathsig(Signal::SIGTERM).map_err(|errno| failed(errno.into()))?;
        if parent_id() != handles.supervisor {
            return Err(Failure::Host("the supervisor has gone".to_owned()));
        }
        SigSet::empty().thread_set_mask().map_err(|errno| failed(errno.into()))?;
        service_manager::speak_through(File::from(pipe));
        die_of_panics();
        Ok(Self { estate: Arc::new(Estate::behind(estate)), custody: Custody::by(keepsakes) })
    }

    /// What this worker was left, and what it leaves.
    pub(crate) fn estate(&self) -> Arc<Estate> {
        Arc::clone(&self.estate)
    }

    /// How this worker has connections kept that must not end with it alone.
    pub(crate) fn custody(&self) -> Custody {
        self.custody.clone()
    }

    /// Ends the process with its addresses and its table left in place, for the next worker to go on with.
    pub(crate) fn fail(&self, fault: &str) -> ! {
        // The log's thread may never come to it.
        drop(writeln!(std::io::stderr(), "holdfastd: {fault}: the next worker goes on"));
        std::process::exit(FAULT.into())
    }
}

#[expect(clippy::exit, reason = "what is in place stays so, which no orderly end would let it")]
fn die_of_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        if std::thread::current().name().is_some_and(|name| ESSENTIAL.contains(&name)) {
            std::process::exit(FAULT.into());
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_what_they_were() {
        let handles = Handles { estate: 5, pipe: 6, supervisor: 1234, keepsakes: 7 };
        assert_eq!(handles.to_string().parse(), Ok(handles));
        for wrong in ["", "1,2", "1,2,3", "a,2,3,4", "1,2,-3,4"] {
            assert!(wrong.parse::<Handles>().is_err(), "{wrong}");
        }
    }

    /// Which thread is to panic in the process that the test starts.
    const PANICS: &str = "HOLDFAST_TEST_PANICS";

    /// In a process of its own, whose end is looked at.
    #[test]
    fn a_panic_of_an_essential_thread_ends_the_worker_and_leaves_the_rest_to_the_next_one() {
        if let Ok(name) = std::env::var(PANICS) {
            die_of_panics();
            let thread = std::thread::Builder::new().name(name);
            let thread = thread.spawn(|| panic!("a fault of the daemon")).unwrap();
            assert!(thread.join().is_err());
            return;
        }
        let (_, module) = module_path!().split_once("::").unwrap();
        let name = format!(
            "{module}::a_panic_of_an_essential_thread_ends_the_worker_and_leaves_the_rest_to_the_next_one"
        );
        let ends_with = |thread: &str| {
            let mut test = std::process::Command::new(std::env::current_exe().unwrap());
            test.args(["--exact", &name]).env(PANICS, thread).output().unwrap().status.code()
        };
        for thread in ESSENTIAL {
            assert_eq!(ends_with(thread), Some(FAULT.into()), "{thread}");
        }
        assert_eq!(ends_with("tokio-runtime-worker"), Some(0));
    }
}
