//! A command in a guest that another process left up with [`Guest::keep`](super::Guest::keep).
//!
//! The guest looks into its run folder for requests: a folder with a script, to which it adds the output and the status.

use std::{
    ffi::OsString,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::{POLL, folder, script, tail::Tail};

/// Runs `argv` in the guest that was left up, in the caller's folder, and passes its output on; its exit status.
///
/// `base` is where guests have their run folders; `None` for `target/guest`.
///
/// # Errors
/// No guest, or more than one, was left up; it died; or the output can't be passed on.
pub fn enter(
    argv: &[OsString],
    base: Option<&Path>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8> {
    let base = base.map_or_else(folder::default_base, Path::to_owned);
    let guests = folder::kept(&base);
    let guest = match guests.as_slice() {
        [guest] => guest,
        [] => bail!("no guest was left up; `cargo xtask demo --keep --guest` leaves one"),
        more => bail!("{} guests were left up; end all but one with Ctrl-C", more.len()),
    };
    let request = Request::place(guest, argv)?;
    let mut stdout = Tail::new(request.0.join("stdout"));
    let mut stderr = Tail::new(request.0.join("stderr"));
    loop {
        let status = folder::read_mark(&request.0.join("status"))?;
        stdout.pass_on(out, status.is_some())?;
        stderr.pass_on(err, status.is_some())?;
        if let Some(status) = status {
            return Ok(status);
        }
        if !folder::is_owned(guest) {
            bail!("the guest is gone: the process that left it up has ended");
        }
        std::thread::sleep(POLL);
    }
}

/// A request's folder. Dropping it removes it.
struct Request(PathBuf);

impl Request {
    fn place(guest: &Path, argv: &[OsString]) -> Result<Self> {
        let cwd = std::env::current_dir().context("the current folder is gone")?;
        let script = script::command(argv, &cwd, &script::inherited(std::env::vars_os()))?;
        let folder = guest.join("requests").join(std::process::id().to_string());
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let request = Self(folder);
        // The script comes last and at once: the guest starts as soon as it sees it.
        for (name, content) in [("stdout", &[][..]), ("stderr", &[]), ("new", &script)] {
            let path = request.0.join(name);
            fs::write(&path, content)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        fs::rename(request.0.join("new"), request.0.join("command.sh"))
            .context("cannot place the request")?;
        Ok(request)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
