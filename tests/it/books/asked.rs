//! What is asked, and what becomes of it. All of it follows from the number of a request, so that
//! callers and providers agree on it without another word.

use serde_json::json;

use super::sums::Tokens;

/// One of the requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Chat,
    /// A stream whose caller does not ask what it used.
    Stream,
    /// A stream whose caller does.
    StreamAsked,
    Message,
    MessageStream,
    Embedding,
}

/// What a provider does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Answers as it should.
    Good,
    /// Answers, but does not say what it used.
    Silent,
    /// 400.
    Fault,
    /// The first one answers with 429.
    Limited,
    /// The first one answers with 500.
    Broken,
    /// The first one closes without a word.
    Closed,
    /// The first one closes within the head.
    Torn,
    /// A stream is cut before its usage is said.
    CutEarly,
    /// A stream is cut when all is said but its end.
    CutLate,
    /// The caller leaves in the middle of a stream.
    Left,
}

impl Asked {
    pub(super) fn of(number: u32) -> Self {
        let random = mix(number, 0);
        let kind = match random % 20 {
            0..5 => Kind::Chat,
            5..9 => Kind::Stream,
            9..13 => Kind::StreamAsked,
            13..15 => Kind::Message,
            15..18 => Kind::MessageStream,
            _ => Kind::Embedding,
        };
        let fate = match (random >> 16) % 100 {
            // Not by chance: it rests the model at this provider, so no model may meet many.
            _ if number.is_multiple_of(250) => Fate::Limited,
            0..2 => Fate::Broken,
            2 => Fate::Closed,
            3 => Fate::Torn,
            4..6 => Fate::Fault,
            6..9 if kind.is_stream() => Fate::CutEarly,
            9..12 if kind.is_stream() => Fate::CutLate,
            12..16 if kind.is_stream() => Fate::Left,
            16..24 if kind == Kind::Chat => Fate::Silent,
            _ => Fate::Good,
        };
        Self { number, kind, fate }
    }

    /// Who asks.
    pub(super) fn caller(&self) -> String {
        format!("agent-{}", self.number % 8)
    }

    /// The canonical name of the model.
    pub(super) fn model(&self) -> String {
        model(self.kind.models(), self.model_index())
    }

    /// The number of the model among those of its kind.
    pub(super) fn model_index(&self) -> u64 {
        u64::from(self.number / 10) % self.kind.models().1
    }

    pub(super) fn path(&self) -> &'static str {
        match self.kind {
            Kind::Chat | Kind::Stream | Kind::StreamAsked => "/v1/chat/completions",
            Kind::Message | Kind::MessageStream => "/v1/messages",
            Kind::Embedding => "/v1/embeddings",
        }
    }

    /// The body, which names the number in `user` and is of a known length.
    pub(super) fn body(&self) -> String {
        let prompt = "p".repeat(self.padding(&self.body_with("")));
        let body = self.body_with(&prompt);
        assert_eq!(body.len() as u64, self.bytes());
        body
    }

    /// The text of the answer; nothing else in an answer has its last character.
    pub(super) fn text(&self) -> String {
        let length = mix(self.number, 1) % 120;
        "t".repeat(length as usize) + LAST_OF_TEXT
    }

    /// What a provider says that it used.
    pub(super) fn tokens(&self) -> Tokens {
        let random = mix(self.number, 2);
        let (prompt, completion) = (20 + random % 2_000, 2 + (random >> 16) % 400);
        match self.kind {
            Kind::Embedding => Tokens { prompt, ..Tokens::default() },
            Kind::Message | Kind::MessageStream => {
                let (cached, cache_write) = (prompt / 3, prompt / 5);
                Tokens { prompt, completion, cached, cache_write, reasoning: 0 }
            }
            Kind::Chat | Kind::Stream | Kind::StreamAsked => {
                let (cached, reasoning) = (prompt / 4, completion / 5);
                Tokens { prompt, completion, cached, cache_write: 0, reasoning }
            }
        }
    }

    /// What is booked if the usage is not said, or not all of it: four bytes are a token. Messages
    /// say their prompt at the beginning of a stream, and one token of what is to come.
    pub(super) fn estimate(&self) -> Tokens {
        let written = (self.text().len() as u64).div_ceil(4);
        if self.kind == Kind::MessageStream {
            return Tokens { completion: TOLD_AT_FIRST + written, ..self.tokens() };
        }
        Tokens { prompt: self.bytes().div_ceil(4), completion: written, ..Tokens::default() }
    }

    /// The length of the body.
    fn bytes(&self) -> u64 {
        300 + mix(self.number, 3) % 400
    }

    fn padding(&self, empty: &str) -> usize {
        self.bytes() as usize - empty.len()
    }

    fn body_with(&self, prompt: &str) -> String {
        let mut body = json!({"model": self.model(), "user": self.number.to_string()});
        if self.kind == Kind::Embedding {
            body["input"] = prompt.into();
            return body.to_string();
        }
        body["messages"] = json!([{"role": "user", "content": prompt}]);
        body["max_tokens"] = 500.into();
        if self.kind.is_stream() {
            body["stream"] = true.into();
        }
        if self.kind == Kind::StreamAsked {
            body["stream_options"] = json!({"include_usage": true});
        }
        body.to_string()
    }
}

impl Kind {
    pub(super) fn is_stream(self) -> bool {
        matches!(self, Self::Stream | Self::StreamAsked | Self::MessageStream)
    }

    fn models(self) -> Models {
        match self {
            Self::Chat | Self::Stream | Self::StreamAsked => CHAT,
            Self::Message | Self::MessageStream => CLAUDE,
            Self::Embedding => EMBED,
        }
    }
}

impl Fate {
    /// Whether only the first provider that is asked fails.
    pub(super) fn fails_over(self) -> bool {
        matches!(self, Self::Limited | Self::Broken | Self::Closed | Self::Torn)
    }

    /// Whether the provider cuts the answer.
    pub(super) fn cuts(self) -> bool {
        matches!(self, Self::CutEarly | Self::CutLate)
    }
}

/// The name of each of `models`, and its number among them.
pub(super) fn names(models: Models) -> impl Iterator<Item = (String, u64)> {
    (0..models.1).map(move |index| (model(models, index), index))
}

fn model(models: Models, index: u64) -> String {
    format!("{}-{index:02}", models.0)
}

/// A number that looks random, of a request and a purpose (splitmix64).
fn mix(number: u32, purpose: u64) -> u64 {
    let mut mixed = (u64::from(number) + (purpose << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Models of one kind: the front of their names, and how many there are. Many, so that one that
/// rests at a provider is no great loss.
pub(super) type Models = (&'static str, u64);
pub(super) const CHAT: Models = ("chat", 24);
pub(super) const CLAUDE: Models = ("claude", 12);
pub(super) const EMBED: Models = ("embed", 4);
pub(super) const LAST_OF_TEXT: &str = "~";
/// The tokens of the answer that a stream of messages begins with.
pub(super) const TOLD_AT_FIRST: u64 = 1;
