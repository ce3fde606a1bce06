//! The key `services.NAME.discover`.

use std::path::PathBuf;

use crate::defaults;
use crate::model::Discovery;
use crate::read::absolute;
use crate::reader::{Cursor, Reader};

/// `services.NAME.discover`: a directory, or a mapping that has one.
pub(super) fn discover<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<Discovery> {
    let fields = reader.fields(cursor, "services.NAME.discover")?;
    let Some(directory) = fields.get("directory") else {
        let help = "for instance `directory: /etc/holdfast/targets/web`";
        reader.missing(&fields.path, "directory", help);
        return None;
    };
    let directory = absolute(reader, &directory).map(PathBuf::from);
    let debounce = fields
        .get("debounce")
        .and_then(|cursor| reader.duration(&cursor, defaults::DEBOUNCE_RANGE));
    let why = "a share of the servers in percent";
    let percent =
        fields.get("max_removal").and_then(|cursor| reader.integer(&cursor, 1..=100, why));
    let allow_empty = fields.get("allow_empty").and_then(|cursor| reader.boolean(&cursor));
    Some(Discovery {
        directory: directory?,
        debounce: debounce.unwrap_or(defaults::DEBOUNCE),
        max_removal: percent.unwrap_or(defaults::MAX_REMOVAL),
        allow_empty: allow_empty.unwrap_or(false),
    })
}
