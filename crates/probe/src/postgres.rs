//! The postgres check: the answer to a start-up message, or a login and whether the server is in recovery (protocol 3.0).
//!
//! Without a user it asks as `pg_isready` does: being asked for a password, or refused for want of one, says that the server takes
//! connections.

mod message;
mod scram;

use holdfast_config::{PostgresCheck, Role};

use crate::deadline::Deadline;
use crate::finding::{Finding, excerpt};
use crate::opened::{opened, password};
use crate::place::Place;
use crate::talk::{Broken, Talk, judged};
use crate::tls::{self, Means, Offer};
use message::{Message, ServerError, read, write};

/// Who asks when nobody logs in.
const NOBODY: &str = "holdfast";
/// SQLSTATEs that say the server can't take a connection now: starting or stopping, too many already.
const CANNOT_CONNECT_NOW: &[u8] = b"57P03";
const TOO_MANY_CONNECTIONS: &[u8] = b"53300";
/// So many messages may come between a question and its end.
const MESSAGES: usize = 128;

pub(crate) async fn run(
    place: &Place<'_>,
    postgres: &PostgresCheck,
    deadline: Deadline<'_>,
) -> Finding {
    let what = format!("postgres {}", place.address);
    let (means, deadline) = tls::any_means(postgres.tls.as_ref(), Offer::Nothing, deadline).await;
    let (password, deadline) = password(postgres.login.password.as_ref(), &what, deadline).await;
    let talk = match opened(place, None, deadline).await {
        Ok((talk, _)) => talk,
        Err(finding) => return finding,
    };
    let password = match password {
        Ok(password) => password,
        Err(finding) => return finding,
    };
    let tls = means.as_ref().map(|means| (place, means));
    let converse = converse(talk, tls, postgres, password.as_deref(), deadline);
    judged(&what, deadline, converse).await
}

async fn converse(
    mut talk: Talk,
    tls: Option<(&Place<'_>, &Means<'_>)>,
    postgres: &PostgresCheck,
    password: Option<&[u8]>,
    deadline: Deadline<'_>,
) -> Result<String, Broken> {
    let mut note = String::new();
    if let Some((place, means)) = tls {
        talk.say(&message::SSL_REQUEST).await?;
        match talk.take(1).await?.as_slice() {
            b"S" => {}
            b"N" => return Err(Broken::Refused("it does not offer TLS".to_owned())),
            other => {
                return Err(Broken::Foreign(format!(
                    "the answer to SSLRequest is {}",
                    excerpt(other)
                )));
            }
        }
        let secured = tls::secure(talk.into_stream(), place, means, None, deadline).await?;
        note = secured.note;
        talk = Talk::over(secured.stream);
    }
    let login = &postgres.login;
    let user = login.user.as_deref().unwrap_or(NOBODY);
    let database = postgres.database.as_deref().unwrap_or(user);
    talk.say(&message::start_up(user, database)).await?;
    let said = match &login.user {
        None => ready(&mut talk).await?,
        Some(_) => {
            log_in(&mut talk, password).await?;
            match postgres.role {
                None => "logged in".to_owned(),
                Some(wanted) => role(&mut talk, wanted).await?.to_owned(),
            }
        }
    };
    Ok(said + &note)
}

/// Whether the server takes connections, by its first answer.
async fn ready(talk: &mut Talk) -> Result<String, Broken> {
    let Message { kind, body } = read(talk).await?;
    match kind {
        b'R' => Ok("takes connections".to_owned()),
        b'E' => {
            let error = ServerError::read(&body);
            let out = [CANNOT_CONNECT_NOW, TOO_MANY_CONNECTIONS].contains(&error.state.as_slice());
            if out { Err(error.refused()) } else { Ok("takes connections".to_owned()) }
        }
        _ => Err(foreign(kind)),
    }
}

fn foreign(kind: u8) -> Broken {
    Broken::Foreign(format!("a message of the type {} is not expected", excerpt(&[kind])))
}

/// Goes through the login until the server is ready for a query.
async fn log_in(talk: &mut Talk, password: Option<&[u8]>) -> Result<(), Broken> {
    let needed = || {
        password.ok_or_else(|| {
            Broken::Refused(
                "it wants a password, and there is no password_file and no password_credential"
                    .to_owned(),
            )
        })
    };
    let _hiding = crate::transcript::hide();
    for _ in 0..MESSAGES {
        let Message { kind, body } = read(talk).await?;
        match kind {
            b'E' => return Err(ServerError::read(&body).refused()),
            b'Z' => return Ok(()),
            // Parameters, the key for cancelling, notices.
            b'S' | b'K' | b'N' => {}
            b'R' => match message::authentication(&body) {
                Some((0, _)) => {}
                Some((3, _)) => write(talk, b'p', &[needed()?, &[0]].concat()).await?,
                Some((10, methods)) => scram::log_in(talk, methods, needed()?).await?,
                Some((5, _)) => {
                    return Err(Broken::Refused(
                        "it wants an MD5 login: set password_encryption to scram-sha-256"
                            .to_owned(),
                    ));
                }
                Some((method, _)) => {
                    return Err(Broken::Refused(format!("it wants a login of the kind {method}")));
                }
                None => return Err(foreign(kind)),
            },
            other => return Err(foreign(other)),
        }
    }
    Err(Broken::Foreign("the login never ends".to_owned()))
}

async fn role(talk: &mut Talk, wanted: Role) -> Result<&'static str, Broken> {
    write(talk, b'Q', b"SELECT pg_is_in_recovery()\0").await?;
    let mut found = None;
    for _ in 0..MESSAGES {
        let Message { kind, body } = read(talk).await?;
        match kind {
            b'E' => return Err(ServerError::read(&body).refused()),
            b'D' => found = message::first_value(&body).map(<[u8]>::to_vec),
            b'Z' => break,
            b'T' | b'C' | b'N' | b'S' => {}
            other => return Err(foreign(other)),
        }
    }
    let is = match found.as_deref() {
        Some(b"f") => Role::Primary,
        Some(b"t") => Role::Replica,
        _ => return Err(Broken::Foreign("it does not say whether it is in recovery".to_owned())),
    };
    match (is, wanted) {
        (Role::Primary, Role::Primary) => Ok("not in recovery"),
        (Role::Replica, Role::Replica) => Ok("in recovery"),
        (Role::Primary, Role::Replica) => {
            Err(Broken::Refused("it is not in recovery, expected a replica".to_owned()))
        }
        (Role::Replica, Role::Primary) => {
            Err(Broken::Refused("it is in recovery, expected a primary".to_owned()))
        }
    }
}
