//! Fields of a line of text. What strangers sent may stand in them: it begins no line of its own, and tells a terminal
//! nothing.

use std::error::Error;
use std::fmt::{self, Debug, Write};

use tracing_subscriber::field::{RecordFields, Visit, VisitFmt, VisitOutput};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

use crate::text::is_plain;

/// `message name=value name=value`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain;

impl<'writer> FormatFields<'writer> for Plain {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Line { writer, is_begun: false, outcome: Ok(()) };
        fields.record(&mut line);
        line.finish()
    }
}

struct Line<'writer> {
    writer: Writer<'writer>,
    is_begun: bool,
    outcome: fmt::Result,
}

impl Line<'_> {
    fn write(&mut self, field: &tracing::field::Field, value: &str) -> fmt::Result {
        if self.is_begun {
            self.writer.write_char(' ')?;
        }
        self.is_begun = true;
        if field.name() != "message" {
            write!(self.writer, "{}=", field.name())?;
        }
        value.chars().try_for_each(|c| match c {
            c if is_plain(c) => self.writer.write_char(c),
            c => write!(self.writer, "{}", c.escape_unicode()),
        })
    }
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
        if self.outcome.is_ok() {
            self.outcome = self.write(field, &format!("{value:?}"));
        }
    }

    fn record_error(&mut self, field: &tracing::field::Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        if self.outcome.is_ok() {
            self.outcome = self.write(field, &text);
        }
    }
}

impl VisitOutput<fmt::Result> for Line<'_> {
    fn finish(self) -> fmt::Result {
        self.outcome
    }
}

impl VisitFmt for Line<'_> {
    fn writer(&mut self) -> &mut dyn Write {
        &mut self.writer
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::info;
    use tracing_subscriber::fmt;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(octets)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(log: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = fmt().without_time().with_ansi(false).fmt_fields(Plain);
        tracing::subscriber::with_default(lines.with_writer(move || writer.clone()).finish(), log);
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn fields_are_told_with_their_names() {
        let error = io::Error::other(io::Error::other("no room"));
        let line = logged(|| info!(code = 5, topic = "news/ż", error = &error as &dyn Error, "refused"));
        assert!(line.ends_with("refused code=5 topic=\"news/ż\" error=no room\n"), "{line}");
    }

    #[test]
    fn what_a_stranger_sent_begins_no_line_and_tells_a_terminal_nothing() {
        let forged = "GID\n2026-11-22 ERROR broker: forged\x1b[31m\r\u{202e}\u{85}";
        for line in [logged(|| info!(cause = %forged, "refused")), logged(|| info!("refused {forged}"))] {
            assert_eq!(line.lines().count(), 1, "{line}");
            assert!(line.trim_end().chars().all(is_plain), "{line:?}");
            assert!(line.contains("GID\\u{a}2026"), "{line}");
        }
    }
}
