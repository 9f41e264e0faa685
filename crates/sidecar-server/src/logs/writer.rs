//! [`Lines`]: log lines that somebody else writes.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Where lines are put down for the thread that writes them. Whoever logs waits for nobody; what
/// comes within [`GATHERING`] is written at once.
#[derive(Clone, Debug)]
pub(super) struct Lines(Arc<Shared>);

/// Writes what is left when it is dropped. Keep it for as long as there may be lines.
#[derive(Debug)]
pub struct LogGuard {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    text: Vec<u8>,
    /// Lines that there was no room for.
    dropped: u64,
    is_over: bool,
}

impl Lines {
    /// Starts to write what is put down to `out`.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(Self, LogGuard)> {
        let shared = Arc::new(Shared::default());
        let for_writer = shared.clone();
        let writer = thread::Builder::new()
            .name("sidecar-log".to_owned())
            .spawn(move || for_writer.write_to(out))?;
        Ok((Self(shared.clone()), LogGuard { shared, writer: Some(writer) }))
    }
}

impl Write for Lines {
    /// One line, whole: that is how the subscriber writes.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.state();
        if state.is_over {
            drop(state);
            return io::stderr().write(line);
        }
        if state.text.len() + line.len() > MOST_WAITING {
            state.dropped += 1;
            return Ok(line.len());
        }
        let was_empty = state.text.is_empty();
        state.text.extend_from_slice(line);
        drop(state);
        if was_empty {
            self.0.changed.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Shared {
    fn write_to(&self, mut out: impl Write) {
        let mut text = Vec::new();
        loop {
            let (dropped, is_over) = {
                let mut state = self.state();
                while state.text.is_empty() && !state.is_over {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if !state.is_over {
                    let gathering = self.changed.wait_timeout_while(state, GATHERING, |state| {
                        !state.is_over && state.text.len() < ENOUGH
                    });
                    state = gathering.unwrap_or_else(PoisonError::into_inner).0;
                }
                mem::swap(&mut text, &mut state.text);
                (mem::take(&mut state.dropped), state.is_over)
            };
            // Nobody is left to be told of a log that cannot be written.
            let _ = out.write_all(&text);
            if dropped > 0 {
                let _ = writeln!(out, "{dropped} log lines were dropped: they came too fast");
            }
            if is_over {
                return;
            }
            text.clear();
            text.shrink_to(ENOUGH);
        }
    }

    /// A poisoned mutex guards a buffer that is valid at every step.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.shared.changed.notify_one();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// How long a line waits for others to be written with. A person does not see it.
const GATHERING: Duration = Duration::from_millis(5);
/// How much is written without waiting for more, in bytes.
const ENOUGH: usize = 64 << 10;
/// How much may wait while the log cannot be written as fast as it comes, in bytes.
const MOST_WAITING: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Tells of everything that is written to it.
    struct Told(mpsc::Sender<String>);

    impl Write for Told {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(String::from_utf8_lossy(text).into_owned());
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_come_out_in_their_order_and_none_is_lost_at_the_end() {
        let (told, written) = mpsc::channel();
        let (lines, guard) = Lines::start(Told(told)).unwrap();
        for line in 0..100 {
            writeln!(lines.make_writer(), "{line}").unwrap();
        }
        drop(guard);
        let expected: String = (0..100).map(|line| format!("{line}\n")).collect();
        assert_eq!(written.iter().collect::<String>(), expected);
    }

    #[test]
    fn a_line_does_not_wait_for_the_next_one() {
        let (told, written) = mpsc::channel();
        let (lines, _guard) = Lines::start(Told(told)).unwrap();
        lines.make_writer().write_all(b"alone\n").unwrap();
        assert_eq!(written.recv_timeout(Duration::from_secs(10)).unwrap(), "alone\n");
    }

    #[test]
    fn a_log_that_cannot_be_written_costs_a_bounded_memory_and_says_what_is_missing() {
        /// Takes nothing until it is told to.
        struct Stuck(mpsc::Receiver<()>, mpsc::Sender<String>);

        impl Write for Stuck {
            fn write(&mut self, text: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                let _ = self.1.send(String::from_utf8_lossy(text).into_owned());
                Ok(text.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let (go_on, wait) = mpsc::channel();
        let (told, written) = mpsc::channel();
        let (lines, guard) = Lines::start(Stuck(wait, told)).unwrap();
        let line = vec![b'x'; 1 << 20];
        for _ in 0..12 {
            lines.make_writer().write_all(&line).unwrap();
        }
        assert!(lines.0.state().text.len() <= MOST_WAITING);
        drop(go_on);
        drop(guard);
        let written: String = written.iter().collect();
        assert!(written.contains("log lines were dropped"));
        assert!(written.len() <= 2 * MOST_WAITING + 100);
    }
}
