//! Calling cargo: what the workspace has, building it, and finding what was built.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Artifact, Message, Metadata, MetadataCommand};
use nix::fcntl::{Flock, FlockArg};

/// Features that build tests, and nothing else: those against a kernel with IPVS, those against one that has nftables besides, as
/// distributions' kernels do and the guest's does not, and those that start guests.
pub(crate) const KERNEL_TESTS: &str = "kernel-tests";
pub(crate) const STOCK_KERNEL_TESTS: &str = "stock-kernel-tests";
pub(crate) const GUEST_TESTS: &str = "guest-tests";

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    here.canonicalize().unwrap_or(here)
}

/// A call of the same cargo that runs us, at the root of the workspace.
pub(crate) fn cargo() -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// What the workspace has.
pub(crate) fn metadata() -> Result<Metadata> {
    MetadataCommand::new().current_dir(root()).no_deps().exec().context("cargo metadata failed")
}

/// Every feature that a test target of the workspace asks for, as `package/feature`, separated by commas. With them one
/// build makes all tests, and no crate is built twice.
pub(crate) fn test_features(metadata: &Metadata) -> String {
    let mut features: Vec<_> = metadata
        .packages
        .iter()
        .flat_map(|package| {
            let targets = package.targets.iter();
            targets
                .flat_map(|target| &target.required_features)
                .chain(package.features.keys().filter(|name| is_test_feature(name)))
                .map(|feature| format!("{}/{feature}", package.name))
        })
        .collect();
    features.sort();
    features.dedup();
    features.join(",")
}

fn is_test_feature(name: &str) -> bool {
    [KERNEL_TESTS, STOCK_KERNEL_TESTS, GUEST_TESTS].contains(&name)
}

/// Builds, showing cargo's progress and errors, and returns what it made.
pub(crate) fn build(arguments: &[&str]) -> Result<Vec<Artifact>> {
    let mut command = cargo();
    command.args(arguments).arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot run cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut artifacts = Vec::new();
    for message in Message::parse_stream(std::io::BufReader::new(output)) {
        // The other messages were rendered by cargo already, or are of no interest here.
        let message = message.context("cargo's output can't be understood")?;
        if let Message::CompilerArtifact(artifact) = message {
            artifacts.push(artifact);
        }
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() {
        bail!("cargo {} failed", arguments.join(" "));
    }
    Ok(artifacts)
}

/// Where binaries are built: `target/debug`, wherever the caller's cargo has that.
pub(crate) fn debug_folder(metadata: &Metadata) -> PathBuf {
    metadata.target_directory.join("debug").into_std_path_buf()
}

/// Keeps a second `test` in the same tree waiting until the value is dropped: they would share their logs.
pub(crate) fn lock(metadata: &Metadata) -> Result<Flock<File>> {
    let folder = metadata.target_directory.join("xtask").into_std_path_buf();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((file, _)) => {
            println!("Waiting for another test run in this tree ({})", path.display());
            let lock = Flock::lock(file, FlockArg::LockExclusive);
            lock.map_err(|(_, error)| error)
                .with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// A folder of ours in the target folder, emptied.
pub(crate) fn fresh_folder(metadata: &Metadata, name: &str) -> Result<PathBuf> {
    let folder = metadata.target_directory.join("xtask").join(name).into_std_path_buf();
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
