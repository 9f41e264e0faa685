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
    /// The string that is being read, or the last one unless all of it lies in the piece at hand.
    word: Word,
    /// What the value that is due stands under; [`Key::Other`] where none is.
    key: Key,
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
    Reasoning(u8),
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
    pub(super) fn feed(&mut self, piece: &[u8], on_event: &mut impl FnMut(Event)) {
        let mut at = if matches!(self.state, State::Outside) { 0 } else { self.string(piece, 0) };
        // The last string, if it lies in this piece and has no escapes: most do, and need no copy.
        let mut plain = None;
        // Where what the capture has not kept yet begins.
        let mut unkept = 0;
        while let Some(&byte) = piece.get(at) {
            at += 1;
            match byte {
                b'"' => {
                    let rest = &piece[at..];
                    let (word, rest) = rest.split_at(plain_length(rest));
                    if rest.first() == Some(&b'"') {
                        at += word.len() + 1;
                        plain = Some(word);
                        if self.key != Key::Other {
                            let (level, length) = (self.depth - self.base(), word.len() as u64);
                            self.event.add_string(self.key, level, word, length);
                        }
                        // Nothing else follows a key, save for white space.
                        if piece.get(at) == Some(&b':') {
                            at += 1;
                            self.key = Key::of(word);
                        }
                    } else {
                        plain = None;
                        self.word.clear();
                        self.state = State::String;
                        at = self.string(piece, at);
                    }
                }
                b':' => self.key = Key::of(plain.unwrap_or_else(|| self.word.start())),
                b',' => {
                    self.key = Key::Other;
                    if let Some(level) = self.levels.get_mut(self.depth.wrapping_sub(1)) {
                        level.at_first = false;
                    }
                }
                b'{' | b'[' => {
                    if self.capture.is_none() {
                        unkept = at - 1;
                    }
                    self.open(byte == b'[');
                }
                b'}' | b']' => {
                    self.keep(&piece[unkept..at]);
                    unkept = at;
                    self.close(on_event);
                }
                // A number, a name or white space: all of it at once.
                _ => {
                    while piece.get(at).is_some_and(|byte| !IS_MARK[usize::from(*byte)]) {
                        at += 1;
                    }
                }
            }
        }
        self.keep(&piece[unkept..]);
        if let Some(plain) = plain {
            self.word.clear();
            self.word.extend(plain);
        }
    }

    /// Reads on in a string that has escapes or lies in several pieces; gives where it is left.
    // Apart from the loop that has all other strings, which is a tenth slower with this in it.
    #[cold]
    fn string(&mut self, piece: &[u8], mut at: usize) -> usize {
        while let Some(&byte) = piece.get(at) {
            if matches!(self.state, State::Escape) {
                // Of `\u` the four digits count, which is about what the character takes.
                self.word.length += u64::from(byte != b'u');
                self.state = State::String;
                at += 1;
                continue;
            }
            let rest = &piece[at..];
            let (run, rest) = rest.split_at(memchr2(b'"', b'\\', rest).unwrap_or(rest.len()));
            self.word.extend(run);
            at += run.len();
            let Some(&byte) = rest.first() else { break };
            at += 1;
            if byte == b'"' {
                self.state = State::Outside;
                self.word_ends();
                break;
            }
            self.state = State::Escape;
            self.word.has_escapes = true;
        }
        at
    }

    /// Hands over what was read of an event that is not whole, and starts anew.
    pub(super) fn end(&mut self, on_event: &mut impl FnMut(Event)) {
        if !matches!(self.state, State::Outside) {
            self.word_ends();
        }
        let is_element = self.base() == 1;
        let event = std::mem::take(self).event;
        if !event.is_empty() {
            on_event(Event { is_element, ..event });
        }
    }

    fn open(&mut self, is_array: bool) {
        let key = self.key;
        if !is_array && key == Key::Usage && self.capture.is_none() && self.is_usage_place() {
            self.capture = Some(Capture {
                bytes: Vec::new(),
                depth: self.depth,
                is_outermost: self.depth - self.base() == 1,
                is_oversized: false,
            });
        }
        if let Some(level) = self.levels.get_mut(self.depth) {
            *level = Level { key, is_array, at_first: true };
        }
        self.depth += 1;
        self.key = Key::Other;
    }

    fn close(&mut self, on_event: &mut impl FnMut(Event)) {
        let base = self.base();
        self.depth = self.depth.saturating_sub(1);
        self.key = Key::Other;
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

    fn word_ends(&mut self) {
        let level = self.depth - self.base();
        self.event.add_string(self.key, level, self.word.start(), self.word.length);
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

    /// Adds a string value that begins like this and has so many bytes.
    fn add_string(&mut self, key: Key, level: usize, start: &[u8], length: u64) {
        let text = &mut self.text;
        match key {
            Key::Once => text.once += length,
            Key::Text => text.text += length,
            Key::Reasoning(name) => text.reasoning[usize::from(name)] += length,
            Key::Delta => text.delta += length,
            // Further in it is something that the model wrote.
            Key::Finish if level <= 3 && length > 0 => self.finishes = true,
            Key::Type if level == 1 => {
                self.is_response |= start.starts_with(b"response.");
                self.finishes |= ENDS.contains(&start);
            }
            _ => {}
        }
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

    /// The beginning of the string, which is all of it if it is one that is looked for; nothing
    /// if it has escapes.
    fn start(&self) -> &[u8] {
        if self.has_escapes { &[] } else { &self.start[..self.kept] }
    }
}

impl Key {
    fn of(word: &[u8]) -> Self {
        match word {
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

/// How many bytes come before a quote or a backslash.
fn plain_length(bytes: &[u8]) -> usize {
    let eights = bytes.as_chunks().0;
    // Most strings are so short that the call of the faster search takes longer than this.
    let near = eights.get(..NEAR).unwrap_or(eights);
    for (n, eight) in near.iter().enumerate() {
        let eight = u64::from_le_bytes(*eight);
        // Of a byte that is zero the highest bit becomes set when 1 is taken from it. Above the
        // first such byte that may be wrong, but only the first one counts.
        let quotes = (eight ^ (ONES * u64::from(b'"'))).wrapping_sub(ONES);
        let backslashes = (eight ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
        let found = (quotes | backslashes) & !eight & HIGHEST_BITS;
        if found != 0 {
            return 8 * n + found.trailing_zeros() as usize / 8;
        }
    }
    let far = &bytes[8 * near.len()..];
    8 * near.len() + memchr2(b'"', b'\\', far).unwrap_or(far.len())
}

/// The bytes that mean something outside of strings. A table is faster than comparisons.
const IS_MARK: [bool; 256] = {
    let (marks, mut is_mark) = (b"\"{}[]:,", [false; 256]);
    let mut n = 0;
    while n < marks.len() {
        is_mark[marks[n] as usize] = true;
        n += 1;
    }
    is_mark
};
/// How many times eight bytes are looked at before the search that is made for long strings.
const NEAR: usize = 4;
/// Eight bytes of 1.
const ONES: u64 = u64::MAX / 255;
const HIGHEST_BITS: u64 = ONES << 7;
/// The types of events that end a stream.
const ENDS: [&[u8]; 4] =
    [b"message_stop", b"response.completed", b"response.incomplete", b"response.failed"];
/// As far down as any vendor's usage stands, in an array of events.
const LEVELS: usize = 4;
/// Long enough for every name that is looked for.
const LONGEST_WORD: usize = 32;
/// The largest usage object that is read, in bytes.
const MOST_CAPTURED: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_run_ends_at_the_first_quote_or_backslash_wherever_it_stands() {
        // Their neighbours, in every bit that the search could be wrong about.
        let others = [b'!', b'#', b'[', b']', 0, 1, 0x7f, 0x80, b'"' | 0x80, b'\\' | 0x80, 0xff];
        for other in others {
            for length in 0..80 {
                let mut bytes = vec![other; length];
                assert_eq!(plain_length(&bytes), length, "{other}");
                for at in (0..length).rev() {
                    // What stands behind it changes nothing.
                    bytes[at] = if at % 3 == 0 { b'\\' } else { b'"' };
                    assert_eq!(plain_length(&bytes), at, "{other} {length}");
                }
            }
        }
    }
}
