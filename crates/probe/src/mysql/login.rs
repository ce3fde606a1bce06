//! The greeting, and the login by `mysql_native_password` or `caching_sha2_password`.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use super::packet::{Cursor, Packet, error, foreign, read, write};
use crate::talk::{Broken, Talk};

/// CLIENT_LONG_PASSWORD, CLIENT_PROTOCOL_41, CLIENT_SECURE_CONNECTION, CLIENT_PLUGIN_AUTH (include/mysql_com.h).
const ABILITIES: u32 = 0x0001 | 0x0200 | 0x8000 | 0x0008_0000;
/// utf8mb4_general_ci.
const CHARACTERS: u8 = 45;
/// The length of a salt in both methods.
const SALT: usize = 20;
const NATIVE: &[u8] = b"mysql_native_password";
const SHA2: &[u8] = b"caching_sha2_password";
/// So many times the server may change its mind.
const ROUNDS: usize = 8;

/// What the server says first (protocol version 10).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) version: Vec<u8>,
    salt: Vec<u8>,
    method: Vec<u8>,
}

/// Reads a greeting; none when it is none.
pub(super) fn greeting(body: &[u8]) -> Option<Greeting> {
    let mut cursor = Cursor(body);
    if cursor.byte()? != 10 {
        return None;
    }
    let version = cursor.text()?.to_vec();
    let _connection = cursor.bytes(4)?;
    let mut salt = cursor.bytes(8)?.to_vec();
    let _filler = cursor.byte()?;
    let _abilities_characters_status_abilities = cursor.bytes(7)?;
    let length = usize::from(cursor.byte()?);
    let _reserved = cursor.bytes(10)?;
    let rest = length.saturating_sub(8).max(13);
    salt.extend_from_slice(cursor.bytes(rest)?);
    salt.truncate(SALT);
    let method = cursor.text().unwrap_or(NATIVE).to_vec();
    Some(Greeting { version, salt, method })
}

/// Logs in; `number` is that of the greeting.
pub(super) async fn log_in(
    talk: &mut Talk,
    greeting: &Greeting,
    user: &str,
    password: &[u8],
    number: u8,
) -> Result<(), Broken> {
    let _hiding = crate::transcript::hide();
    // What we can't do, the server is asked to change.
    let method = if greeting.method == SHA2 { SHA2 } else { NATIVE };
    let proof = proof(method, password, &greeting.salt).unwrap_or_default();
    let mut body = ABILITIES.to_le_bytes().to_vec();
    body.extend_from_slice(&(1u32 << 24).to_le_bytes());
    body.push(CHARACTERS);
    body.extend_from_slice(&[0; 23]);
    body.extend_from_slice(user.as_bytes());
    body.push(0);
    body.push(u8::try_from(proof.len()).unwrap_or_default());
    body.extend_from_slice(&proof);
    body.extend_from_slice(method);
    body.push(0);
    write(talk, number.wrapping_add(1), &body).await?;
    for _ in 0..ROUNDS {
        let Packet { number, body } = read(talk).await?;
        if let Some((_, why)) = error(&body) {
            return Err(Broken::Refused(format!("the login is answered by {why}")));
        }
        match body.split_first() {
            Some((0, _)) => return Ok(()),
            // AuthSwitchRequest: another method, and its salt.
            Some((0xfe, rest)) => {
                let mut cursor = Cursor(rest);
                let method = cursor.text().ok_or_else(|| foreign("the login's answer", &body))?;
                let salt = cursor.bytes(SALT).unwrap_or_default();
                let Some(proof) = self::proof(method, password, salt) else {
                    return Err(unknown(method));
                };
                write(talk, number.wrapping_add(1), &proof).await?;
            }
            // caching_sha2_password: the server knows the proof (3), or wants the password itself (4).
            Some((1, [3])) => {}
            Some((1, [4])) => {
                let why = "it wants the password itself, which goes over no plain connection: let this user log in once over TLS, \
                           or give it mysql_native_password";
                return Err(Broken::Refused(why.to_owned()));
            }
            _ => return Err(foreign("the login's answer", &body)),
        }
    }
    Err(Broken::Foreign("the login never ends".to_owned()))
}

fn unknown(method: &[u8]) -> Broken {
    let method = crate::finding::excerpt(method);
    Broken::Refused(format!(
        "it wants a login by {method}; known are mysql_native_password and caching_sha2_password"
    ))
}

/// The proof that we know the password; empty for an empty one, none for an unknown method.
fn proof(method: &[u8], password: &[u8], salt: &[u8]) -> Option<Vec<u8>> {
    let mixed = |one: &[u8], other: &[u8]| one.iter().zip(other).map(|(a, b)| a ^ b).collect();
    match method {
        _ if password.is_empty() && (method == NATIVE || method == SHA2) => Some(vec![]),
        NATIVE => {
            let hash = |bytes: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
            let once = hash(password);
            let twice = hash(once.as_ref());
            Some(mixed(once.as_ref(), hash(&[salt, twice.as_ref()].concat()).as_ref()))
        }
        SHA2 => {
            let hash = |bytes: &[u8]| digest(&SHA256, bytes);
            let once = hash(password);
            let twice = hash(once.as_ref());
            Some(mixed(once.as_ref(), hash(&[twice.as_ref(), salt].concat()).as_ref()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_greeting_is_read_and_what_is_cut_short_is_none() {
        let mut body = b"\x0a10.11.6-MariaDB\0\x01\0\0\0abcdefgh\0".to_vec();
        body.extend([0xff, 0xf7, 45, 2, 0, 0xff, 0x81, 21]);
        body.extend([0; 10]);
        body.extend(b"ijklmnopqrst\0mysql_native_password\0");
        let found = greeting(&body).unwrap();
        assert_eq!(found.version, b"10.11.6-MariaDB");
        assert_eq!(found.salt, b"abcdefghijklmnopqrst");
        assert_eq!(found.method, NATIVE);
        let salt_ends = body.len() - NATIVE.len() - 1;
        for length in 0..salt_ends {
            assert_eq!(greeting(&body[..length]), None, "{length}");
        }
        assert_eq!(greeting(b"SSH-2.0-OpenSSH_9.2\r\n"), None);
    }

    #[test]
    fn proofs_are_those_of_the_methods() {
        assert_eq!(proof(NATIVE, b"", b"salt"), Some(vec![]));
        assert_eq!(proof(NATIVE, b"x", &[1; 20]).unwrap().len(), 20);
        assert_eq!(proof(SHA2, b"x", &[1; 20]).unwrap().len(), 32);
        assert_eq!(proof(b"mysql_clear_password", b"x", b""), None);
        // Computed with Python's hashlib from the descriptions in MySQL's internals manual.
        let salt: Vec<u8> = (1..=20).collect();
        let hex = |method| {
            let proof = proof(method, b"open sesame", &salt).unwrap();
            proof.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        assert_eq!(hex(NATIVE), "6d12ff268d2ec035707cea8c99c5afc746b6e22a");
        assert_eq!(hex(SHA2), "17477deb632a4e5f249d53e909e8a0cc42e0ebcc7372ba8a9278bf4c2d670458");
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _greeting = greeting(&bytes);
            let _greeting = greeting(&[&[10], &bytes[..]].concat());
            let _error = error(&[&[0xff], &bytes[..]].concat());
        }
    }
}
