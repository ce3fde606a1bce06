//! SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding: the password is proved, never sent, and the server proves that it
//! knows it, too.

use std::num::NonZeroU32;

use ring::rand::SecureRandom as _;
use ring::{digest, hmac, pbkdf2};

use super::message::{Message, ServerError, authentication, read, write};
use crate::talk::{Broken, Talk};

/// PostgreSQL's are 4096. More would be our processor's time at a server's command.
const ITERATIONS: u32 = 100_000;
const METHOD: &[u8] = b"SCRAM-SHA-256";
/// SASLContinue and SASLFinal among the authentication requests.
const CONTINUE: u32 = 11;
const FINAL: u32 = 12;

/// Logs in; `methods` are those that the server offers.
pub(super) async fn log_in(talk: &mut Talk, methods: &[u8], password: &[u8]) -> Result<(), Broken> {
    if !methods.split(|byte| *byte == 0).any(|method| method == METHOD) {
        return Err(Broken::Refused("it does not offer a login by SCRAM-SHA-256".to_owned()));
    }
    let mut random = [0; 18];
    if ring::rand::SystemRandom::new().fill(&mut random).is_err() {
        return Err(Broken::Ours("the kernel gives no random numbers".to_owned()));
    }
    let nonce = encode(&random);
    let first = format!("n=,r={nonce}");
    let message = format!("n,,{first}");
    let length = u32::try_from(message.len()).unwrap_or_default().to_be_bytes();
    write(talk, b'p', &[METHOD, &[0], &length, message.as_bytes()].concat()).await?;
    let challenge = request(talk, CONTINUE).await?;
    let answer = answer(&first, &nonce, &challenge, password)
        .ok_or_else(|| Broken::Foreign("the challenge is not SCRAM's".to_owned()))?;
    write(talk, b'p', answer.message.as_bytes()).await?;
    let last = request(talk, FINAL).await?;
    let proved =
        last.strip_prefix(b"v=").and_then(decode).is_some_and(|proof| proof == answer.expected);
    if proved {
        Ok(())
    } else {
        Err(Broken::Refused("the server does not know the password either".to_owned()))
    }
}

/// Reads the authentication request of `kind`.
async fn request(talk: &mut Talk, kind: u32) -> Result<Vec<u8>, Broken> {
    let message = read(talk).await?;
    match message {
        Message { kind: b'E', body } => Err(ServerError::read(&body).refused()),
        Message { kind: b'R', body } => match authentication(&body) {
            Some((found, rest)) if found == kind => Ok(rest.to_vec()),
            _ => Err(Broken::Foreign("the login is not SCRAM's".to_owned())),
        },
        Message { .. } => Err(Broken::Foreign("the login is not SCRAM's".to_owned())),
    }
}

/// What is answered, and what the server has to prove.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    message: String,
    expected: Vec<u8>,
}

/// The answer to a challenge (RFC 5802 §3); none when it is none, or asks for too much.
fn answer(first: &str, nonce: &str, challenge: &[u8], password: &[u8]) -> Option<Answer> {
    let challenge = str::from_utf8(challenge).ok()?;
    let mut parts = challenge.split(',');
    let combined =
        parts.next()?.strip_prefix("r=").filter(|combined| combined.starts_with(nonce))?;
    let salt = decode(parts.next()?.strip_prefix("s=")?.as_bytes())?;
    let iterations = parts.next()?.strip_prefix("i=")?.parse::<NonZeroU32>().ok()?;
    if iterations.get() > ITERATIONS {
        return None;
    }
    let mut salted = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password, &mut salted);
    let mac = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let client = mac(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, client.as_ref());
    // `biws` is `n,,` in Base64.
    let without_proof = format!("c=biws,r={combined}");
    let all = format!("{first},{challenge},{without_proof}");
    let signature = mac(stored.as_ref(), all.as_bytes());
    let proof: Vec<u8> =
        client.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
    let server = mac(&salted, b"Server Key");
    Some(Answer {
        message: format!("{without_proof},p={}", encode(&proof)),
        expected: mac(server.as_ref(), all.as_bytes()).as_ref().to_vec(),
    })
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 (RFC 4648 §4).
fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = usize::try_from(bits >> (18 - 6 * place) & 0x3f).unwrap_or_default();
            let is_there = place <= chunk.len();
            text.push(
                DIGITS.get(digit).filter(|_| is_there).map_or('=', |digit| char::from(*digit)),
            );
        }
    }
    text
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = vec![];
    for chunk in text.chunks(4) {
        let padding = chunk.iter().rev().take_while(|digit| **digit == b'=').count();
        if chunk.len() != 4 || padding > 2 {
            return None;
        }
        let bits = chunk.iter().take(4 - padding).try_fold(0u32, |sum, digit| {
            let value = DIGITS.iter().position(|known| known == digit)?;
            Some(sum << 6 | u32::try_from(value).ok()?)
        })?;
        let [_, all @ ..] = (bits << (6 * padding)).to_be_bytes();
        bytes.extend(all.iter().take(3 - padding));
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 7677 §3.
    #[test]
    fn the_rfcs_example_is_answered_as_there() {
        let nonce = "rOprNGfwEbeRWgbNEkqO";
        let challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let found = answer(&format!("n=user,r={nonce}"), nonce, challenge, b"pencil").unwrap();
        assert_eq!(
            found.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(encode(&found.expected), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn a_challenge_that_asks_for_too_much_is_none() {
        for challenge in
            ["r=x1,s=AAAA,i=100001", "r=x1,s=AAAA,i=0", "r=y1,s=AAAA,i=4096", "r=x1,s=?,i=4096", ""]
        {
            assert_eq!(answer("n=,r=x", "x", challenge.as_bytes(), b"p"), None, "{challenge}");
        }
    }

    proptest! {
        #[test]
        fn base64_goes_both_ways(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            prop_assert_eq!(decode(encode(&bytes).as_bytes()), Some(bytes));
        }

        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _decoded = decode(&bytes);
            let _answer = answer("n=,r=", "", &bytes, b"p");
        }
    }
}
