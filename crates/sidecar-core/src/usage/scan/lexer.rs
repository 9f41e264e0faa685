//! Reads along JSON that streams by, and keeps of it only what usage is made of.

use memchr::memchr2;

/// Reads JSON values one after the other, in whatever pieces they come: finds the usage objects at
/// the places where vendors put them, and measures the text that the model wrote. It does not
/// check the JSON; its memory is bounded whatever comes.
#[derive(Debug, Default)]
pub(super) struct Lexer {
    state: State,
    /// How many objects and arrays are open.
    depth: usize,
    /// The outermost of them.
    levels: [Level; LEVELS],
    /// The string that is being read, or was read last.
    word: Word,
    /// What the value that is due stands under.
    key: Key,
    /// Whether a value is due, as opposed to a key.
    after_colon: bool,
    capture: Option<Capture>,
    event: Event,
}

/// What one JSON value, or one element of an outermost array, was found to hold.
#[derive(Debug, Default)]
pub(super) struct Event {
    /// The usage object.
    pub(super) usage: Option<Usage>,
    /// Whether the model said that it is done.
    pub(super) finishes: bool,
    /// Whether it is one of many in an array, as Gemini's streams without SSE are.
    pub(super) is_element: bool,
    /// Whether it is of the Responses API, which repeats at the end of a part what it streamed.
    is_response: bool,
    text: Text,
}

/// The bytes of a usage object.
#[derive(Debug)]
pub(super) enum Usage {
    Whole(Vec<u8>),
    /// Larger than any vendor's.
    Oversized,
}

/// Bytes of text, by what they stand under.
#[derive(Debug, Default)]
struct Text {
    /// Told once.
    once: u64,
    /// `text`, under which some vendors repeat their reasoning.
    text: u64,
    /// The three names of reasoning, of which some vendors send two with the same text.
    reasoning: [u64; 3],
    /// `delta` with a text of its own.
    delta: u64,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Outside,
    String,
    Escape,
}

#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// What it stands under itself.
    key: Key,
    is_array: bool,
    /// Whether no element of it has ended yet.
    at_first: bool,
}

/// The beginning of a string, and its length in bytes once it is unescaped.
#[derive(Debug, Default)]
struct Word {
    start: [u8; LONGEST_WORD],
    kept: usize,
    length: u64,
    has_escapes: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Key {
    #[default]
    Other,
    Usage,
    /// What holds a usage at the outermost level.
    Holder,
    Choices,
    Finish,
    Type,
    Once,
    Text,
    Reasoning(usize),
    Delta,
}

/// A usage object that is being read.
#[derive(Debug)]
struct Capture {
    bytes: Vec<u8>,
    /// How many objects and arrays were open when it began.
    depth: usize,
    is_outermost: bool,
    is_oversized: bool,
}

impl Lexer {
    /// Reads the next piece and hands over every event that ends in it.
    pub(super) fn feed(&mut self, mut piece: &[u8], on_event: &mut impl FnMut(Event)) {
        while let Some((&byte, rest)) = piece.split_first() {
            match self.state {
                State::Outside => {
                    self.keep(&[byte]);
                    self.structure(byte, on_event);
                    piece = rest;
                }
                State::String => {
                    let end = memchr2(b'"', b'\\', piece).unwrap_or(piece.len());
                    let (run, rest) = piece.split_at(end);
                    self.keep(run);
                    self.word.extend(run);
                    piece = rest;
                    let Some((&byte, rest)) = rest.split_first() else { continue };
                    self.keep(&[byte]);
                    piece = rest;
                    if byte == b'"' {
                        self.state = State::Outside;
                        self.string_ends();
                    } else {
                        self.state = State::Escape;
                        self.word.has_escapes = true;
                    }
                }
                State::Escape => {
                    self.keep(&[byte]);
                    // Of `\u` the four digits count, which is about what the character takes.
                    self.word.length += u64::from(byte != b'u');
                    self.state = State::String;
                    piece = rest;
                }
            }
        }
    }

    /// Hands over what was read of an event that is not whole, and starts anew.
    pub(super) fn end(&mut self, on_event: &mut impl FnMut(Event)) {
        if !matches!(self.state, State::Outside) {
            self.string_ends();
        }
        let is_element = self.base() == 1;
        let event = std::mem::take(self).event;
        if !event.is_empty() {
            on_event(Event { is_element, ..event });
        }
    }

    fn structure(&mut self, byte: u8, on_event: &mut impl FnMut(Event)) {
        match byte {
            b'{' | b'[' => self.open(byte == b'['),
            b'}' | b']' => self.close(on_event),
            b'"' => {
                self.word.clear();
                self.state = State::String;
            }
            b':' => {
                self.key = Key::of(&self.word);
                self.after_colon = true;
            }
            b',' => {
                self.value_ends();
                if let Some(level) = self.levels.get_mut(self.depth.wrapping_sub(1)) {
                    level.at_first = false;
                }
            }
            _ => {}
        }
    }

    fn open(&mut self, is_array: bool) {
        let key = if self.after_colon { self.key } else { Key::Other };
        if !is_array && key == Key::Usage && self.capture.is_none() && self.is_usage_place() {
            self.capture = Some(Capture {
                bytes: vec![b'{'],
                depth: self.depth,
                is_outermost: self.depth - self.base() == 1,
                is_oversized: false,
            });
        }
        if let Some(level) = self.levels.get_mut(self.depth) {
            *level = Level { key, is_array, at_first: true };
        }
        self.depth += 1;
        self.value_ends();
    }

