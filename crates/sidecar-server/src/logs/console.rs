//! [`Console`]: log lines for people.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Write as _};

use sidecar_core::clock::{Clock, Timestamp};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Time, level, module and message, then `name=value` for each field. A value that is no plain word
/// stands in quotes, so that none can pass for another field. Nothing that is logged can begin a
/// line of its own or change what a terminal shows.
///
/// There is a line for every request, so this writes what it can as it is: the general formatter
/// takes eight times as long for it.
#[derive(Debug)]
pub(super) struct Console {
    clock: Clock,
    has_colour: bool,
}

/// Writes fields, and remembers the first failure.
struct Fields<'a, 'w> {
    out: &'a mut Writer<'w>,
    result: fmt::Result,
}

/// Writes text with those of its characters escaped that are not shown as they are.
struct Escaped<'a, 'w>(&'a mut Writer<'w>);

/// The second that was written last, up to its last digit.
#[derive(Debug, Default)]
struct Second {
    number: i64,
    text: String,
}

impl Console {
    pub(super) fn new(clock: Clock, has_colour: bool) -> Self {
        Self { clock, has_colour }
    }
}

impl<S, N> FormatEvent<S, N> for Console
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write_time(self.clock.wall(), &mut out)?;
        let (level, colour) = match *event.metadata().level() {
            Level::ERROR => (" ERROR ", "\x1b[31m"),
            Level::WARN => ("  WARN ", "\x1b[33m"),
            Level::INFO => ("  INFO ", "\x1b[32m"),
            Level::DEBUG => (" DEBUG ", "\x1b[34m"),
            Level::TRACE => (" TRACE ", "\x1b[35m"),
        };
        if self.has_colour {
            out.write_str(colour)?;
        }
        out.write_str(level)?;
        if self.has_colour {
            out.write_str("\x1b[0m")?;
        }
        out.write_str(event.metadata().target())?;
        out.write_char(':')?;
        let mut fields = Fields { out: &mut out, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        out.write_char('\n')
    }
}

impl Fields<'_, '_> {
    fn write(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = self.try_write(field.name(), value);
        }
    }

    fn try_write(
        &mut self,
        name: &str,
        value: impl FnOnce(&mut Writer<'_>) -> fmt::Result,
    ) -> fmt::Result {
        self.out.write_char(' ')?;
        if name != MESSAGE {
            self.out.write_str(name)?;
            self.out.write_char('=')?;
        }
        value(self.out)
    }
}

