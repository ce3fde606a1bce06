//! The journal on a real disk: what comes back, what does not, and who waits for what.

use std::sync::mpsc::sync_channel;

use holdfast_engine::overlay::{Presence, Said, Wish};

use super::*;

fn name(text: &str) -> Name {
    Name::try_from(text.to_owned()).unwrap()
}

fn key(port: u16) -> Key {
    (name("web"), ([10, 0, 0, 13], port).into())
}

fn entry() -> Entry {
    let said = |what| Said { what, who: Some("alice".to_owned()), reason: None, at: 1_700_000_000 };
    Entry {
        server: name("a"),
        presence: Some(said(Presence::Added { weight: 3, lease_ms: Some(30_000) })),
        admin: Some(Said {
            what: Wish::Drain,
            who: None,
            reason: Some("kernel".to_owned()),
            at: 5,
        }),
        weight: None,
    }
}

fn written(journal: &Journal, changes: Vec<(Key, Option<Entry>)>) -> Result<(), String> {
    let (tell, told) = sync_channel(1);
    journal.write(changes, Some(Box::new(move |result| drop(tell.send(result)))));
    told.recv().unwrap()
}

#[test]
fn what_is_kept_is_there_for_the_next_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, kept) = Journal::open(folder.path()).unwrap();
    assert_eq!(kept, BTreeMap::new());
    written(&journal, vec![(key(1), Some(entry())), (key(2), Some(entry()))]).unwrap();
    written(&journal, vec![(key(2), None)]).unwrap();
    assert_eq!(journal.problem(), None);
    let (_journal, kept) = Journal::open(folder.path()).unwrap();
    assert_eq!(kept, BTreeMap::from([(key(1), entry())]));
}

/// What a version has written that told servers by their names, in its order of fields.
#[test]
fn the_journal_of_an_earlier_version_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let said = |what: serde_json::Value| serde_json::json!({"what": what, "at": 5});
    let line = |server: &str, port: u16, facet: &str, what: serde_json::Value| {
        let address = format!("10.0.0.13:{port}");
        serde_json::json!({"service": "web", "server": server, "address": address, facet: said(what)})
    };
    let lines = [
        line("a", 1, "presence", "removed".into()),
        line("b", 1, "admin", "drain".into()),
        line("c", 2, "admin", "maint".into()),
        line("d", 2, "presence", "removed".into()),
        line("e", 3, "presence", "removed".into()),
    ];
    StateFile::new(folder.path(), "runtime", VERSION).write(&lines.to_vec()).unwrap();
    let (journal, kept) = Journal::open(folder.path()).unwrap();
    assert_eq!(journal.problem(), None);
    let found: Vec<_> = kept
        .iter()
        .map(|(key, entry)| (key.clone(), entry.server.as_str(), entry.is_removal()))
        .collect();
    assert_eq!(found, [(key(1), "b", false), (key(2), "c", false), (key(3), "e", true)]);
}

/// The disk stands still, and thousands of leases end, one after the other: who brings that goes on at once, and it is one write.
#[test]
fn however_much_ends_while_the_disk_stands_still_nobody_is_kept_waiting_and_it_is_one_write() {
    let many: Vec<Key> = (1_000..6_000).map(key).collect();
    let kept = many.iter().map(|key| (key.clone(), entry())).collect();
    let (tell, writes) = sync_channel(8);
    let (go_on, disk) = sync_channel::<()>(0);
    let journal = Journal::begin(kept, Problem::default(), move |kept| {
        tell.send(kept.len()).map_err(|gone| gone.to_string())?;
        disk.recv().map_err(|gone| gone.to_string())
    })
    .unwrap();
    journal.write([(key(3), Some(entry()))], None);
    assert_eq!(writes.recv(), Ok(5_001), "the disk has it, and stands still");
    for key in &many {
        journal.write([(key.clone(), None)], None);
    }
    let (done, told) = sync_channel(1);
    journal.write([(key(4), Some(entry()))], Some(Box::new(move |it| drop(done.send(it)))));
    {
        let lies = journal.desk.lock();
        assert_eq!((lies.changes.len(), lies.waiting.len()), (5_001, 1));
    }
    // Said again, it takes no more room.
    for key in &many {
        journal.write([(key.clone(), None)], None);
    }
    assert_eq!(journal.desk.lock().changes.len(), 5_001);
    go_on.send(()).unwrap();
    assert_eq!(writes.recv(), Ok(2), "all of it at once");
    assert!(told.try_recv().is_err(), "not before it is on the disk");
    go_on.send(()).unwrap();
    assert_eq!(told.recv(), Ok(Ok(())));
    // Nothing is left to be written, and the thread ends.
    drop(journal);
    assert!(writes.recv().is_err());
}

