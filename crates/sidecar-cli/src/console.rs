//! What a command reads and writes beside the network: the terminal, or what stands in for it.

use std::io::{self, BufRead, IsTerminal as _, Read, Write};

use sidecar_core::secret::Secret;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::escape::escape_short;
use crate::files::MAX_SECRET;

/// The output, the messages and the input of a command.
pub struct Console<'a> {
    out: Box<dyn Write + 'a>,
    err: Box<dyn Write + 'a>,
    input: Box<dyn BufRead + 'a>,
    terminal: bool,
}

impl Console<'static> {
    /// The console of the process.
    pub fn system() -> Self {
        let input = io::stdin().lock();
        let terminal = input.is_terminal();
        Self { terminal, ..Self::new(io::stdout().lock(), io::stderr(), input) }
    }
}

impl<'a> Console<'a> {
    /// A console that is no terminal: nobody can be asked.
    pub fn new(out: impl Write + 'a, err: impl Write + 'a, input: impl BufRead + 'a) -> Self {
        let (out, err, input) = (Box::new(out), Box::new(err), Box::new(input));
        Self { out, err, input, terminal: false }
    }

    /// Writes the result of a command, harmless text, and a line feed.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Error> {
        // At once, so that the lines of a long command are seen as they come.
        writeln!(self.out, "{text}").and_then(|()| self.out.flush()).map_err(Error::Output)
    }

    /// Tells the person something beside the result.
    pub(crate) fn note(&mut self, text: &str) {
        // There is nobody left to tell when this fails.
        let _ = writeln!(self.err, "{text}");
    }

    /// Tells the person why the command was refused or failed.
    pub(crate) fn report(&mut self, error: &Error) {
        if !error.is_silent() {
            self.note(&format!("error: {}", escape_short(&error.message(), MAX_MESSAGE)));
        }
    }

    /// Whether a person sits at the input and can be asked.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The API key of `provider`: asked for at a terminal, where it must not be echoed, else the
    /// first line of the input.
    pub(crate) fn key(&mut self, provider: &str) -> Result<Secret, Error> {
        if self.terminal { Self::prompt_key(provider) } else { self.key_line() }
    }

    /// The API key of `provider`, asked for at the terminal of the process.
    pub(crate) fn prompt_key(provider: &str) -> Result<Secret, Error> {
        let question = format!("API key of {}: ", escape_short(provider, 80));
        let typed = rpassword::prompt_password(question).map(Zeroizing::new);
        key(&typed.map_err(Error::Prompt)?)
    }

    fn key_line(&mut self) -> Result<Secret, Error> {
        let mut line = Zeroizing::new(String::new());
        let read = Read::by_ref(&mut self.input).take(MAX_SECRET).read_line(&mut line);
        read.map_err(Error::Stdin)?;
        if !line.ends_with('\n') && u64::try_from(line.len()).is_ok_and(|len| len >= MAX_SECRET) {
            return Err(Error::Input("the first line of standard input is too long".to_owned()));
        }
        key(&line)
    }
}

fn key(text: &str) -> Result<Secret, Error> {
    match text.trim() {
        "" => Err(Error::Input("no API key was given".to_owned())),
        key => Ok(Secret::new(key)),
    }
}

/// The longest message, in characters; a server may send anything.
const MAX_MESSAGE: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(input: &str) -> Result<Secret, Error> {
        Console::new(io::sink(), io::sink(), input.as_bytes()).key("nim")
    }

    #[test]
    fn a_key_is_the_first_line_of_the_input() {
        assert_eq!(key_of("sk-0123\r\nmore\n").unwrap().expose(), "sk-0123");
        assert_eq!(key_of("sk-0123").unwrap().expose(), "sk-0123");
    }

    #[test]
    fn no_key_and_an_overlong_one_are_refused() {
        for input in ["", "\n", "  \nsk-0123\n", &"k".repeat(8_192), &"k".repeat(20_000)] {
            assert!(matches!(key_of(input), Err(Error::Input(_))), "{}", input.len());
        }
        assert!(key_of(&"k".repeat(8_191)).is_ok());
    }

    #[test]
    fn what_a_server_says_cannot_steer_the_terminal() {
        let mut err = Vec::new();
        let mut console = Console::new(io::sink(), &mut err, io::empty());
        console.report(&Error::Refused { field: None, detail: "\u{1b}[2J".to_owned() });
        drop(console);
        assert_eq!(err, b"error: \\u{1b}[2J\n");
    }
}