impl Visit for Fields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, |out| write_value(out, value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, |out| write!(out, "{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.write(field, |out| write!(out, "{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == MESSAGE {
            return self.write(field, |out| write!(Escaped(out), "{value:?}"));
        }
        self.write(field, |out| {
            // Taken, because a value may log something while it is formatted.
            let mut shown = SHOWN.take();
            shown.clear();
            write!(shown, "{value:?}")?;
            write_value(out, &shown)?;
            if shown.capacity() <= MOST_KEPT {
                SHOWN.set(shown);
            }
            Ok(())
        });
    }
}

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_odd) {
            let (plain, odd) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut characters = odd.chars();
            for odd in characters.by_ref().take(1) {
                write!(self.0, "{}", odd.escape_debug())?;
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Whether a character is a control character, or one that shows nothing or turns the text around
/// it.
fn is_odd(character: char) -> bool {
    match character {
        '"' | '\'' | '\\' => false,
        _ => character.escape_debug().len() > 1,
    }
}

/// A value, in quotes if it needs them.
fn write_value(out: &mut Writer<'_>, value: &str) -> fmt::Result {
    if is_word(value) { out.write_str(value) } else { write!(out, "{value:?}") }
}

/// Whether `text` can stand without quotes.
fn is_word(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'=');
    !text.is_empty() && text.bytes().all(is_plain)
}

/// `now` with milliseconds. The rest of it is the same for all lines of a second.
fn write_time(now: Timestamp, out: &mut Writer<'_>) -> fmt::Result {
    let millis = now.as_millis();
    let number = millis.div_euclid(1_000);
    SECOND.with_borrow_mut(|second| {
        if second.text.is_empty() || second.number != number {
            let whole = Timestamp::from_millis(number.saturating_mul(1_000));
            second.text = whole.to_string();
            second.text.truncate(second.text.len().saturating_sub("Z".len()));
            second.number = number;
        }
        out.write_str(&second.text)
    })?;
    write!(out, ".{:03}Z", millis.rem_euclid(1_000))
}

thread_local! {
    static SECOND: RefCell<Second> = RefCell::default();
    /// Room for the value that is being formatted.
    static SHOWN: Cell<String> = const { Cell::new(String::new()) };
}

const MESSAGE: &str = "message";
/// How much room is kept for the next value, in bytes.
const MOST_KEPT: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Kept {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    async fn logged(has_colour: bool, log: impl FnOnce()) -> String {
        let kept = Kept::default();
        let console = Console::new(Clock::simulated(), has_colour);
        let layer = tracing_subscriber::fmt::layer().with_writer(kept.clone());
        let subscriber = tracing_subscriber::registry().with(layer.event_format(console));
        tokio::time::advance(std::time::Duration::from_millis(1_002)).await;
        tracing::subscriber::with_default(subscriber, log);
        let text = kept.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_says_when_how_grave_where_and_what() {
        let line = logged(false, || {
            tracing::info!(target: "t", path = "/v1/x", status = Some(200), none = None::<u8>,
                took = 1.5, who = %"a b", is_new = true, "request");
        });
        let line = line.await;
        let want = "2026-01-01T00:00:01.002Z  INFO t: request path=/v1/x status=200 took=1.5 \
                    who=\"a b\" is_new=true\n";
        assert_eq!(line, want);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_that_is_logged_makes_a_line_or_a_colour_of_its_own() {
        let hostile = "a\n2026 ERROR \x1b[31mx\u{9b}y";
        let line = logged(false, || {
            tracing::warn!(text = hostile, shown = %hostile, quote = "\"", empty = "", "{hostile}");
        });
        let line = line.await;
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(line.ends_with('\n') && !line[..line.len() - 1].contains(char::is_control));
        assert!(line.contains(r": a\n2026 ERROR \u{1b}[31mx\u{9b}y text="), "{line}");
        assert!(line.contains(r#"text="a\n2026 ERROR \u{1b}[31mx"#), "{line}");
        assert!(line.contains(r#"shown="a\n2026 ERROR \u{1b}[31mx"#), "{line}");
        assert!(line.contains(r#"quote="\"" empty="""#), "{line}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_value_passes_for_another_field() {
        let hostile = "x status=200 \" provider=evil";
        let error = io::Error::other("no\" status=200");
        let line = logged(false, || {
            tracing::info!(target: "t", text = hostile, caller = %hostile, of = ?Some(hostile),
                none = %"", sum = %"a=b", %error, path = %"/v1/x", "it's \"done\" \\o");
        });
        let line = line.await;
        let want = r#" INFO t: it's "done" \o text="x status=200 \" provider=evil" "#.to_owned()
            + r#"caller="x status=200 \" provider=evil" "#
            + r#"of="Some(\"x status=200 \\\" provider=evil\")" "#
            + r#"none="" sum="a=b" error="no\" status=200" path=/v1/x"#;
        assert_eq!(line.trim_end().split_once("Z ").unwrap().1, want);
    }

    #[tokio::test(start_paused = true)]
    async fn what_hides_or_turns_text_is_shown() {
        for odd in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{2028}', '\u{7f}'] {
            let hostile = format!("a{odd}b\u{e9}");
            let line = logged(false, || {
                tracing::info!(text = &*hostile, shown = %hostile, of = ?hostile, "{hostile}");
            });
            let line = line.await;
            assert!(!line.contains(odd), "{line}");
            let shown = format!("a{}b\u{e9}", odd.escape_unicode());
            assert_eq!(line.matches(&shown).count(), 3, "{line}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_value_after_a_long_one_is_whole() {
        let long = "y".repeat(2 * MOST_KEPT);
        let line = logged(false, || {
            tracing::info!(target: "t", long = %long, short = %"z", flag = false, "m");
        });
        let line = line.await;
        assert!(line.ends_with(&format!("t: m long={long} short=z flag=false\n")), "{line}");
        assert!(SHOWN.take().capacity() <= MOST_KEPT);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_level_is_coloured() {
        let line = logged(true, || tracing::error!(target: "t", "down")).await;
        assert_eq!(line, "2026-01-01T00:00:01.002Z\u{1b}[31m ERROR \u{1b}[0mt: down\n");
    }
}