/// Who asks for what is so already must not hear of success before whoever asked first could.
#[test]
fn who_changes_nothing_waits_for_what_is_being_written_and_has_a_failed_write_tried_again() {
    let (tell, writes) = sync_channel(8);
    let (answer, disk) = sync_channel::<Result<(), String>>(0);
    let journal = Journal::begin(BTreeMap::new(), Problem::default(), move |kept| {
        tell.send(kept.len()).map_err(|gone| gone.to_string())?;
        disk.recv().map_err(|gone| gone.to_string())?
    })
    .unwrap();
    assert!(journal.is_settled());
    journal.write([(key(1), Some(entry()))], None);
    assert!(!journal.is_settled(), "it lies there, or is being written");
    assert_eq!(writes.recv(), Ok(1));
    assert!(!journal.is_settled(), "the disk stands still");
    let (done, told) = sync_channel(1);
    journal.write([], Some(Box::new(move |it| drop(done.send(it)))));
    assert!(told.try_recv().is_err(), "not before it is on the disk");
    answer.send(Err("full".to_owned())).unwrap();
    assert_eq!(writes.recv(), Ok(1), "who waits is the next attempt");
    assert_eq!(journal.problem().as_deref(), Some("full"));
    answer.send(Err("full".to_owned())).unwrap();
    assert_eq!(told.recv(), Ok(Err("full".to_owned())));
    assert!(!journal.is_settled(), "it is on no disk");
    answered_by(&journal, &answer, Ok(())).unwrap();
    assert_eq!(writes.recv(), Ok(1));
    while !journal.is_settled() {
        thread::yield_now();
    }
    assert_eq!(journal.problem(), None);
    // Nothing is to be written, and nothing is.
    written(&journal, vec![]).unwrap();
    assert!(writes.try_recv().is_err());
}

/// What who changes nothing is told when the disk gives this answer.
fn answered_by(
    journal: &Journal,
    disk: &std::sync::mpsc::SyncSender<Result<(), String>>,
    answer: Result<(), String>,
) -> Result<(), String> {
    let (done, told) = sync_channel(1);
    journal.write([], Some(Box::new(move |it| drop(done.send(it)))));
    disk.send(answer).unwrap();
    told.recv().unwrap()
}

#[test]
fn so_many_wait_for_a_disk_that_stands_still_and_one_more_is_told_and_kept_all_the_same() {
    let (tell, writes) = sync_channel(8);
    let (go_on, disk) = sync_channel::<()>(0);
    let journal = Journal::begin(BTreeMap::new(), Problem::default(), move |kept| {
        tell.send(kept.len()).map_err(|gone| gone.to_string())?;
        disk.recv().map_err(|gone| gone.to_string())
    })
    .unwrap();
    journal.write([(key(3), Some(entry()))], None);
    assert_eq!(writes.recv(), Ok(1));
    for _ in 0..WAITING_MAX {
        journal.write([(key(5), Some(entry()))], Some(Box::new(|_told| {})));
    }
    let why = written(&journal, vec![(key(6), Some(entry()))]).unwrap_err();
    assert_eq!(why, TOO_MANY_WAIT);
    assert_eq!(journal.desk.lock().waiting.len(), WAITING_MAX);
    go_on.send(()).unwrap();
    assert_eq!(writes.recv(), Ok(3), "what one more has brought is among it");
    go_on.send(()).unwrap();
}

#[test]
fn a_thread_that_dies_leaves_nobody_waiting() {
    let journal =
        Journal::begin(BTreeMap::new(), Problem::default(), |_| panic!("a fault")).unwrap();
    let (done, told) = sync_channel::<Result<(), String>>(1);
    journal.write([(key(1), None)], Some(Box::new(move |it| drop(done.send(it)))));
    assert!(told.recv().is_err(), "its answer is lost");
    while !journal.desk.lock().left {
        thread::yield_now();
    }
    let why = written(&journal, vec![]).unwrap_err();
    assert!(why.contains("ended by a fault"), "{why}");
}

#[test]
fn a_torn_file_is_set_aside_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(folder.path()).unwrap();
    written(&journal, vec![(key(1), Some(entry()))]).unwrap();
    let path = folder.path().join("runtime.state");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let (journal, kept) = Journal::open(folder.path()).unwrap();
    assert_eq!(kept, BTreeMap::new());
    let why = journal.problem().unwrap();
    assert!(why.contains("is torn") && why.contains("runtime.set-aside"), "{why}");
    written(&journal, vec![]).unwrap();
    assert_eq!(journal.problem(), Some(why), "nothing was written in its place");
    written(&journal, vec![(key(1), Some(entry()))]).unwrap();
    assert_eq!(journal.problem(), None, "it is whole again");
}

#[test]
fn a_folder_that_cannot_be_written_is_told_and_what_was_missed_is_written_later() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    std::fs::write(&state, "in the way").unwrap();
    let (journal, _) = Journal::open(&state).unwrap();
    assert!(written(&journal, vec![(key(1), Some(entry()))]).is_err());
    assert!(journal.problem().is_some());
    std::fs::remove_file(&state).unwrap();
    written(&journal, vec![]).unwrap();
    let (_journal, kept) = Journal::open(&state).unwrap();
    assert_eq!(kept.len(), 1);
}
