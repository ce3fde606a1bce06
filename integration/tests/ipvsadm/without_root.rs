//! Who may not: both programs say so alike.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::{fs, thread};

use crate::program::{IPVSADM, enter_namespace, holdfast, said};

/// The user `nobody`.
const NOBODY: u32 = 65534;

#[test]
fn without_root_nothing_works_and_both_say_why() {
    // Where nobody may read it.
    let folder = std::env::temp_dir().join(format!("holdfast-ipvsadm-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let ours = folder.join("ipvsadm");
    fs::copy(holdfast(), &ours).unwrap();
    thread::spawn(move || {
        enter_namespace();
        for line in ["", "-L -n", "-S", "-v", "--nosuch", "-A -t 10.0.0.1:80", "-C"] {
            let as_nobody = |program: &Path| {
                let mut command = Command::new(program);
                command.arg0("ipvsadm").args(line.split_whitespace()).uid(NOBODY).gid(NOBODY);
                said(command, b"")
            };
            let (theirs, ours) = (as_nobody(Path::new(IPVSADM)), as_nobody(&ours));
            assert_eq!(theirs, ours, "{line}");
            assert_eq!(theirs.code, 2, "{line}");
            assert!(theirs.err.contains("Permission denied (you must be root)"), "{}", theirs.err);
        }
    })
    .join()
    .unwrap();
    fs::remove_dir_all(folder).unwrap();
}
