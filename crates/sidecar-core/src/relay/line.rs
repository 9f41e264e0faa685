//! [`Line`]: one line of an event stream.

/// What a line of an event stream is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Ends an event.
    Blank,
    Comment,
    /// `data:`, without the white space around it.
    Data(&'a [u8]),
    /// `event:`, without the white space around it.
    Name(&'a [u8]),
    /// `id:`, `retry:`, and whatever else there is.
    Other,
}

impl<'a> Line<'a> {
    /// Reads a line with or without its end, which is LF or CRLF.
    pub(super) fn of(line: &'a [u8]) -> Self {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.first() {
            None => return Self::Blank,
            Some(b':') => return Self::Comment,
            Some(_) => {}
        }
        if let Some(data) = line.strip_prefix(b"data:") {
            return Self::Data(data.trim_ascii());
        }
        match line.strip_prefix(b"event:") {
            Some(name) => Self::Name(name.trim_ascii()),
            // A name alone is a field without a value.
            None if line == b"data" => Self::Data(b""),
            None => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_it_begins_with() {
        for (line, kind) in [
            ("\n", Line::Blank),
            ("\r\n", Line::Blank),
            ("", Line::Blank),
            (": ping\n", Line::Comment),
            (":\r\n", Line::Comment),
            ("data: {\"a\": 1} \r\n", Line::Data(b"{\"a\": 1}")),
            ("data:x", Line::Data(b"x")),
            ("data:\n", Line::Data(b"")),
            ("data\n", Line::Data(b"")),
            ("event: ping\n", Line::Name(b"ping")),
            ("event:ping\r\n", Line::Name(b"ping")),
            ("event\n", Line::Other),
            ("id: 1\n", Line::Other),
            ("retry: 100\n", Line::Other),
            ("dataset: 1\n", Line::Other),
            (" data: x\n", Line::Other),
            ("Data: x\n", Line::Other),
        ] {
            assert_eq!(Line::of(line.as_bytes()), kind, "{line:?}");
        }
    }
}
