//! The mysql check: the greeting of MySQL or MariaDB, or a login and what the server says of itself.
//!
//! Without a user the greeting is enough; the server counts the connection as one that was broken off.

mod login;
mod packet;
mod rows;

use holdfast_config::{MysqlCheck, Role};

use crate::deadline::Deadline;
use crate::finding::{Finding, excerpt};
use crate::opened::{opened, password};
use crate::place::Place;
use crate::talk::{Broken, Talk, judged};
use packet::{error, foreign, read, write};

/// What asks for the state of every connection that a server replicates by: MySQL from 8.0.22 on, and its elders. There they are channels.
const MYSQL_STATUS: [&str; 2] = ["SHOW REPLICA STATUS", "SHOW SLAVE STATUS"];
/// The same of MariaDB from 10.5 on, and of its elders, where `SHOW REPLICA STATUS` leaves out the connections that have a name.
const MARIADB_STATUS: [&str; 2] = ["SHOW ALL REPLICAS STATUS", "SHOW ALL SLAVES STATUS"];
/// ER_PARSE_ERROR: the server is too old, or too young, for the statement.
const PARSE_ERROR: u16 = 1064;

pub(crate) async fn run(place: &Place<'_>, mysql: &MysqlCheck, deadline: Deadline<'_>) -> Finding {
    let what = format!("mysql {}", place.address);
    let (password, deadline) = password(mysql.login.password.as_ref(), &what, deadline).await;
    let (mut talk, _) = match opened(place, None, deadline).await {
        Ok(opened) => opened,
        Err(finding) => return finding,
    };
    let password = match password {
        Ok(password) => password.unwrap_or_default(),
        Err(finding) => return finding,
    };
    judged(&what, deadline, converse(&mut talk, mysql, &password)).await
}

async fn converse(talk: &mut Talk, mysql: &MysqlCheck, password: &[u8]) -> Result<String, Broken> {
    let first = read(talk).await?;
    if let Some((_, why)) = error(&first.body) {
        return Err(Broken::Refused(format!("it answers {why}")));
    }
    let greeting =
        login::greeting(&first.body).ok_or_else(|| foreign("the greeting", &first.body))?;
    let version = excerpt(&greeting.version);
    let version = version.trim_matches('"');
    let Some(user) = &mysql.login.user else { return Ok(format!("version {version}")) };
    login::log_in(talk, &greeting, user, password, first.number).await?;
    let mut said = format!("version {version}");
    if let Some(wanted) = mysql.role {
        said.push_str(role(talk, wanted).await?);
    }
    if let Some(limit) = mysql.max_lag {
        // "5.5.5-10.11.6-MariaDB-0+deb12u1"
        let is_mariadb = memchr::memmem::find(&greeting.version, b"MariaDB").is_some();
        let statements = if is_mariadb { MARIADB_STATUS } else { MYSQL_STATUS };
        said.push_str(&lag(talk, statements, limit.as_secs()).await?);
    }
    // COM_QUIT; the server closes.
    write(talk, 0, &[1]).await?;
    Ok(said)
}

/// What the server says to `statement`; the error's number and words when it refuses.
async fn query(
    talk: &mut Talk,
    statement: &str,
) -> Result<Result<rows::Table, (u16, String)>, Broken> {
    write(talk, 0, &[&[3][..], statement.as_bytes()].concat()).await?;
    rows::read_table(talk).await
}

async fn asked(talk: &mut Talk, statement: &str) -> Result<rows::Table, Broken> {
    query(talk, statement)
        .await?
        .map_err(|(_, why)| Broken::Refused(format!("{statement} is answered by {why}")))
}

async fn role(talk: &mut Talk, wanted: Role) -> Result<&'static str, Broken> {
    let table = asked(talk, "SELECT @@global.read_only").await?;
    let is = match table.first_value() {
        Some(b"0" | b"OFF") => Role::Primary,
        // MariaDB 12 has more words for more that is forbidden.
        Some(_) => Role::Replica,
        None => return Err(Broken::Foreign("the server does not know read_only".to_owned())),
    };
    match (is, wanted) {
        (Role::Primary, Role::Primary) => Ok(", takes writes"),
        (Role::Replica, Role::Replica) => Ok(", read-only"),
        (Role::Primary, Role::Replica) => {
            Err(Broken::Refused("it takes writes, expected a replica".to_owned()))
        }
        (Role::Replica, Role::Primary) => {
            Err(Broken::Refused("it is read-only, expected a primary".to_owned()))
        }
    }
}

/// How far the server is behind. One that replicates nothing, or whose replication stands, is behind without bound.
async fn lag(talk: &mut Talk, [new, old]: [&str; 2], limit: u64) -> Result<String, Broken> {
    let table = match query(talk, new).await? {
        Ok(table) => table,
        Err((PARSE_ERROR, _)) => asked(talk, old).await?,
        Err((_, why)) => return Err(Broken::Refused(format!("{new} is answered by {why}"))),
    };
    if table.rows.is_empty() {
        return Err(Broken::Refused("it replicates from nobody".to_owned()));
    }
    let mut worst = 0;
    for row in 0..table.rows.len() {
        let behind = table
            .value(row, b"Seconds_Behind_Source")
            .or_else(|| table.value(row, b"Seconds_Behind_Master"))
            .and_then(|text| str::from_utf8(text).ok()?.parse::<u64>().ok());
        let Some(behind) = behind else {
            let why = [&b"Last_SQL_Error"[..], b"Last_IO_Error"]
                .into_iter()
                .filter_map(|column| table.value(row, column))
                .find(|text| !text.is_empty());
            let why = why.map_or_else(String::new, |text| format!(": {}", excerpt(text)));
            return Err(Broken::Refused(format!("its replication stands{why}")));
        };
        worst = behind.max(worst);
    }
    if worst > limit {
        return Err(Broken::Refused(format!("it is {worst} s behind, at most {limit} s expected")));
    }
    Ok(format!(", {worst} s behind"))
}
