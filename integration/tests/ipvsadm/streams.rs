//! Streams that are closed, full, or no files.

use std::fs::{self, File};
use std::io::pipe;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use ipvs_ctl::client::Client;
use nix::libc::SIGPIPE;

use crate::program::{IPVSADM, Said, enter_namespace, holdfast, holdfast_ipvs, said};

/// Runs `test` in a namespace of its own that has one service, with a folder for it.
fn with_a_service(name: &str, test: impl FnOnce(&Path, &mut Client) + Send + 'static) {
    let folder = std::env::temp_dir().join(format!("holdfast-{name}-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    // A program is called by the name of the link.
    std::os::unix::fs::symlink(holdfast(), folder.join("ipvsadm")).unwrap();
    let inside = folder.clone();
    let body = move || {
        enter_namespace();
        assert_eq!(holdfast_ipvs("-A -t 10.0.0.1:80 -s rr", "").code, 0);
        test(&inside, &mut Client::open().unwrap());
    };
    thread::spawn(body).join().unwrap();
    fs::remove_dir_all(folder).unwrap();
}

/// What a shell's command line says.
fn shell(line: &str) -> Said {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(line);
    said(command, b"")
}

#[test]
fn streams_that_are_closed_or_directories_are_the_same_to_both_programs() {
    with_a_service("streams", |folder, client| {
        let ours = folder.join("ipvsadm");
        let before = client.table().unwrap();
        for rest in [
            "-R < /",
            "-R <&-",
            "-L -n >&-",
            "-S >&-",
            "-A -t 10.0.0.1:80 2>&-",
            "-L -n <&- >&- 2>&-",
            "-L -n 2>/dev/full",
        ] {
            let theirs = shell(&format!("{IPVSADM} {rest}"));
            assert_eq!(shell(&format!("{} {rest}", ours.display())), theirs, "{rest}");
        }
        assert_eq!(client.table().unwrap(), before);
    });
}

#[test]
fn a_listing_that_nobody_takes_or_that_finds_no_room_is_no_success() {
    with_a_service("readers", |folder, _client| {
        let ours = folder.join("ipvsadm");
        for words in ["-L -n", "-S", "-h"] {
            let unread = |program: &Path| {
                let (reader, writer) = pipe().unwrap();
                drop(reader);
                let mut command = Command::new(program);
                command.args(words.split(' ')).stdin(Stdio::null()).stdout(writer);
                let status = command.status().unwrap();
                std::os::unix::process::ExitStatusExt::signal(&status)
                    .map_or_else(|| status.code(), |by| Some(128 + by))
            };
            assert_eq!(unread(Path::new(IPVSADM)), Some(128 + SIGPIPE), "{words}");
            assert_eq!(unread(&ours), Some(128 + SIGPIPE), "{words}");
            let full = shell(&format!("{} {words} >/dev/full", ours.display()));
            assert_eq!((full.code, full.out.as_str()), (1, ""), "{words}");
            assert!(full.err.contains("write the answer: No space left"), "{}", full.err);
        }
    });
}

#[test]
fn a_restore_from_nothing_clears_nothing() {
    with_a_service("nothing", |folder, client| {
        let before = client.table().unwrap();
        let program = holdfast();
        let program = program.display();
        let empty = folder.join("empty");
        File::create(&empty).unwrap();
        for rest in [
            "restore <&-".to_owned(),
            "restore </dev/null".to_owned(),
            "restore --dry-run </dev/null".to_owned(),
            format!("restore {}", empty.display()),
            // Nothing is left of it.
            "restore --continue </proc/version".to_owned(),
        ] {
            let said = shell(&format!("{program} ipvs {rest}"));
            assert_eq!((said.code, said.out.as_str()), (1, ""), "{rest}");
            assert!(said.err.contains("no rules to restore: nothing was changed"), "{}", said.err);
        }
        for (rest, sentence) in [
            ("restore /".to_owned(), "Is a directory"),
            ("restore </".to_owned(), "Is a directory"),
            (format!("restore {}/absent", folder.display()), "No such file"),
        ] {
            let said = shell(&format!("{program} ipvs {rest}"));
            assert_eq!(said.code, 1, "{rest}");
            assert!(said.err.contains(sentence), "{rest}: {}", said.err);
        }
        assert_eq!(client.table().unwrap(), before);
        // Who means it says it: what `save --full` writes of an empty table.
        assert_eq!(holdfast_ipvs("restore", "--set 900 120 300\n").code, 0);
        assert!(client.table().unwrap().is_empty());
    });
}
