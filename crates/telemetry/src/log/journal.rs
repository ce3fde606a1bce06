//! systemd's journal in its own protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): a datagram an entry, a field a line.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::logfmt::Fields;

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// A longer field is cut: an entry has to fit into one datagram.
const VALUE_MAX: usize = 16 << 10;

/// The way to the journal. An entry that the journal does not take is lost.
#[derive(Debug)]
pub(super) struct Journal(UnixDatagram);

impl Journal {
    /// The journal of this host.
    pub(super) fn open() -> io::Result<Self> {
        Self::at(SOCKET)
    }

    fn at(socket: &str) -> io::Result<Self> {
        let journal = UnixDatagram::unbound()?;
        journal.connect(socket)?;
        Ok(Self(journal))
    }
}

impl Write for Journal {
    /// Sends an entry, which comes whole.
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        self.0.send(entry)?;
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The format of an entry: MESSAGE is what a line of logfmt would say, and every field stands by itself besides, as `HOLDFAST_…`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry;

impl<S, N> FormatEvent<S, N> for Entry
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut message = Message::default();
        event.record(&mut message);
        let mut behind = Fields { without_message: true, ..Fields::default() };
        event.record(&mut behind);
        let text = message.sentence.clone() + &behind.text;
        writeln!(writer, "PRIORITY={}", priority(*event.metadata().level()))?;
        writer.write_str("SYSLOG_IDENTIFIER=holdfastd\n")?;
        writeln!(writer, "MESSAGE={}", one_line(&text))?;
        writer.write_str(&message.fields)
    }
}

/// syslog(3)'s number.
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// What an event has, each field as the journal wants it.
#[derive(Debug, Default)]
struct Message {
    sentence: String,
    fields: String,
}

impl Message {
    fn put(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.sentence);
            return;
        }
        let name: String = field
            .name()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        // Writing to a String can't fail.
        let _infallible = writeln!(self.fields, "HOLDFAST_{name}={}", one_line(value));
    }
}

impl Visit for Message {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

/// `value` without an end of a line, which ends a field, and no longer than a field may be.
fn one_line(value: &str) -> String {
    let mut text = value.replace('\n', "\\n");
    if text.len() > VALUE_MAX {
        let end = (0..=VALUE_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_datagram_with_every_field() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let journal = UnixDatagram::bind(&path).expect("a socket");
        let path = path.to_str().expect("UTF-8").to_owned();
        let log = tracing_subscriber::fmt()
            .event_format(Entry)
            .with_writer(move || Journal::at(&path).expect("it listens"))
            .finish();
        tracing::subscriber::with_default(log, || {
            tracing::error!(
                service = "web",
                other_priority = 7,
                why = "a\nMESSAGE=forged",
                "it failed"
            );
        });
        let mut buffer = [0; 4096];
        let length = journal.recv(&mut buffer).expect("an entry");
        assert_eq!(
            std::str::from_utf8(&buffer[..length]).expect("UTF-8"),
            "PRIORITY=3\nSYSLOG_IDENTIFIER=holdfastd\n\
             MESSAGE=it failed service=\"web\" other_priority=7 why=\"a\\nMESSAGE=forged\"\n\
             HOLDFAST_SERVICE=web\nHOLDFAST_OTHER_PRIORITY=7\nHOLDFAST_WHY=a\\nMESSAGE=forged\n"
        );
    }

    #[test]
    fn a_long_field_is_cut_between_characters() {
        let cut = one_line(&"ä".repeat(VALUE_MAX));
        assert!(cut.len() <= VALUE_MAX + 3 && cut.ends_with("ä…"));
    }
}
