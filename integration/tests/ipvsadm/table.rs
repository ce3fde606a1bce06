//! The table of command lines, run by both programs.
//!
//! Each program has one namespace for the whole table. Every scenario begins with an empty table, no sync daemon and the kernel's
//! timeouts, which is all that a namespace keeps of what these commands do: counters and connections belong to services that are gone.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;

use ipvs_ctl::client::{Client, Status};
use ipvs_ctl::model::{SyncDaemon, SyncRole, Timeouts};

use crate::differences::touched;
use crate::program::{IPVSADM, Said, enter_namespace, holdfast, ipvsadm, run};
use crate::script::{Scenario, scenarios};

/// The kernel's own timeouts.
const TIMEOUTS: Timeouts = Timeouts { tcp_s: 900, tcp_fin_s: 120, udp_s: 300 };

/// What a step left behind.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    table: Status,
    timeouts: Timeouts,
    daemons: Vec<SyncDaemon>,
}

/// What became of a scenario: its steps, and what the real ipvsadm saves at the end.
type Outcome = (Vec<(Said, Left)>, String);

#[test]
fn both_programs_say_and_do_the_same() {
    let ours = holdfast();
    let theirs = column(Path::new(IPVSADM));
    let ours = column(&ours);
    let (mut wrong, mut steps) = (Vec::new(), 0);
    let mut unused: BTreeSet<String> = BTreeSet::new();
    for ((scenario, theirs), ours) in scenarios().iter().zip(&theirs).zip(&ours) {
        let mut touched_table = false;
        for ((step, theirs), ours) in scenario.steps.iter().zip(&theirs.0).zip(&ours.0) {
            steps += 1;
            let may = touched(step.difference.as_deref());
            touched_table |= may.table;
            let (theirs, ours) = ((&theirs.0, &theirs.1), (&ours.0, &ours.1));
            let differs = [
                (may.code, theirs.0.code != ours.0.code, "status"),
                (may.out, theirs.0.out != ours.0.out, "standard output"),
                (may.err, theirs.0.err != ours.0.err, "standard error"),
                (may.table, theirs.1 != ours.1, "table"),
            ];
            for (allowed, differs, what) in differs {
                if differs && !allowed {
                    wrong.push(format!(
                        "cases.txt:{} {} [{}]: {what}\n  ipvsadm  {theirs:?}\n  holdfast {ours:?}",
                        step.number, step.shown, scenario.title
                    ));
                }
            }
            if let Some(name) = &step.difference
                && !differs.iter().any(|(_, differs, _)| *differs)
            {
                unused.insert(format!("cases.txt:{} {name} differs in nothing", step.number));
            }
        }
        if theirs.1 != ours.1 && !touched_table {
            let (title, theirs, ours) = (&scenario.title, &theirs.1, &ours.1);
            wrong.push(format!("[{title}] saved\n  ipvsadm\n{theirs}\n  holdfast\n{ours}"));
        }
    }
    wrong.extend(unused);
    assert!(wrong.is_empty(), "{} of {steps} steps:\n{}", wrong.len(), wrong.join("\n"));
    assert!(steps >= 200, "only {steps} command lines");
}

/// Runs the whole table by one program in a namespace of its own.
fn column(program: &Path) -> Vec<Outcome> {
    let program = program.to_str().expect("a path in UTF-8").to_owned();
    let thread = thread::spawn(move || {
        enter_namespace();
        let mut client = Client::open().unwrap();
        scenarios().iter().map(|scenario| play(&program, scenario, &mut client)).collect()
    });
    thread.join().expect("the column ends")
}

fn play(program: &str, scenario: &Scenario, client: &mut Client) -> Outcome {
    client.flush().unwrap();
    for role in [SyncRole::Master, SyncRole::Backup] {
        // Most often there is none.
        let _stopped = client.stop_daemon(role);
    }
    client.set_timeouts(&TIMEOUTS).unwrap();
    let steps = scenario.steps.iter().map(|step| {
        let said = run(program, "ipvsadm", &step.words, &step.input);
        let left = Left {
            table: client.status().unwrap(),
            timeouts: client.timeouts().unwrap(),
            daemons: client.daemons().unwrap(),
        };
        (said, left)
    });
    let steps = steps.collect();
    (steps, ipvsadm("-S -n").out)
}
