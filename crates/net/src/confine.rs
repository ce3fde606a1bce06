//! What a child process gives up before it becomes a program: privileges that programs can give, and resources.
//!
//! It happens in the child between fork and exec, as the user that the program runs as.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::prctl::set_no_new_privs;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What a child process gives up.
#[derive(Debug)]
pub struct Confinement {
    /// Whether a program with the set-user-ID bit or capabilities of its own gives it nothing (PR_SET_NO_NEW_PRIVS).
    pub no_new_privileges: bool,
    /// Limits of resources (setrlimit(2)), in the kernel's units. One that this process has less of stays as it is.
    pub limits: Vec<(Resource, u64)>,
    /// The file `cgroup.procs`, open for writing, of the control group that it enters.
    pub group: Option<File>,
}

/// Has the child that `command` starts give these up. A child that can't is not started, and the start fails with what the kernel
/// answered.
#[expect(
    unsafe_code,
    reason = "the standard library's way to do something between fork and exec is unsafe"
)]
pub fn confine(command: &mut Command, confinement: Confinement) {
    let Confinement { no_new_privileges, mut limits, group } = confinement;
    for (resource, limit) in &mut limits {
        // Nobody but root may have more than the hard limit that he has; none is known, none is exceeded.
        if let Ok((_, hard)) = getrlimit(*resource) {
            *limit = (*limit).min(hard);
        }
    }
    let give_up = move || -> io::Result<()> {
        if let Some(group) = &group {
            enter(group)?;
        }
        for (resource, limit) in &limits {
            setrlimit(*resource, *limit, *limit)?;
        }
        if no_new_privileges {
            set_no_new_privs()?;
        }
        Ok(())
    };
    // JUSTIFICATION: limits and PR_SET_NO_NEW_PRIVS belong to the child alone, and nothing safe runs there before the program.
    // SAFETY: the closure makes system calls that are async-signal-safe (write, setrlimit, prctl) and returns; it allocates nothing,
    // takes no lock, and touches only memory that it owns, which the fork has copied.
    unsafe { command.pre_exec(give_up) };
}

/// Enters the control group whose `cgroup.procs` this is: 0 stands for who writes.
fn enter(group: &File) -> io::Result<()> {
    let written = nix::unistd::write(group, b"0");
    match written {
        Ok(_) => Ok(()),
        // The group was removed meanwhile: it kills nobody any more, and the process group does.
        Err(Errno::ENODEV) => Ok(()),
        Err(errno) => Err(io::Error::from_raw_os_error(errno as i32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_has_the_limits_and_can_gain_nothing() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "ulimit -c; ulimit -n; grep NoNewPrivs /proc/self/status"]);
        let limits = vec![(Resource::RLIMIT_CORE, 0), (Resource::RLIMIT_NOFILE, 64)];
        confine(&mut command, Confinement { no_new_privileges: true, limits, group: None });
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n64\nNoNewPrivs:\t1\n");
    }

    #[test]
    fn no_limit_is_raised() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "ulimit -Hn"]);
        let limits = vec![(Resource::RLIMIT_NOFILE, u64::MAX)];
        confine(&mut command, Confinement { no_new_privileges: false, limits, group: None });
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let hard = if hard == u64::MAX { "unlimited".to_owned() } else { hard.to_string() };
        assert_eq!(said.trim(), hard);
    }
}