    fn close(&mut self, on_event: &mut impl FnMut(Event)) {
        let base = self.base();
        self.depth = self.depth.saturating_sub(1);
        self.value_ends();
        if let Some(capture) = self.capture.take_if(|capture| capture.depth >= self.depth) {
            self.event.add_usage(capture);
        }
        if self.depth <= base {
            let event = std::mem::take(&mut self.event);
            if !event.is_empty() {
                on_event(Event { is_element: base == 1, ..event });
            }
        }
    }

    fn value_ends(&mut self) {
        self.key = Key::Other;
        self.after_colon = false;
    }

    fn string_ends(&mut self) {
        if !self.after_colon {
            return;
        }
        let (word, level) = (&self.word, self.depth - self.base());
        let text = &mut self.event.text;
        match self.key {
            Key::Once => text.once += word.length,
            Key::Text => text.text += word.length,
            Key::Reasoning(name) => text.reasoning[name] += word.length,
            Key::Delta => text.delta += word.length,
            // Further in it is something that the model wrote.
            Key::Finish if level <= 3 && word.length > 0 => self.event.finishes = true,
            Key::Type if level == 1 => {
                self.event.is_response |= word.starts_with(b"response.");
                self.event.finishes |= ENDS.contains(&word.as_bytes());
            }
            _ => {}
        }
    }

    /// 1 inside of an outermost array, whose elements are events of their own.
    fn base(&self) -> usize {
        usize::from(self.depth > 0 && self.levels[0].is_array)
    }

    /// Whether an object that opens now stands where a vendor puts its usage: outermost, in one of
    /// a few objects there, or in the first choice. Anywhere else a model may have written it.
    fn is_usage_place(&self) -> bool {
        let base = self.base();
        let level = |depth: usize| self.levels.get(base + depth).copied().unwrap_or_default();
        match self.depth - base {
            1 => !level(0).is_array,
            2 => level(1).key == Key::Holder && !level(1).is_array,
            3 => {
                let choices = level(1);
                choices.key == Key::Choices && choices.at_first && !level(2).is_array
            }
            _ => false,
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let Some(capture) = &mut self.capture else { return };
        if capture.bytes.len() + bytes.len() > MOST_CAPTURED {
            capture.is_oversized = true;
            capture.bytes = Vec::new();
        } else if !capture.is_oversized {
            capture.bytes.extend_from_slice(bytes);
        }
    }
}

impl Event {
    /// The bytes of the text that the model wrote in it.
    pub(super) fn written(&self) -> u64 {
        let Text { once, text, reasoning, delta } = &self.text;
        if self.is_response {
            return *delta;
        }
        let reasoning = reasoning.iter().max().copied().unwrap_or(0);
        once.saturating_add(reasoning.max(*text))
    }

    fn is_empty(&self) -> bool {
        let Text { once, text, reasoning, delta } = &self.text;
        let written = once | text | delta | reasoning.iter().fold(0, |sum, length| sum | length);
        self.usage.is_none() && !self.finishes && written == 0
    }

    /// Of several the outermost counts.
    fn add_usage(&mut self, capture: Capture) {
        if self.usage.is_some() && !capture.is_outermost {
            return;
        }
        let Capture { bytes, is_oversized, .. } = capture;
        self.usage = Some(if is_oversized { Usage::Oversized } else { Usage::Whole(bytes) });
    }
}

impl Word {
    fn clear(&mut self) {
        (self.kept, self.length, self.has_escapes) = (0, 0, false);
    }

    fn extend(&mut self, run: &[u8]) {
        let room = &mut self.start[self.kept..];
        let kept = run.len().min(room.len());
        room[..kept].copy_from_slice(&run[..kept]);
        self.kept += kept;
        self.length += run.len() as u64;
    }

    /// The string, if it is short and plain.
    fn as_bytes(&self) -> &[u8] {
        if self.has_escapes || self.length > LONGEST_WORD as u64 {
            return &[];
        }
        &self.start[..self.kept]
    }

    fn starts_with(&self, prefix: &[u8]) -> bool {
        !self.has_escapes && self.start[..self.kept].starts_with(prefix)
    }
}

impl Key {
    fn of(word: &Word) -> Self {
        match word.as_bytes() {
            b"usage" | b"usageMetadata" => Self::Usage,
            b"x_groq" | b"response" | b"message" => Self::Holder,
            b"choices" => Self::Choices,
            b"finish_reason" | b"finishReason" | b"stop_reason" => Self::Finish,
            b"type" => Self::Type,
            b"content" | b"refusal" | b"arguments" | b"thinking" | b"partial_json" => Self::Once,
            b"text" => Self::Text,
            b"reasoning_content" => Self::Reasoning(0),
            b"reasoning" => Self::Reasoning(1),
            b"reasoning_text" => Self::Reasoning(2),
            b"delta" => Self::Delta,
            _ => Self::Other,
        }
    }
}

/// The types of events that end a stream.
const ENDS: [&[u8]; 4] =
    [b"message_stop", b"response.completed", b"response.incomplete", b"response.failed"];
/// As far down as any vendor's usage stands, in an array of events.
const LEVELS: usize = 4;
/// Long enough for every name that is looked for.
const LONGEST_WORD: usize = 32;
/// The largest usage object that is read, in bytes.
const MOST_CAPTURED: usize = 16 << 10;
