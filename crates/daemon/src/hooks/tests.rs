//! Hooks with real scripts. They need root, as the daemon does where it changes the user of a command.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

use holdfast_config::{HookEvent, Name};
use holdfast_watch::FileWatcher;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;
use tokio::net::unix::pipe;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);
/// For hooks that never end; long enough for them to have begun.
const SHORT: Duration = Duration::from_secs(6);

/// A directory of root's with scripts in it, and one that everybody may write into.
struct Scripts(TempDir);

impl Scripts {
    fn new() -> Self {
        let directory = tempfile::tempdir_in("/tmp").expect("a directory in /tmp");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("it is ours");
        let said = directory.path().join("said");
        fs::create_dir(&said).expect("it is ours");
        fs::set_permissions(&said, Permissions::from_mode(0o777)).expect("it is ours");
        Self(directory)
    }

    /// Where hooks write.
    fn said(&self, name: &str) -> PathBuf {
        self.0.path().join("said").join(name)
    }

    /// An executable script whose variable `said` is the folder to write into. Another process writes it: were it this one, a
    /// command that another test starts at that moment would hold it open for writing, and the kernel refuse to start it.
    fn shell(&self, body: &str) -> Vec<String> {
        let (draft, script) = (self.0.path().join("draft"), self.0.path().join("hook"));
        let said = self.0.path().join("said");
        fs::write(&draft, format!("#!/bin/sh\nsaid={}\n{body}\n", said.display())).expect("ours");
        let install = std::process::Command::new("install")
            .args(["-m", "755"])
            .args([&draft, &script])
            .status();
        assert!(install.expect("install (coreutils) starts").success());
        vec![script.into_os_string().into_string().expect("UTF-8"), "first".to_owned()]
    }

    /// What a hook has written there, as soon as it has.
    async fn wait_for(&self, name: &str) -> String {
        let path = self.said(name);
        // It says what there is, none at first, and then each change of that.
        let mut watcher = FileWatcher::open(&path).unwrap();
        let wait = async {
            loop {
                watcher.next().await.unwrap();
                if let Ok(text) = fs::read_to_string(&path) {
                    return text;
                }
            }
        };
        timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_elapsed| panic!("no hook has written {name}"))
    }

    /// A pipe that a hook opens by `exec 9>$said/alive`: it ends with the last process that has inherited it.
    fn alive(&self) -> Alive {
        let path = self.said("alive");
        mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        Alive(pipe::OpenOptions::new().open_receiver(&path).unwrap())
    }
}

/// The life of a hook and of all that it has started.
struct Alive(pipe::Receiver);

