//! The checks of what is on this host: a command, a file, a BFD session.

use crate::code::Code;
use crate::diagnostic::{Problem, Spot};
use crate::model::{CheckKind, Convention, Missing, Name};
use crate::reader::{Cursor, Reader};

pub(super) fn exec<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<CheckKind> {
    let fields = reader.fields(cursor, "services.NAME.check.exec")?;
    let mut flag = |key: &str| {
        let read = fields.get(key).and_then(|cursor| reader.boolean(&cursor));
        read.unwrap_or(false)
    };
    let convention = match (flag("nagios"), flag("weight")) {
        (false, false) => Convention::Plain,
        (true, false) => Convention::Nagios,
        (false, true) => Convention::Weight,
        (true, true) => {
            let message = "an exit status is either that of a plugin of Nagios or a weight";
            let problem = Problem::new(Code::Conflict, message)
                .at(Spot::Key(fields.path.key("weight")), "")
                .also(Spot::Key(fields.path.key("nagios")), "")
                .help("remove one of the two");
            reader.problems.push(problem);
            Convention::Plain
        }
    };
    let command = super::command(reader, &fields)?;
    Some(CheckKind::Exec { command, convention })
}

pub(super) fn file<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<CheckKind> {
    let fields = reader.fields(cursor, "services.NAME.check.file")?;
    let words = [("up", Missing::Up), ("down", Missing::Down)];
    let missing = fields.get("missing").and_then(|cursor| reader.word(&cursor, &words));
    let Some(path) = fields.get("path") else {
        let example = "`file: {path: \"/run/holdfast/servers/{server}\"}`";
        reader.missing(&fields.path, "path", example);
        return None;
    };
    let path = crate::read::absolute(reader, &path)?.to_owned();
    Some(CheckKind::File { path, missing: missing.unwrap_or_default() })
}

pub(super) fn bfd<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<CheckKind> {
    let fields = reader.fields(cursor, "services.NAME.check.bfd")?;
    let Some(session) = fields.get("session") else {
        let example = "the name of a tracker of the kind `bfd`: `bfd: {session: rack2}`";
        reader.missing(&fields.path, "session", example);
        return None;
    };
    let session: Name = crate::read::track::name(reader, &session)?;
    Some(CheckKind::Bfd { session })
}
