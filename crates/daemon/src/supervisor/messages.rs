//! What a worker tells the service manager, on its way: the lines of `sd_notify(3)`, each message ended by an empty line.

/// A message is no longer; what is, is cut into two that mean nothing.
const MESSAGE_MAX: usize = 4096;

/// What of a message has come until now.
#[derive(Debug, Default)]
pub(super) struct Messages(Vec<u8>);

impl Messages {
    /// Takes what has been read, and gives what is whole.
    pub(super) fn take(&mut self, read: &[u8]) -> Vec<String> {
        self.0.extend_from_slice(read);
        let mut whole = Vec::new();
        while let Some(end) = self.0.windows(2).position(|two| two == b"\n\n") {
            let rest = self.0.split_off(end + 2);
            let message = std::mem::replace(&mut self.0, rest);
            whole.push(String::from_utf8_lossy(&message).trim_end().to_owned());
        }
        if self.0.len() > MESSAGE_MAX {
            self.0.clear();
        }
        whole
    }

    /// Another worker speaks: what the last one has left unsaid is nothing.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// Whether a message has this line.
pub(super) fn says(message: &str, line: &str) -> bool {
    message.lines().any(|one| one == line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart_however_they_come() {
        let mut messages = Messages::default();
        assert!(messages.take(b"READY=1\nSTA").is_empty());
        assert_eq!(
            messages.take(b"TUS=works\n\nWATCHDOG=1\n\nSTOP"),
            ["READY=1\nSTATUS=works", "WATCHDOG=1"]
        );
        messages.forget();
        assert_eq!(messages.take(b"STOPPING=1\n\n"), ["STOPPING=1"]);
        assert!(says("READY=1\nSTATUS=works", "READY=1") && !says("STATUS=READY=1", "READY=1"));
        messages.take(&[b'x'; 5000]);
        assert_eq!(messages.take(b"READY=1\n\n"), ["READY=1"]);
    }
}
