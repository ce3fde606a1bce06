//! What the fuzz targets do with any bytes. Each target is a function that panics when something that must hold does not:
//!
//! * [`rules`]: bytes are a rule file. Reading it never panics, and what a line asks for is written back as a line that asks for the same.
//!
//! `ipvs-ctl/tests/corpus.rs` includes this file and replays the committed corpora with the stable toolchain.

use ipvs_ctl::rules::lines::{Cutter, LINE_MAX, words};
use ipvs_ctl::rules::save::{self, Detail};
use ipvs_ctl::rules::{
    Command, KernelDaemon, KernelDestination, KernelService, Numbers, Parsed, message, parse,
};

/// A rule file: cut into lines, read, and written back.
pub fn rules(data: &[u8]) {
    let mut lines = 0;
    let mut cutter = Cutter::default();
    // In two pieces, because where a piece ends must not matter.
    let (first, second) = data.split_at(data.len() / 2);
    let mut take = |line: ipvs_ctl::rules::lines::Line<'_>| {
        lines += 1;
        assert_eq!(line.number, lines, "lines are counted");
        if let Ok(bytes) = line.bytes {
            assert!(bytes.len() <= LINE_MAX && !bytes.contains(&b'\n'));
            let words = words(bytes);
            for posix in [false, true] {
                if let Ok(Parsed { command, oddities }) = parse(&words, posix, &mut Numbers)
                    && oddities.is_empty()
                {
                    written_back(&command);
                }
            }
        }
        true
    };
    cutter.push(first, &mut take);
    cutter.push(second, &mut take);
    cutter.end(&mut take);
}

/// What `save --full` would write, once the kernel has what the command asks for, asks for the same.
fn written_back(command: &Command) {
    let mut text = Vec::new();
    let Some(message) = message(command) else { return };
    match command {
        Command::AddService(rule) => {
            let Some(found) = KernelService::read(&message) else { panic!("no service") };
            // These names are no words of a rule file.
            if [&found.scheduler, &found.engine].iter().any(|name| *name == "ipvsadm") {
                return;
            }
            assert_eq!(rule.persistent_s.is_some(), found.flags & 1 != 0);
            save::service(&found, &[], true, Detail::Full, &mut Numbers, &mut text);
        }
        Command::AddServer(rule) => {
            let parent = ipvs_ctl::wire::IpvsMessage::on_service(
                ipvs_ctl::wire::Command::GetService,
                &rule.service,
            );
            let Some(service) = KernelService::read(&parent) else { panic!("no service") };
            let Some(found) = KernelDestination::read(&message, service.family) else {
                panic!("no destination")
            };
            save::service(&service, &[found], true, Detail::Full, &mut Numbers, &mut text);
            let second = text.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            text.drain(..second);
        }
        Command::SetTimeouts(timeouts) => save::timeouts(timeouts, &mut text),
        Command::StartDaemon(_) => {
            let Some(found) = KernelDaemon::read(&message) else { panic!("no daemon") };
            save::daemon(&found, &mut text);
        }
        // There is no line of a saved table for these.
        Command::EditService(_)
        | Command::DeleteService(_)
        | Command::Clear
        | Command::Restore
        | Command::Save { .. }
        | Command::EditServer(_)
        | Command::DeleteServer { .. }
        | Command::List(_)
        | Command::Zero(_)
        | Command::StopDaemon(_)
        | Command::Help
        | Command::Version => return,
    }
    let line = text.strip_suffix(b"\n").unwrap_or(&text);
    let again = parse(&words(line), false, &mut Numbers).map(|parsed| parsed.command);
    let shown = String::from_utf8_lossy(line);
    assert_eq!(again.as_ref(), Ok(command), "{shown}");
}
