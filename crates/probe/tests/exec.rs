//! The exec check with real commands. It needs root, as the daemon does where it changes the user of a command.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use holdfast_config::Convention;
use holdfast_health::{Asked, Code, Feedback, Outcome, Verdict};
use holdfast_probe::{Exec, OUTPUT_LIMIT, Probe, has_control_groups};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, User, geteuid, mkfifo};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

/// Long enough for any command that ends by itself.
const PATIENCE: Duration = Duration::from_secs(20);
/// For commands that never end; long enough for them to have begun.
const SHORT: Duration = Duration::from_secs(6);

const USER: &str = "nobody";

/// A directory of root's with scripts in it.
struct Scripts(TempDir);

impl Scripts {
    fn new() -> Self {
        assert!(geteuid().is_root(), "this test changes the user of commands: run it as root");
        let directory = tempfile::tempdir_in("/tmp").expect("a directory in /tmp");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("it is ours");
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// An executable script. Another process writes it: were it this one, a command that another test starts at that moment would
    /// hold it open for writing, and the kernel refuse to start it.
    fn write(&self, body: &str, mode: &str) -> String {
        let (draft, script) = (self.path("draft"), self.path("check"));
        fs::write(&draft, body).expect("a file of ours");
        let status = Command::new("install").arg("-m").arg(mode).args([&draft, &script]).status();
        assert!(status.expect("install (coreutils) starts").success());
        script.into_os_string().into_string().expect("an UTF-8 path")
    }

    fn shell(&self, body: &str) -> Probe {
        probe(vec![self.write(&format!("#!/bin/sh\n{body}\n"), "0755")])
    }

    /// A FIFO that every user can open, and its reading end.
    fn fifo(&self) -> (String, pipe::Receiver) {
        let path = self.path("fifo");
        mkfifo(&path, Mode::from_bits_truncate(0o600)).expect("a FIFO");
        fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("it is ours");
        let receiver = pipe::OpenOptions::new().open_receiver(&path).expect("its reading end");
        (path.into_os_string().into_string().expect("an UTF-8 path"), receiver)
    }
}

fn probe(command: Vec<String>) -> Probe {
    let address = "[2001:db8::11]:53".parse().expect("an address");
    Probe::Exec(Exec::new(command, USER, "dns", "ns1", address))
}

/// Asserts verdict and code, and returns what the sentence says after the program's name.
fn said(outcome: &Outcome, verdict: Verdict, code: Code) -> &str {
    assert_eq!((outcome.verdict, outcome.reason.code), (verdict, code), "{}", outcome.reason);
    let sentence = &outcome.reason.sentence;
    sentence.split_once("/check: ").map_or(sentence, |(_, rest)| rest)
}

/// What a script prints on its first line.
async fn printed(body: &str) -> String {
    let outcome = Scripts::new().shell(body).run(PATIENCE).await;
    let said = said(&outcome, Verdict::Pass, Code::PROCOK);
    said.strip_prefix("exit status 0: ").expect("the script prints").to_owned()
}

/// Reads a FIFO to its end, which comes when nobody that could write to it is left.
async fn everything(mut fifo: pipe::Receiver) -> String {
    let mut read = String::new();
    let end = tokio::time::timeout(PATIENCE, fifo.read_to_string(&mut read)).await;
    end.expect("nobody holds the FIFO any more").expect("a readable FIFO");
    read
}

#[tokio::test]
async fn exit_0_passes_and_any_other_fails_with_its_number_and_first_line() {
    let scripts = Scripts::new();
    let outcome = scripts.shell("exit 0").run(PATIENCE).await;
    assert_eq!(said(&outcome, Verdict::Pass, Code::PROCOK), "exit status 0");
    let outcome = scripts.shell("echo; echo no answer >&2; echo more; exit 3").run(PATIENCE).await;
    assert_eq!(said(&outcome, Verdict::Fail, Code::PROCERR), "exit status 3: no answer");
    let outcome = scripts.shell("no-such-command").run(PATIENCE).await;
    assert!(said(&outcome, Verdict::Fail, Code::PROCERR).starts_with("exit status 127: "));
}

#[tokio::test]
async fn a_signal_is_named() {
    let outcome = Scripts::new().shell("kill -SEGV $$").run(PATIENCE).await;
    assert_eq!(said(&outcome, Verdict::Fail, Code::PROCERR), "killed by SIGSEGV");
}

#[tokio::test]
async fn it_runs_as_the_user_without_any_other_group_or_capability() {
    let user = User::from_name(USER).unwrap().unwrap();
    let (uid, gid) = (user.uid, user.gid);
    assert_eq!(printed("echo $(id -u) $(id -g) $(id -G)").await, format!("{uid} {gid} {gid}"));
    let capabilities = printed("echo $(sed -n 's/^Cap[EPA].*:.//p' /proc/self/status)").await;
    assert_eq!(capabilities, ["0000000000000000"; 3].join(" "));
}

#[tokio::test]
async fn its_environment_is_what_is_documented_and_nothing_else() {
    let outcome = probe(vec!["/usr/bin/env".to_owned(), "-0".to_owned()]).run(PATIENCE).await;
    let sentence = outcome.reason.sentence;
    let list = sentence.strip_prefix("/usr/bin/env: exit status 0: ").expect("env prints");
    // The end of each is a NUL, which is not printable.
    let mut variables: Vec<&str> = list.split_terminator('\u{fffd}').collect();
    variables.sort_unstable();
    assert_eq!(
        variables,
        [
            "HOLDFAST_ADDRESS=2001:db8::11",
            "HOLDFAST_PORT=53",
            "HOLDFAST_SERVER=ns1",
            "HOLDFAST_SERVICE=dns",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ]
    );
}

#[tokio::test]
async fn it_runs_in_the_root_directory_without_input() {
    assert_eq!(printed("echo $(pwd) $(readlink /proc/self/fd/0)").await, "/ /dev/null");
}

#[tokio::test]
async fn it_leads_a_process_group_of_its_own() {
    assert_eq!(printed("test $$ = $(cut -d' ' -f5 /proc/$$/stat) && echo leads").await, "leads");
}

#[tokio::test]
async fn arguments_pass_no_shell() {
    let arguments = ["/bin/echo", "$HOME; `id`", "*", "a  b"].map(str::to_owned);
    let outcome = probe(arguments.to_vec()).run(PATIENCE).await;
    assert_eq!(outcome.reason.sentence, "/bin/echo: exit status 0: $HOME; `id` * a  b");
}

#[tokio::test]
async fn a_command_that_hangs_and_ignores_signals_dies_with_its_children() {
    let scripts = Scripts::new();
    let (fifo, reader) = scripts.fifo();
    let body = format!(
        "trap '' TERM INT HUP QUIT\nexec 3>{fifo}\necho begun >&3\nsleep 1000 &\necho waiting\nsleep 1000"
    );
    let outcome = scripts.shell(&body).run(SHORT).await;
    let said = said(&outcome, Verdict::Fail, Code::PROCTOUT);
    assert_eq!(said, "still running after 6s, killed; it said: waiting");
    assert_eq!(everything(reader).await, "begun\n");
}

#[tokio::test]
async fn a_run_that_is_dropped_kills_the_group() {
    let scripts = Scripts::new();
    let (fifo, mut reader) = scripts.fifo();
    let body = format!("exec 3>{fifo}\nsleep 1000 &\nprintf x >&3\nsleep 1000");
    let probe = scripts.shell(&body);
    let begun = async {
        reader.readable().await.expect("a readable FIFO");
        loop {
            // Before the script has opened it, a FIFO is at its end.
            match reader.read_u8().await {
                Ok(byte) => break byte,
                Err(_at_end) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::select! {
        outcome = probe.run(PATIENCE) => panic!("it ended: {}", outcome.reason),
        byte = begun => assert_eq!(byte, b'x'),
    }
    assert_eq!(everything(reader).await, "");
}

#[tokio::test]
async fn what_a_command_leaves_behind_neither_holds_the_run_nor_lives_on() {
    let scripts = Scripts::new();
    let (fifo, reader) = scripts.fifo();
    // The child has both the output's pipe and the FIFO.
    let body = format!("exec 3>{fifo}\necho begun >&3\nsleep 1000 &\necho done");
    let outcome = scripts.shell(&body).run(PATIENCE).await;
    assert_eq!(said(&outcome, Verdict::Pass, Code::PROCOK), "exit status 0: done");
    assert_eq!(everything(reader).await, "begun\n");
}

/// It dies, too, where the kernel lets root have control groups; elsewhere it is on its own.
#[tokio::test]
async fn a_child_that_left_the_group_does_not_hold_the_run() {
    let scripts = Scripts::new();
    let (fifo, reader) = scripts.fifo();
    let body = format!(
        "exec 3>{fifo}\nsetsid sleep 1000 &\n\
         until test \"$(cut -d' ' -f5 /proc/$!/stat)\" = $!; do :; done\necho $!"
    );
    let outcome = scripts.shell(&body).run(PATIENCE).await;
    let said = said(&outcome, Verdict::Pass, Code::PROCOK);
    let pid = said.rsplit(' ').next().and_then(|pid| pid.parse().ok()).expect("a number");
    if has_control_groups() {
        assert_eq!(everything(reader).await, "", "the kernel has let go of it");
    } else {
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
    }
}

#[tokio::test]
async fn it_can_gain_no_privilege_and_use_no_more_than_its_part() {
    let said = printed("sed -n 's/^NoNewPrivs:.//p' /proc/self/status").await;
    assert_eq!(said, "1");
    let limits = printed("echo $(ulimit -c) $(ulimit -n) $(ulimit -f)").await;
    // Of descriptors there may be fewer to begin with; files are counted in blocks of 512 bytes.
    let mut limits = limits.split(' ').map(|limit| limit.parse::<u64>().expect("a number"));
    assert_eq!(limits.next(), Some(0));
    assert!(limits.next().is_some_and(|descriptors| descriptors <= 1024));
    assert_eq!(limits.next(), Some((64 << 20) / 512));
}

#[tokio::test]
async fn a_command_that_wants_all_the_memory_gets_none_of_it() {
    // tail keeps what it has read until a line ends.
    let outcome = Scripts::new().shell("tail -n 1 /dev/zero").run(PATIENCE).await;
    let said = said(&outcome, Verdict::Fail, Code::PROCERR);
    assert!(said.contains("memory exhausted") || said.contains("allocate"), "{said}");
}

#[tokio::test]
async fn a_command_that_forks_without_end_dies_whole() {
    let scripts = Scripts::new();
    let (fifo, reader) = scripts.fifo();
    // Fifty children, each with children; all hold the FIFO.
    let body = format!(
        "trap '' TERM HUP\nexec 3>{fifo}\n\
         i=0; while [ $i -lt 50 ]; do (sleep 1000 & sleep 1000) & i=$((i+1)); done\nsleep 1000"
    );
    let outcome = scripts.shell(&body).run(SHORT).await;
    assert_eq!(outcome.reason.code, Code::PROCTOUT, "{}", outcome.reason);
    assert_eq!(everything(reader).await, "");
}

#[tokio::test]
async fn output_is_read_to_its_end_and_only_its_begin_is_kept() {
    let outcome = Scripts::new().shell("yes | head -c 1000000000; exit 4").run(PATIENCE).await;
    assert_eq!(said(&outcome, Verdict::Fail, Code::PROCERR), "exit status 4: y");
    let outcome = Scripts::new().shell("head -c 100000 /dev/zero | tr '\\0' x").run(PATIENCE).await;
    assert!(outcome.reason.sentence.chars().count() < OUTPUT_LIMIT);
    assert!(outcome.reason.sentence.ends_with("xxx…"), "{}", outcome.reason);
}

#[tokio::test]
async fn a_flood_without_end_times_out() {
    let outcome = Scripts::new().shell("exec yes").run(SHORT).await;
    let said = said(&outcome, Verdict::Fail, Code::PROCTOUT);
    assert_eq!(said, "still running after 6s, killed; it said: y");
}

#[tokio::test]
async fn a_file_that_cannot_be_started_says_why_and_nothing_of_the_server() {
    let scripts = Scripts::new();
    let script = scripts.write("#!/bin/sh\n", "0644");
    let outcome = probe(vec![script.clone()]).run(PATIENCE).await;
    assert_eq!(
        said(&outcome, Verdict::Inconclusive, Code::SOCKERR),
        format!("start {script} as nobody: permission denied (EACCES)")
    );

    fs::remove_file(&script).unwrap();
    let outcome = probe(vec![script.clone()]).run(PATIENCE).await;
    assert_eq!(
        said(&outcome, Verdict::Inconclusive, Code::SOCKERR),
        "no such file or directory (ENOENT)"
    );

    let outcome = probe(vec!["/usr".to_owned()]).run(PATIENCE).await;
    assert_eq!(
        said(&outcome, Verdict::Inconclusive, Code::SOCKERR),
        "refused to start /usr: /usr is not a regular file"
    );

    let script = scripts.write("#!/no/such/interpreter\n", "0755");
    let Probe::Exec(exec) = probe(vec![script.clone()]) else { panic!("a command") };
    let outcome = Probe::Exec(exec.clone()).run(PATIENCE).await;
    let sentence = said(&outcome, Verdict::Inconclusive, Code::SOCKERR);
    assert!(sentence.ends_with("(ENOENT); what its first line names is not there"), "{sentence}");
    // What is no check of a server has failed.
    assert_eq!(exec.run_apart(PATIENCE).await.verdict, Verdict::Fail);
}

/// The C library would hand such a file to a shell.
#[tokio::test]
async fn a_script_without_an_interpreter_is_not_handed_to_a_shell() {
    let scripts = Scripts::new();
    for body in ["exit 0\n", ""] {
        let outcome = probe(vec![scripts.write(body, "0755")]).run(PATIENCE).await;
        assert_eq!(
            said(&outcome, Verdict::Inconclusive, Code::SOCKERR),
            "neither a program nor a script: a script begins with a line such as #!/bin/sh"
        );
    }
}

#[tokio::test]
async fn root_starts_nothing_that_others_could_change() {
    let scripts = Scripts::new();
    let outcome = probe(vec![scripts.write("#!/bin/sh\n", "0775")]).run(PATIENCE).await;
    let sentence = said(&outcome, Verdict::Inconclusive, Code::SOCKERR);
    assert!(sentence.contains("is writable by group or others (mode 0775)"), "{sentence}");

    let script = scripts.write("#!/bin/sh\n", "0755");
    fs::set_permissions(scripts.0.path(), Permissions::from_mode(0o777)).unwrap();
    let outcome = probe(vec![script]).run(PATIENCE).await;
    let sentence = said(&outcome, Verdict::Inconclusive, Code::SOCKERR);
    let directory = format!("{} is writable", scripts.0.path().display());
    assert!(sentence.contains(&directory), "{sentence}");
}

#[tokio::test]
async fn what_the_host_lacks_is_no_fault_of_the_server() {
    let address = "127.0.0.1:53".parse().unwrap();
    let command = |program: &str| vec![program.to_owned()];
    for (exec, words) in [
        (Exec::new(command("/bin/true"), "no-such-user", "dns", "ns1", address), "does not exist"),
        (Exec::new(command("/bin/true"), "root", "dns", "ns1", address), "is root"),
        (Exec::new(command("true"), USER, "dns", "ns1", address), "not an absolute path"),
        (Exec::new(Vec::new(), USER, "dns", "ns1", address), "not an absolute path"),
    ] {
        let outcome = Probe::Exec(exec).run(PATIENCE).await;
        let sentence = said(&outcome, Verdict::Inconclusive, Code::SOCKERR);
        assert!(sentence.contains(words), "{sentence}");
    }
}

/// A script that is given `input` on its standard input.
async fn given(body: &str, input: Vec<u8>) -> Outcome {
    let scripts = Scripts::new();
    let command = vec![scripts.write(&format!("#!/bin/sh\n{body}\n"), "0755")];
    Exec {
        command,
        user: USER.to_owned(),
        environment: Vec::new(),
        input,
        convention: Convention::Plain,
        gains: false,
    }
    .run_apart(PATIENCE)
    .await
}

#[tokio::test]
async fn its_input_arrives_whole_and_ends_and_without_one_there_is_nothing_to_read() {
    // More than a pipe holds.
    let outcome = given("wc -c", vec![b'x'; 200_000]).await;
    assert_eq!(said(&outcome, Verdict::Pass, Code::PROCOK), "exit status 0: 200000");
    let outcome = given("readlink /proc/self/fd/0", Vec::new()).await;
    assert_eq!(said(&outcome, Verdict::Pass, Code::PROCOK), "exit status 0: /dev/null");
}

#[tokio::test]
async fn a_command_that_does_not_read_its_input_ends_as_it_would_without() {
    let input = || vec![b'x'; 200_000];
    let outcome = given("exit 3", input()).await;
    assert_eq!(said(&outcome, Verdict::Fail, Code::PROCERR), "exit status 3");
    let outcome = given("exec <&-; head -c 100000 /dev/zero | wc -c", input()).await;
    assert_eq!(said(&outcome, Verdict::Pass, Code::PROCOK), "exit status 0: 100000");
}

#[tokio::test]
async fn a_plugin_of_nagios_warns_and_may_not_know() {
    let scripts = Scripts::new();
    for (status, verdict, code) in [
        (0, Verdict::Pass, Code::PROCOK),
        (1, Verdict::Pass, Code::PROCOK),
        (2, Verdict::Fail, Code::PROCERR),
        (3, Verdict::Inconclusive, Code::SOCKERR),
        (4, Verdict::Fail, Code::PROCERR),
    ] {
        let Probe::Exec(exec) = scripts.shell(&format!("echo LDAP; exit {status}")) else {
            panic!("a command")
        };
        let outcome =
            Probe::Exec(Exec { convention: Convention::Nagios, ..exec }).run(PATIENCE).await;
        assert_eq!((outcome.verdict, outcome.reason.code), (verdict, code), "{}", outcome.reason);
        assert!(outcome.reason.sentence.ends_with(&format!("exit status {status}: LDAP")));
    }
}

/// keepalived's `misc_dynamic`.
#[tokio::test]
async fn an_exit_status_can_be_a_weight() {
    let scripts = Scripts::new();
    for (status, verdict, weight) in [
        (0, Verdict::Pass, None),
        (1, Verdict::Fail, None),
        (2, Verdict::Pass, Some(0)),
        (3, Verdict::Pass, Some(1)),
        (255, Verdict::Pass, Some(253)),
    ] {
        let Probe::Exec(exec) = scripts.shell(&format!("exit {status}")) else {
            panic!("a command")
        };
        let exec = Exec { convention: Convention::Weight, ..exec };
        let found = Probe::Exec(exec).find(PATIENCE).await;
        assert_eq!(found.outcome.verdict, verdict, "{}", found.outcome.reason);
        let weight = weight.map(Asked::Weight);
        assert_eq!(found.feedback, Feedback { weight, wish: None }, "exit status {status}");
    }
}

#[tokio::test]
async fn a_command_that_dies_or_is_late_says_nothing_of_a_weight() {
    let scripts = Scripts::new();
    for body in ["kill -9 $$", "exec sleep 300"] {
        let Probe::Exec(exec) = scripts.shell(body) else { panic!("a command") };
        let exec = Exec { convention: Convention::Weight, ..exec };
        let found = Probe::Exec(exec).find(SHORT).await;
        assert_eq!(found.outcome.verdict, Verdict::Fail, "{}", found.outcome.reason);
        assert_eq!(found.feedback, Feedback::NONE);
    }
}
