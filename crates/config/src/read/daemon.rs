//! The key `daemon`.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Spot};
use crate::model::{Daemon, OnBadConfig};
use crate::reader::{Cursor, Fields, Reader};
use crate::text::{self, Fault};

/// What everybody may do by the control socket who is neither root nor of its group.
const OTHERS: &[(&str, bool)] = &[("nothing", false), ("read", true)];

/// `daemon`.
pub(super) fn daemon<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Daemon {
    let group = |name: &str, pattern: &str, reader: &mut Reader<'a>| {
        let fields = fields.get(name).and_then(|cursor| reader.fields(&cursor, pattern));
        fields.unwrap_or_else(|| Fields::none(crate::path::Path::of(&["daemon", name])))
    };
    let control = group("control", "daemon.control", reader);
    let scripts = group("scripts", "daemon.scripts", reader);
    let socket = control.get("socket").and_then(|cursor| socket(reader, &cursor));
    let others = control.get("others").and_then(|cursor| reader.word(&cursor, OTHERS));
    let http = fields.get("http").and_then(|cursor| http(reader, &cursor));
    let state = fields.get("state").and_then(|cursor| super::absolute(reader, &cursor));
    let user = scripts.get("user").and_then(|cursor| account(reader, &cursor));
    let words = [("refuse", OnBadConfig::Refuse), ("last_good", OnBadConfig::LastGood)];
    let on_bad_config = fields.get("on_bad_config").and_then(|cursor| reader.word(&cursor, &words));
    let timeout =
        scripts.get("timeout").and_then(|cursor| reader.duration(&cursor, defaults::PERIOD));
    let script_timeout = timeout.unwrap_or(defaults::SCRIPT_TIMEOUT);
    let notifications = fields.get("notifications");
    let notifications = notifications
        .map(|cursor| super::notification::notifications(reader, &cursor, script_timeout));
    let pair = fields.get("pair").and_then(|cursor| super::pair::pair(reader, &cursor));
    Daemon {
        control_socket: socket.unwrap_or_else(|| PathBuf::from(defaults::CONTROL_SOCKET)),
        control_others: others.unwrap_or_default(),
        control_group: control.get("group").and_then(|cursor| account(reader, &cursor)),
        http,
        pair,
        scripts_given: fields.get("scripts").is_some(),
        script_user: user.unwrap_or_else(|| defaults::SCRIPT_USER.to_owned()),
        state: state.map_or_else(|| PathBuf::from(defaults::STATE), PathBuf::from),
        on_bad_config: on_bad_config.unwrap_or_default(),
        script_timeout,
        notifications: notifications.unwrap_or_default(),
    }
}

fn socket<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<PathBuf> {
    let path = super::absolute(reader, cursor)?;
    if path.len() <= defaults::SOCKET_PATH_MAX {
        return Some(PathBuf::from(path));
    }
    let message = format!("the path has {} bytes; a socket's has at most 107", path.len());
    reader.fault(&cursor.path, Fault::new(Code::OutOfRange, message));
    None
}

fn http<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<SocketAddr> {
    let fields = reader.fields(cursor, "daemon.http")?;
    let Some(listen) = fields.get("listen") else {
        let help = "for instance `listen: \"127.0.0.1:9650\"`; without `http` nothing is served";
        reader.missing(&fields.path, "listen", help);
        return None;
    };
    let address = text::endpoint(reader.text(&listen)?, None);
    address.map_err(|fault| reader.fault(&listen.path, fault)).ok()
}

/// The name of a user or group.
fn account<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<String> {
    let name = reader.text(cursor)?;
    // useradd(8) takes up to 32; directory services have longer ones and dots.
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '$' | '@');
    if (1..=256).contains(&name.len()) && !name.starts_with('-') && name.chars().all(allowed) {
        return Some(name.to_owned());
    }
    let problem =
        Problem::new(Code::BadName, format!("{name:?} can't be the name of a user or group"))
            .at(Spot::Value(cursor.path.clone()), "");
    reader.problems.push(problem);
    None
}
