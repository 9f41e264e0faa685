//! Why a command was refused or failed, in words for the person who gave it.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use http::StatusCode;
use sidecar_core::client::ClientError;

use crate::token::PLACES;

/// Why a command was refused or failed. No text here holds a secret; texts of the server are
/// escaped where they are shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The flags do not make a command; what clap itself cannot see.
    #[error("{0}")]
    Usage(String),
    /// A file, a key or a model is not what the command needs.
    #[error("{0}")]
    Input(String),
    #[error("cannot {verb} {}", .path.display())]
    File { verb: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is not valid JSON", .path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("cannot read the key from the terminal")]
    Prompt(#[source] io::Error),
    #[error("cannot read the key from standard input")]
    Stdin(#[source] io::Error),
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    #[error("there is no admin token; it is looked for in {}", PLACES)]
    NoToken,
    #[error("the admin token from {0} is not one: it must be visible ASCII, without white space")]
    BadToken(String),
    #[error("--url or SIDECAR_URL: {0}")]
    Url(String),
    #[error(
        "the admin token is not sent to {url}: plain http to another machine shows it, and every \
         provider key that is entered, to everybody on the way; use https, or a tunnel to the \
         server's loopback address, or give --insecure-http to send it all the same"
    )]
    PlainHttp { url: String },
    #[error(
        "cannot reach Sidecar at {url}: is it running? start it with `cargo run --release -p \
         sidecar-server`, or set SIDECAR_URL ({cause})"
    )]
    Unreachable { url: String, cause: String },
    #[error("Sidecar at {url} did not answer: {cause}")]
    NoAnswer { url: String, cause: String },
    #[error("Sidecar at {url} did not answer within {seconds} s; a change may have been made")]
    TimedOut { url: String, seconds: u64 },
    #[error("the answer of Sidecar at {url} is too large")]
    TooLarge { url: String },
    #[error(
        "Sidecar at {url} does not accept the admin token from {origin}; it is looked for in {}",
        PLACES
    )]
    Unauthorized { url: String, origin: String },
    /// The server's own refusal.
    #[error("{}{detail}", prefix(.field.as_deref()))]
    Refused { field: Option<String>, detail: String },
    #[error(
        "{url} answered {status}, but not as the admin API of Sidecar does: is it the right URL?"
    )]
    NotSidecar { url: String, status: StatusCode },
    #[error("the server's answer has no usable {0:?}; is it of another version?")]
    Incomplete(&'static str),
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Everything was said already; only the exit code is left.
    #[error("failed")]
    Reported,
}

impl Error {
    /// The exit code: 2 for wrong use, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        if matches!(self, Self::Usage(_)) { 2 } else { 1 }
    }

    /// Whether there is nothing to say: it was said already, or the reader of the output left.
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            Self::Reported => true,
            Self::Output(error) => error.kind() == io::ErrorKind::BrokenPipe,
            _ => false,
        }
    }

    /// Whether it concerns only the provider at hand, so that others may still succeed.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Input(_))
    }

    /// The error with its causes, in one line.
    pub(crate) fn message(&self) -> String {
        let mut message = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        message
    }
}

fn prefix(field: Option<&str>) -> String {
    field.map(|field| format!("{field}: ")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_field_if_it_has_one() {
        let refused = |field: Option<&str>| {
            let (field, detail) = (field.map(str::to_owned), "must be from 1 to 9".to_owned());
            Error::Refused { field, detail }.message()
        };
        assert_eq!(refused(Some("rpm_limit")), "rpm_limit: must be from 1 to 9");
        assert_eq!(refused(None), "must be from 1 to 9");
    }

    #[test]
    fn a_message_names_the_cause() {
        let source = io::Error::from(io::ErrorKind::NotFound);
        let error = Error::File { verb: "read", path: "a.json".into(), source };
        assert_eq!(error.message(), "cannot read a.json: entity not found");
    }

    #[test]
    fn wrong_use_and_failure_differ_in_the_exit_code() {
        assert_eq!(Error::Usage("nothing to change".into()).exit_code(), 2);
        assert_eq!(Error::NoToken.exit_code(), 1);
        assert_eq!(Error::Reported.exit_code(), 1);
    }

    #[test]
    fn a_reader_who_left_is_told_nothing() {
        assert!(Error::Output(io::ErrorKind::BrokenPipe.into()).is_silent());
        assert!(!Error::Output(io::ErrorKind::StorageFull.into()).is_silent());
    }
}
