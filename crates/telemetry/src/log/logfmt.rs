//! A line of logfmt: `time=2026-11-26T10:42:07.113Z level=info msg="a real server's health changed" service=web to=down`.
//!
//! Text stands in quotes, with JSON's escapes; numbers and other values stand as they are where they have no blank, quote or equals sign.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The format.
#[derive(Clone, Copy, Debug)]
pub(super) struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
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
        writer.write_str("time=")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, " level={}", name(*event.metadata().level()))?;
        let mut fields = Fields::default();
        event.record(&mut fields);
        writer.write_str(&fields.text)?;
        writer.write_char('\n')
    }
}

/// A level in lower case.
pub(super) const fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// The fields of an event, each with a blank before it.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) text: String,
    /// Whether the sentence is left out.
    pub(super) without_message: bool,
}

impl Fields {
    fn put(&mut self, field: &Field, value: &str, is_text: bool) {
        let name = match field.name() {
            "message" if self.without_message => return,
            "message" => "msg",
            name => name.strip_prefix("r#").unwrap_or(name),
        };
        self.text.push(' ');
        self.text.push_str(name);
        self.text.push('=');
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=';
        if is_text || name == "msg" || value.is_empty() || !value.chars().all(plain) {
            quote(&mut self.text, value);
        } else {
            self.text.push_str(value);
        }
    }
}

/// Appends `value` in quotes, in which nothing can end the line or draw on a terminal.
pub(super) fn quote(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                // Writing to a String can't fail.
                let _infallible = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value, true);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, &value.to_string(), true);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"), false);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no test panics in here").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(say: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt()
            .event_format(Logfmt)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(log, say);
        let bytes = lines.0.lock().expect("no test panics in here").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let said = line(|| {
            let hostile = "two\nlines \"quoted\" \u{1b}[31m";
            tracing::warn!(service = "web", number = 7, to = %"down", empty = "", why = hostile, took = ?std::time::Duration::from_millis(3), "a server's \"state\" changed");
        });
        let (time, rest) = said.split_once(" level=").expect("a level");
        assert!(time.starts_with("time=20") && time.ends_with('Z'), "{time}");
        assert_eq!(
            rest,
            "warn msg=\"a server's \\\"state\\\" changed\" service=\"web\" number=7 to=down empty=\"\" \
             why=\"two\\nlines \\\"quoted\\\" \\u001b[31m\" took=3ms\n"
        );
    }
}