impl Alive {
    /// Waits for its end. The hook must have begun.
    async fn end(self) {
        let wait = async {
            loop {
                self.0.readable().await.unwrap();
                match self.0.try_read(&mut [0]) {
                    Ok(read) => return read,
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
        };
        assert_eq!(timeout(PATIENCE, wait).await.expect("a process is still there"), 0, "an end");
    }
}

fn instance(name: &str) -> Subject {
    Subject::Instance(Name::try_from(name.to_owned()).unwrap())
}

/// Hooks of some instances, which all run `command`.
fn hooks(names: &[&str], command: &[String], timeout: Duration) -> (Hooks, HookSender) {
    let on =
        BTreeSet::from([HookEvent::Active, HookEvent::Backup, HookEvent::Fault, HookEvent::Stop]);
    let command = Command { command: command.to_vec(), on, timeout };
    let lane = |name: &&str| {
        let facts = Facts { node: "lb1".to_owned(), ..Facts::default() };
        (instance(name), Lane::new(vec![command.clone()], facts))
    };
    Hooks::run(names.iter().map(lane).collect(), "nobody")
}

fn notice(name: &str, event: HookEvent, priority: u8) -> Notice {
    let state = match event {
        HookEvent::Backup => NoticeState::Backup,
        HookEvent::Fault => NoticeState::Fault,
        HookEvent::Stop => NoticeState::Stop,
        HookEvent::Active | HookEvent::Priority | HookEvent::LowerPriority => NoticeState::Active,
        HookEvent::Up => NoticeState::Up,
        HookEvent::Down => NoticeState::Down,
    };
    let (reason, at) = ("a test".to_owned(), SystemTime::now());
    Notice { subject: instance(name), event, state, priority, reason, at }
}

#[tokio::test]
async fn a_hook_has_its_own_arguments_then_keepalived_s_and_json_on_standard_input() {
    let scripts = Scripts::new();
    let command = scripts.shell(
        r#"printf '%s|' "$@" >$said/argv.new; cat >$said/stdin.new; env >$said/env.new
        for one in argv stdin env; do mv $said/$one.new $said/$one; done"#,
    );
    let (hooks, sender) = hooks(&["edge"], &command, PATIENCE);
    let notice = notice("edge", HookEvent::Active, 150);
    let json = notice.json(&Facts { node: "lb1".to_owned(), ..Facts::default() });
    sender.tell(notice);
    assert_eq!(
        scripts.wait_for("env").await.lines().count(),
        2,
        "PATH and PWD, which the shell sets"
    );
    assert_eq!(scripts.wait_for("argv").await, "first|INSTANCE|edge|MASTER|150|");
    assert_eq!(scripts.wait_for("stdin").await.into_bytes(), json);
    hooks.stop().await;
    assert_eq!(sender.counts(), HookCounts { passed: 1, ..HookCounts::default() });
}

#[tokio::test]
async fn rapid_changes_of_an_instance_are_told_in_their_order_and_those_of_others_beside_them() {
    let scripts = Scripts::new();
    // The earlier a notice, the longer its hook takes.
    let command = scripts.shell(
        r#"[ $3 = slow ] && { touch $said/slow; while [ ! -e $said/go ]; do sleep 0.02; done; }
        [ $5 -lt 5 ] && sleep 0.2
        echo $4 $5 >>$said/$3.log; [ $5 = 29 ] && mv $said/$3.log $said/$3.done; exit 0"#,
    );
    let (hooks, sender) = hooks(&["edge", "slow"], &command, PATIENCE);
    sender.tell(notice("slow", HookEvent::Active, 29));
    scripts.wait_for("slow").await;
    let event = |number| if number % 2 == 0 { HookEvent::Backup } else { HookEvent::Active };
    for number in 0..30 {
        sender.tell(notice("edge", event(number), number));
    }
    let told = scripts.wait_for("edge.done").await;
    let expected: String = (0..30)
        .map(|number| format!("{} {number}\n", if number % 2 == 0 { "BACKUP" } else { "MASTER" }))
        .collect();
    assert_eq!(told, expected);
    fs::write(scripts.said("go"), "").unwrap();
    assert_eq!(scripts.wait_for("slow.done").await, "MASTER 29\n");
    hooks.stop().await;
    assert_eq!(sender.counts(), HookCounts { passed: 31, ..HookCounts::default() });
}

#[tokio::test]
async fn a_hook_that_does_not_end_is_killed_with_its_whole_group_and_the_next_has_its_turn() {
    let scripts = Scripts::new();
    let alive = scripts.alive();
    let command = scripts.shell(
        r#"[ $4 = BACKUP ] && { touch $said/next; exit 0; }
        exec 9>$said/alive
        (trap '' TERM; sleep 1000 & touch $said/child; wait) &
        wait; sleep 1000"#,
    );
    let (hooks, sender) = hooks(&["edge"], &command, SHORT);
    sender.tell(notice("edge", HookEvent::Active, 150));
    scripts.wait_for("child").await;
    sender.tell(notice("edge", HookEvent::Backup, 150));
    scripts.wait_for("next").await;
    alive.end().await;
    hooks.stop().await;
    let expected = HookCounts { passed: 1, timed_out: 1, ..HookCounts::default() };
    assert_eq!(sender.counts(), expected);
}

#[tokio::test]
async fn hostile_output_ends_nothing_and_a_hook_that_reads_nothing_is_not_waited_for() {
    let scripts = Scripts::new();
    let command =
        scripts.shell("exec <&-; head -c 3000000 /dev/urandom; printf '\\033[31m%s' x >&2; exit 7");
    let (hooks, sender) = hooks(&["edge"], &command, PATIENCE);
    sender.tell(notice("edge", HookEvent::Fault, 150));
    hooks.stop().await;
    assert_eq!(sender.counts(), HookCounts { failed: 1, ..HookCounts::default() });
}

#[tokio::test]
async fn at_the_stop_only_the_last_word_is_told_and_nothing_outlives_the_daemon() {
    let scripts = Scripts::new();
    let alive = scripts.alive();
    let command = scripts.shell(
        r#"[ $3 = hung ] && { exec 9>$said/alive; touch $said/hung; sleep 1000; }
        [ $5 = 1 ] && { touch $said/began; while [ ! -e $said/go ]; do sleep 0.02; done; }
        echo $4 $5 >>$said/log"#,
    );
    let (hooks, sender) = hooks(&["edge", "hung"], &command, PATIENCE);
    sender.tell(notice("hung", HookEvent::Active, 1));
    scripts.wait_for("hung").await;
    sender.tell(notice("edge", HookEvent::Active, 1));
    scripts.wait_for("began").await;
    for number in 2..20 {
        sender.tell(notice("edge", HookEvent::Backup, number));
    }
    sender.tell(notice("edge", HookEvent::Stop, 20));
    fs::write(scripts.said("go"), "").unwrap();
    hooks.stop().await;
    let log = fs::read_to_string(scripts.said("log")).unwrap();
    assert!(log.starts_with("MASTER 1\n") && log.ends_with("STOP 20\n"), "{log}");
    alive.end().await;
    let dropped = sender.counts().dropped;
    assert_eq!(u64::try_from(log.lines().count()).unwrap() + dropped, 20, "{log}");
}

#[tokio::test]
async fn what_no_hook_wants_to_know_runs_nothing() {
    let scripts = Scripts::new();
    let command = scripts.shell("exit 0");
    let (hooks, sender) = hooks(&["edge"], &command, PATIENCE);
    sender.tell(notice("edge", HookEvent::Priority, 150));
    sender.tell(notice("other", HookEvent::Active, 150));
    hooks.stop().await;
    assert_eq!(sender.counts(), HookCounts::default());
}

#[tokio::test]
async fn a_user_that_does_not_exist_is_counted_and_not_taken_for_a_failure_of_the_hook() {
    let command = Command {
        command: vec!["/bin/true".to_owned()],
        on: BTreeSet::from([HookEvent::Active]),
        timeout: PATIENCE,
    };
    let lane = Lane::new(vec![command.clone(), command], Facts::default());
    let (hooks, sender) =
        Hooks::run(HashMap::from([(instance("edge"), lane)]), "no-such-user-here");
    sender.tell(notice("edge", HookEvent::Active, 1));
    hooks.stop().await;
    assert_eq!(sender.counts(), HookCounts { not_started: 2, ..HookCounts::default() });
}

#[tokio::test]
async fn at_the_stop_a_hook_that_hangs_gives_way_to_the_last_word() {
    let scripts = Scripts::new();
    let alive = scripts.alive();
    let command = scripts.shell(
        r#"[ $4 = STOP ] && { echo stopped >$said/stop; exit 0; }
        exec 9>$said/alive; touch $said/hung; sleep 1000"#,
    );
    let (hooks, sender) = hooks(&["edge"], &command, PATIENCE);
    sender.tell(notice("edge", HookEvent::Active, 1));
    scripts.wait_for("hung").await;
    sender.tell(notice("edge", HookEvent::Stop, 1));
    hooks.stop().await;
    alive.end().await;
    assert_eq!(fs::read_to_string(scripts.said("stop")).unwrap(), "stopped\n");
}

/// The fault is the daemon's own, so that no script can bring it about.
#[tokio::test]
async fn a_run_that_panics_is_over_and_what_waits_has_its_turn() {
    let command = Command {
        command: vec!["/bin/true".to_owned()],
        on: BTreeSet::from([HookEvent::Active]),
        timeout: PATIENCE,
    };
    let lane = Lane::new(vec![command], Facts::default());
    let mut runner = Runner {
        lanes: HashMap::from([(instance("a"), lane)]),
        ready: VecDeque::new(),
        runs: JoinSet::new(),
        subjects: HashMap::new(),
        user: "nobody".into(),
        counters: Arc::new(Counters::default()),
        events: Events::new(),
    };
    runner.take(notice("a", HookEvent::Active, 1));
    runner.ready.clear();
    let run = runner.runs.spawn(async { panic!("a fault of the daemon") });
    runner.subjects.insert(run.id(), (instance("a"), run));
    let ended = runner.runs.join_next_with_id().await.expect("a run");
    runner.ended(ended.map(|(id, ())| id));
    assert_eq!(runner.ready, [instance("a")]);
}
