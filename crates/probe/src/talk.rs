//! A conversation over a connection: what is read is bounded in bytes, by the run's deadline in time, and never trusted.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::deadline::Deadline;
use crate::finding::{Finding, describe, is_own_shortage};
use crate::transcript;
use holdfast_health::Code;

/// So many bytes of what a server says are read in a conversation; what goes on longer fails.
pub const TALK_LIMIT: usize = 64 * 1024;

/// A connection, plain or under TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// One side of a conversation.
pub(crate) struct Talk {
    stream: Box<dyn Stream>,
    /// What was read and not yet taken.
    heard: Vec<u8>,
    /// So many bytes may yet be read.
    left: usize,
}

/// Why a conversation ended.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The kernel, or TLS, reports it.
    Io(io::Error),
    /// The server closed before it had said all.
    Closed,
    /// It says more than [`TALK_LIMIT`].
    TooLong,
    /// What it says is not of the protocol: in which way, as a clause.
    Foreign(String),
    /// It says in its protocol that it won't serve, or what it says is not what was expected.
    Refused(String),
    /// It can't be asked, for a reason of our own.
    Ours(String),
    /// A part of the run that has been judged already.
    Judged(Finding),
}

impl From<Finding> for Broken {
    fn from(finding: Finding) -> Self {
        Self::Judged(finding)
    }
}

impl Talk {
    /// A conversation over `stream`.
    pub(crate) fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), heard: Vec::new(), left: TALK_LIMIT }
    }

    /// The stream, for TLS to begin on it; what was heard and not taken is lost, as STARTTLS wants it (RFC 3207 §4.2).
    pub(crate) fn into_stream(self) -> Box<dyn Stream> {
        self.stream
    }

    /// Says `bytes`.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        transcript::sent(bytes);
        self.stream.write_all(bytes).await.map_err(Broken::Io)?;
        self.stream.flush().await.map_err(Broken::Io)
    }

    /// What was heard and not taken.
    pub(crate) fn heard(&self) -> &[u8] {
        &self.heard
    }

    /// Waits for more; false when the server has closed its side.
    pub(crate) async fn listen(&mut self) -> Result<bool, Broken> {
        let room = self.left.min(4096);
        if room == 0 {
            return Err(Broken::TooLong);
        }
        let mut chunk = [0; 4096];
        let chunk = chunk.get_mut(..room).unwrap_or_default();
        let count = self.stream.read(chunk).await.map_err(Broken::Io)?;
        self.left -= count.min(self.left);
        let heard = chunk.get(..count).unwrap_or_default();
        if !heard.is_empty() {
            transcript::received(heard);
        }
        self.heard.extend_from_slice(heard);
        Ok(count > 0)
    }

    /// The next `count` bytes.
    pub(crate) async fn take(&mut self, count: usize) -> Result<Vec<u8>, Broken> {
        if count > self.heard.len() + self.left {
            return Err(Broken::TooLong);
        }
        while self.heard.len() < count {
            if !self.listen().await? {
                return Err(Broken::Closed);
            }
        }
        let rest = self.heard.split_off(count);
        Ok(std::mem::replace(&mut self.heard, rest))
    }

    /// The next line without its end (`\n` or `\r\n`), of at most `limit` bytes.
    pub(crate) async fn line(&mut self, limit: usize) -> Result<Vec<u8>, Broken> {
        let mut searched = 0;
        loop {
            let new = self.heard.get(searched..).unwrap_or_default();
            if let Some(at) = new.iter().position(|byte| *byte == b'\n').map(|at| at + searched) {
                let mut line = self.take(at + 1).await?;
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            searched = self.heard.len();
            if searched > limit {
                return Err(Broken::Foreign(format!("a line has more than {limit} bytes")));
            }
            if !self.listen().await? {
                return Err(Broken::Closed);
            }
        }
    }
}

/// What a conversation says of the server; `what` is what was tried, and begins each sentence.
pub(crate) async fn judged(
    what: &str,
    deadline: Deadline<'_>,
    talk: impl Future<Output = Result<String, Broken>>,
) -> Finding {
    match deadline.within(talk).await {
        Some(Ok(sentence)) => Finding::pass(Code::L7OK, format!("{what}: {sentence}")),
        Some(Err(broken)) => broken.finding(what),
        None => Finding::fail(
            Code::L7TOUT,
            format!("{what}: connected, but no answer within {:?}", deadline.timeout),
        ),
    }
}

impl Broken {
    /// What it says of the server.
    pub(crate) fn finding(self, what: &str) -> Finding {
        let (code, why) = match self {
            // Memory of the kernel's, say, in the middle of a conversation.
            Self::Io(error) if is_own_shortage(&error) => {
                return Finding::ours(format!("{what}: {}", describe(&error)));
            }
            Self::Io(error) if error.raw_os_error().is_none() => {
                (Code::L7RSP, format!("connected, but {error}"))
            }
            Self::Io(error) => {
                (Code::L7RSP, format!("connected, but {} instead of an answer", describe(&error)))
            }
            Self::Closed => {
                (Code::L7RSP, "connected, but closed before a whole answer came".to_owned())
            }
            Self::TooLong => {
                (Code::L7RSP, format!("connected, but it says more than {TALK_LIMIT} bytes"))
            }
            Self::Foreign(why) => (Code::L7RSP, format!("connected, but {why}")),
            Self::Refused(why) => (Code::L7STS, why),
            Self::Ours(why) => return Finding::ours(format!("{what}: {why}")),
            Self::Judged(finding) => return finding,
        };
        Finding::fail(code, format!("{what}: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use holdfast_health::Verdict;
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn what_this_host_lacks_in_the_middle_of_a_conversation_is_no_fault_of_the_server() {
        for (errno, verdict, code) in [
            (Errno::ENOBUFS, Verdict::Inconclusive, Code::SOCKERR),
            (Errno::ENOMEM, Verdict::Inconclusive, Code::SOCKERR),
            (Errno::ECONNRESET, Verdict::Fail, Code::L7RSP),
            (Errno::EHOSTUNREACH, Verdict::Fail, Code::L7RSP),
        ] {
            let error = io::Error::from_raw_os_error(errno as i32);
            let finding = Broken::Io(error).finding("redis 10.0.0.11:6379");
            assert_eq!((finding.verdict, finding.reason.code), (verdict, code), "{errno}");
        }
    }
}
