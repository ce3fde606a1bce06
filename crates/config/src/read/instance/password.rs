//! The key `authentication`: version 2's password, or where it is.

use std::path::PathBuf;

use crate::code::Code;
use crate::diagnostic::{Problem, Spot};
use crate::model::{Password, SecretFrom};
use crate::read::{absolute, credential};
use crate::reader::{Cursor, Fields, Reader};
use crate::text::Fault;

use super::Layers;

/// A password, or where it is.
#[derive(Clone, Debug)]
pub(crate) enum PasswordDraft {
    /// It is in the configuration.
    Here(Password),
    /// It is elsewhere.
    From(SecretFrom),
}

impl PasswordDraft {
    /// What an instance has of it.
    pub(super) fn parts(draft: Option<&Self>) -> (Option<Password>, Option<SecretFrom>) {
        match draft {
            None => (None, None),
            Some(Self::Here(password)) => (Some(password.clone()), None),
            Some(Self::From(place)) => (None, Some(place.clone())),
        }
    }
}

/// Version 2's password. No message has it, whatever is wrong.
pub(super) fn password<'a>(
    reader: &mut Reader<'a>,
    layers: &Layers<'a, '_>,
) -> Option<PasswordDraft> {
    let cursor = layers.get("authentication")?;
    let fields = reader.fields(&cursor, "vrrp.instances.NAME.authentication")?;
    let given: Vec<&str> = ["password", "password_file", "password_credential"]
        .into_iter()
        .filter(|key| fields.get(key).is_some())
        .collect();
    match given.as_slice() {
        [] => {
            reader.missing(&fields.path, "password", "`authentication: {password: \"…\"}`");
            None
        }
        ["password"] => here(reader, &fields.get("password")?).map(PasswordDraft::Here),
        [_] => place(reader, &fields).map(PasswordDraft::From),
        [first, second, ..] => {
            let message = format!("`{first}` and `{second}`: there is one password");
            let problem = Problem::new(Code::Conflict, message)
                .at(Spot::Key(fields.path.key(second)), "")
                .also(Spot::Key(fields.path.key(first)), "")
                .help("remove one of them");
            reader.problems.push(problem);
            None
        }
    }
}

fn place<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Option<SecretFrom> {
    if let Some(cursor) = fields.get("password_file") {
        return absolute(reader, &cursor).map(|path| SecretFrom::File(PathBuf::from(path)));
    }
    let cursor = fields.get("password_credential")?;
    credential(reader, &cursor)
}

fn here<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<Password> {
    let text = reader.text(cursor)?;
    let password = Password::new(text);
    if password.is_none() {
        let fault = Fault::new(Code::BadPassword, Password::fault(text))
            .help("choose one of 1 to 8 bytes; keepalived uses the first 8 of a longer one");
        reader.fault(&cursor.path, fault);
    }
    password
}
