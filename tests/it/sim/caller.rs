//! What callers send, and what they see.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use sidecar_core::error::Error;

/// A request to be sent.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) caller: String,
    pub(super) model: &'static str,
    pub(super) prompt: Prompt,
    /// What `X-Sidecar-Deadline-Ms` says, if it is sent.
    pub(super) patience: Option<Duration>,
}

/// What is in it for the vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    /// Something that can be answered.
    Plain,
    /// The vendor answers 400.
    Nonsense,
    /// The vendor answers 400: its window is too small.
    TooLong,
    /// No vendor ever comes to the first byte of an answer.
    Endless,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) caller: String,
    /// When it was sent, since the world's start.
    pub(super) at: Duration,
    /// Until the end of the answer.
    pub(super) latency: Duration,
    pub(super) patience: Option<Duration>,
    pub(super) result: Result<Served, Failed>,
}

/// Who answered, by the headers of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) provider: String,
    pub(super) attempts: u32,
    pub(super) queued: Duration,
}

/// Why nobody did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) status: u16,
    pub(super) code: &'static str,
    /// How many providers it was sent to, where that is said.
    pub(super) attempts: Option<u32>,
}

impl Ask {
    /// A plain request with the default patience.
    pub(super) fn of(caller: impl Into<String>) -> Self {
        Self { caller: caller.into(), model: MODEL, prompt: Prompt::Plain, patience: None }
    }

    /// The same with another prompt.
    pub(super) fn saying(self, prompt: Prompt) -> Self {
        Self { prompt, ..self }
    }

    /// The same with a deadline.
    pub(super) fn within(self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self }
    }

    /// The same for another model.
    pub(super) fn model(self, model: &'static str) -> Self {
        Self { model, ..self }
    }

    pub(super) fn request(&self) -> Request<Full<Bytes>> {
        let body = json!({
            "model": self.model,
            "user": self.caller,
            "messages": [{"role": "user", "content": self.prompt.words()}],
        });
        let mut request = Request::post("/v1/chat/completions")
            .header("content-type", "application/json")
            .header("x-agent-id", self.caller.as_str());
        if let Some(patience) = self.patience {
            request = request.header("x-sidecar-deadline-ms", patience.as_millis().to_string());
        }
        request.body(Full::from(body.to_string())).unwrap()
    }
}

impl Prompt {
    /// The prompt that says `words`.
    pub(super) fn of(words: &str) -> Self {
        *Self::ALL.iter().find(|prompt| prompt.words() == words).unwrap()
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Plain => "hello",
            Self::Nonsense => "gibberish",
            Self::TooLong => "a very long story",
            Self::Endless => "count to infinity",
        }
    }

    const ALL: [Self; 4] = [Self::Plain, Self::Nonsense, Self::TooLong, Self::Endless];
}

impl Failed {
    pub(super) fn of(error: &Error) -> Self {
        let attempts = match error {
            Error::Exhausted { attempts, .. } => Some(*attempts),
            _ => None,
        };
        Self { status: error.status().as_u16(), code: error.code(), attempts }
    }
}

/// The model that every provider serves.
pub(super) const MODEL: &str = "m";
