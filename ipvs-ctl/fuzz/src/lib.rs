//! What the fuzz targets do with any bytes. Each target is a function that panics when something that must hold does not:
//!
//! * [`rules`]: bytes are a rule file. Reading it never panics, and what a line asks for is written back as a line that asks for the same.
//! * [`wire`]: bytes are a command's number and the attributes of its message. Whatever they are, reading them doesn't panic, the two
//!   ways to read a dump's objects say the same, and what was read is written so that it is read again as the same.
//!
//! `ipvs-ctl/tests/corpus.rs` includes this file and replays the committed corpora with the stable toolchain.

use ipvs_ctl::model::Family;
use ipvs_ctl::rules::lines::{Cutter, LINE_MAX, words};
use ipvs_ctl::rules::save::{self, Detail};
use ipvs_ctl::rules::{
    Command, KernelDaemon, KernelDestination, KernelService, Numbers, Parsed, message, parse,
};
use ipvs_ctl::wire::{
    Command as Number, IpvsAttr, IpvsMessage, read_attributes, read_daemon, read_destination,
    read_dumped_destination, read_dumped_service, read_info, read_service, read_timeouts,
};
use netlink_packet_core::{Emitable as _, ParseableParametrized as _};
use netlink_packet_generic::GenlHeader;

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
                if let Ok(Parsed { command, oddities, .. }) = parse(&words, posix, &mut Numbers)
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
            let parent = IpvsMessage::on_service(Number::GetService, &rule.service);
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

/// A message of the family: its command, and its attributes.
pub fn wire(data: &[u8]) {
    let Some((command, bytes)) = data.split_first() else { return };
    let header = GenlHeader { cmd: *command, version: 1 };
    let decoded = IpvsMessage::parse_with_param(bytes, header);
    // A dump has no message of the kernel's version, whose attributes have numbers of their own.
    let is_info = matches!(Number::from(*command), Number::GetInfo | Number::SetInfo);
    if !is_info {
        let attributes = decoded.as_ref().ok().map(|message| &message.attributes);
        assert_eq!(attributes, read_attributes(bytes).ok().as_ref());
    }
    let service = read_dumped_service(bytes).ok();
    let destinations =
        [Family::Ipv4, Family::Ipv6].map(|family| read_dumped_destination(bytes, family).ok());
    let Ok(message) = decoded else { return };
    if is_info {
        let _info = read_info(&message.attributes);
        return written_again(&message, header);
    }
    let nests = |found: &IpvsAttr| {
        if let IpvsAttr::Service(nest) = found { Some(read_service(nest).ok()) } else { None }
    };
    assert_eq!(message.attributes.iter().find_map(nests).flatten(), service);
    for (family, dumped) in [Family::Ipv4, Family::Ipv6].into_iter().zip(destinations) {
        let nests = |found: &IpvsAttr| {
            let IpvsAttr::Destination(nest) = found else { return None };
            Some(read_destination(nest, family).ok())
        };
        assert_eq!(message.attributes.iter().find_map(nests).flatten(), dumped);
    }
    for attribute in &message.attributes {
        if let IpvsAttr::Daemon(nest) = attribute {
            // What is no daemon is an error, and nothing else.
            let _daemon = read_daemon(nest);
        }
    }
    let _timeouts = read_timeouts(&message.attributes);
    written_again(&message, header);
}

fn written_again(message: &IpvsMessage, header: GenlHeader) {
    // The library takes the flags of an attribute that it doesn't know (NLA_F_NESTED and its like) for a part of its number. Only what
    // a kernel sends is unknown, and none of that is written.
    if format!("{message:?}").contains("Other(") {
        return;
    }
    let mut written = vec![0xa5; message.buffer_len()];
    message.emit(&mut written);
    let again = IpvsMessage::parse_with_param(&written, header);
    assert_eq!(again.ok().as_ref(), Some(message));
}
