//! Reads the model's name and `stream` from a multipart/form-data body (audio, images), in place.
//!
//! Stricter than RFC 2046 on purpose: lines end in CRLF, and the delimiter stands nowhere but
//! between parts. A body that a more lenient parser would cut into other parts is refused, so that
//! no provider can see another model than the one that was routed by. Files are only skipped over.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;

use super::scan::{MAX_MODEL_LEN, NamedModel, Scan, ScanError, is_model_name};

/// The boundary that `content_type` names; `None` if there is none, more than one, or one that
/// parsers may read differently.
pub(super) fn boundary(content_type: &str) -> Option<&str> {
    let mut found = None;
    for parameter in content_type.split(';').skip(1) {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        if name.trim().eq_ignore_ascii_case("boundary") && found.replace(value.trim()).is_some() {
            return None;
        }
    }
    let value = found?;
    let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let boundary = unquoted.unwrap_or(value);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
    ((1..=70).contains(&boundary.len()) && boundary.bytes().all(is_plain)).then_some(boundary)
}

/// Reads a multipart body.
pub(super) fn scan<'a>(body: &'a [u8], boundary: &str) -> Result<Scan<'a>, ScanError> {
    let delimiter = ["--", boundary].concat();
    let mut places = memmem::find_iter(body, delimiter.as_bytes());
    let first = places.next().ok_or(ScanError::NotMultipart)?;
    if first != 0 && !body[..first].ends_with(CRLF) {
        return Err(ScanError::NotMultipart);
    }
    let mut fields = Fields::default();
    let mut start = first + delimiter.len();
    for _ in 0..=MAX_PARTS {
        let next = places.next();
        if body[start..].starts_with(b"--") {
            // The closing delimiter. What stands behind it belongs to no part.
            return if next.is_none() { fields.read(body) } else { Err(ScanError::NotMultipart) };
        }
        let end = next.ok_or(ScanError::NotMultipart)?;
        let part = Part::parse(body, start..end).ok_or(ScanError::NotMultipart)?;
        fields.take(part)?;
        start = end + delimiter.len();
    }
    Err(ScanError::NotMultipart)
}

/// Where the values of the fields that count stand.
#[derive(Default)]
struct Fields {
    model: Option<Range<usize>>,
    stream: Option<Range<usize>>,
}

impl Fields {
    fn take(&mut self, part: Part<'_>) -> Result<(), ScanError> {
        let (slot, name, unusable) = match part.name {
            "model" => (&mut self.model, "model", ScanError::BadModel),
            "stream" => (&mut self.stream, "stream", ScanError::BadStream),
            _ => return Ok(()),
        };
        // A provider may take a file of this name for the field.
        if part.is_file || part.is_encoded {
            return Err(unusable);
        }
        if slot.replace(part.value).is_some() {
            return Err(ScanError::Duplicate(name));
        }
        Ok(())
    }

    fn read(self, body: &[u8]) -> Result<Scan<'_>, ScanError> {
        let model = self.model.map(|span| named_model(body, span)).transpose()?;
        let stream = self.stream.map_or(Ok(false), |span| flag(&body[span]))?;
        Ok(Scan { model, stream })
    }
}

/// One part: what its headers say, and where its value stands.
#[derive(Debug)]
struct Part<'a> {
    name: &'a str,
    is_file: bool,
    is_encoded: bool,
    value: Range<usize>,
}

impl<'a> Part<'a> {
    /// The part between two delimiters; `None` if it is not well formed.
    fn parse(body: &'a [u8], range: Range<usize>) -> Option<Self> {
        let bytes = &body[range.clone()];
        let padding = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let head_start = padding + CRLF.len();
        let rest = bytes[padding..].strip_prefix(CRLF)?;
        let window = &rest[..rest.len().min(MAX_HEAD)];
        let head_len = memmem::find(window, b"\r\n\r\n")?;
        let value_start = head_start + head_len + 2 * CRLF.len();
        let value_len = bytes.get(value_start..)?.strip_suffix(CRLF)?.len();
        let start = range.start + value_start;
        Self::with_head(std::str::from_utf8(&rest[..head_len]).ok()?, start..start + value_len)
    }

    fn with_head(head: &'a str, value: Range<usize>) -> Option<Self> {
        let (mut disposition, mut is_encoded) = (None, false);
        for line in head.split("\r\n") {
            let (name, text) = line.split_once(':')?;
            // No folded lines, and no line ends that only some parsers see.
            if name.contains([' ', '\t']) || line.contains(['\r', '\n', '\0']) {
                return None;
            }
            if name.eq_ignore_ascii_case("content-disposition") {
                if disposition.replace(text).is_some() {
                    return None;
                }
            } else if name.eq_ignore_ascii_case("content-transfer-encoding") {
                let is_identity = |known: &&str| text.trim().eq_ignore_ascii_case(known);
                is_encoded |= !["7bit", "8bit", "binary"].iter().any(is_identity);
            }
        }
        let (name, is_file) = parse_disposition(disposition?)?;
        Some(Self { name, is_file, is_encoded, value })
    }
}

/// The name that `form-data; name="..."` gives, and whether it is a file's.
fn parse_disposition(text: &str) -> Option<(&str, bool)> {
    let (kind, mut rest) = text.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    let (mut name, mut is_file) = (None, false);
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        if rest.is_empty() {
            break;
        }
        let (key, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let end = closing_quote(quoted)?;
                (&quoted[..end], quoted[end + 1..].trim_start())
            }
            None => {
                let (value, after) = after.split_at(after.find(';').unwrap_or(after.len()));
                (value.trim(), after)
            }
        };
        if !after.is_empty() && !after.starts_with(';') {
            return None;
        }
        let key = key.trim();
        if key.eq_ignore_ascii_case("name") {
            // Whether a backslash escapes here is a matter of taste among parsers.
            if value.contains('\\') || name.replace(value).is_some() {
                return None;
            }
        } else if key.eq_ignore_ascii_case("name*") {
            return None;
        }
        is_file |= key.eq_ignore_ascii_case("filename") || key.eq_ignore_ascii_case("filename*");
        rest = after;
    }
    Some((name?, is_file))
}

/// Where the quoted text ends that begins `text`.
fn closing_quote(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(at),
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
    None
}

fn named_model(body: &[u8], span: Range<usize>) -> Result<NamedModel<'_>, ScanError> {
    let name = Some(&body[span.clone()])
        .filter(|value| value.len() <= MAX_MODEL_LEN)
        .and_then(|value| std::str::from_utf8(value).ok())
        .filter(|name| is_model_name(name))
        .ok_or(ScanError::BadModel)?;
    Ok(NamedModel { name: Cow::Borrowed(name), span })
}

fn flag(value: &[u8]) -> Result<bool, ScanError> {
    // Form libraries write a flag in more than one way.
    let is_one_of = |known: &[&str]| known.iter().any(|k| value.eq_ignore_ascii_case(k.as_bytes()));
    if is_one_of(&["true", "1"]) {
        Ok(true)
    } else if is_one_of(&["false", "0", ""]) {
        Ok(false)
    } else {
        Err(ScanError::BadStream)
    }
}

const CRLF: &[u8] = b"\r\n";
const MAX_PARTS: usize = 256;
/// The longest head of a part, in bytes.
const MAX_HEAD: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A body of parts that are given as head and value.
    fn body(parts: &[(&str, &str)]) -> String {
        let mut body = String::new();
        for (head, value) in parts {
            body += &format!("--xyz\r\n{head}\r\n\r\n{value}\r\n");
        }
        body + "--xyz--\r\n"
    }

    fn field(name: &str) -> String {
        format!("Content-Disposition: form-data; name=\"{name}\"")
    }

    fn model(body: &str) -> Result<Option<String>, ScanError> {
        let scan = scan(body.as_bytes(), "xyz")?;
        if let Some(named) = &scan.model {
            assert_eq!(body[named.span.clone()], named.name);
        }
        Ok(scan.model.map(|named| named.name.into_owned()))
    }

    fn found(name: &str) -> Result<Option<String>, ScanError> {
        Ok(Some(name.to_owned()))
    }

    #[test]
    fn the_model_is_found_among_files_and_fields() {
        let file = "content-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\
                    Content-Type: audio/wav";
        let wav = "RIFF\0\r\n\r\nname=\"model\"\r\n\r\n\n--xy\r\n--";
        for parts in [
            vec![(&*field("model"), "whisper-1"), (file, wav)],
            vec![(file, wav), (&*field("model"), "whisper-1")],
            vec![(file, ""), (&*field("language"), ""), (&*field("model"), "whisper-1")],
        ] {
            assert_eq!(model(&body(&parts)), found("whisper-1"));
        }
        assert_eq!(model(&body(&[(file, wav)])), Ok(None));
    }

    #[test]
    fn a_name_is_read_in_every_usual_form() {
        for head in [
            "Content-Disposition: form-data; name=\"model\"",
            "content-disposition:form-data;name=model",
            "CONTENT-DISPOSITION: Form-Data ; NAME = \"model\" ;",
            "Content-Type: text/plain\r\nContent-Disposition: form-data; x=\"a;b=\\\"\"; name=\"model\"",
            "Content-Disposition: form-data; name=\"model\"\r\nContent-Transfer-Encoding: 8bit",
        ] {
            assert_eq!(model(&body(&[(head, "m")])), found("m"), "{head}");
        }
    }

    #[test]
    fn a_preamble_an_epilogue_and_padding_are_legal() {
        let body = format!("hello\r\n--xyz \t\r\n{}\r\n\r\nm\r\n--xyz--\r\nbye", field("model"));
        assert_eq!(model(&body), found("m"));
        assert_eq!(model("--xyz--"), Ok(None));
    }

    #[test]
    fn the_stream_flag_is_read() {
        for (value, stream) in [
            ("true", Ok(true)),
            ("True", Ok(true)),
            ("1", Ok(true)),
            ("false", Ok(false)),
            ("", Ok(false)),
            ("yes", Err(ScanError::BadStream)),
        ] {
            let body = body(&[(&*field("stream"), value)]);
            assert_eq!(scan(body.as_bytes(), "xyz").map(|scan| scan.stream), stream, "{value}");
        }
    }

    #[test]
    fn duplicates_and_files_in_their_place_are_refused() {
        let (model_field, stream_field) = (field("model"), field("stream"));
        let twice = body(&[(&*model_field, "a"), (&*model_field, "a")]);
        assert_eq!(model(&twice), Err(ScanError::Duplicate("model")));
        let twice = body(&[(&*stream_field, "true"), (&*stream_field, "true")]);
        assert_eq!(model(&twice), Err(ScanError::Duplicate("stream")));
        for tail in
            ["; filename=\"a\"", "; FileName*=utf-8''a", "\r\nContent-Transfer-Encoding: base64"]
        {
            let body = body(&[(&*format!("{model_field}{tail}"), "a")]);
            assert_eq!(model(&body), Err(ScanError::BadModel), "{tail}");
        }
    }

    #[test]
    fn a_model_is_a_short_text() {
        let long = "a".repeat(MAX_MODEL_LEN + 1);
        for value in ["", "a\r\nb", "a\0", &long] {
            assert_eq!(model(&body(&[(&*field("model"), value)])), Err(ScanError::BadModel));
        }
        assert_eq!(
            model(&body(&[(&*field("model"), &long[1..])])),
            found(&"a".repeat(MAX_MODEL_LEN))
        );
    }

    #[test]
    fn what_parsers_may_read_differently_is_refused() {
        let good = field("model");
        let long_head = format!("{good}\r\nX: {}", "a".repeat(MAX_HEAD));
        for text in [
            "",
            "--xyz",
            "--xyz\r\n",
            "--xyz\r\n--xyz--",
            "--xyz\r\n\r\n\r\n--xyz--",
            // Not closed, or cut.
            &format!("--xyz\r\n{good}\r\n\r\nm\r\n"),
            &format!("--xyz\r\n{good}\r\n\r\nm\r\n--xy"),
            &format!("--xyz\r\n{good}\r\n\r\nm\r\n--xyz"),
            &format!("--xyz\r\n{good}\r\n\r\nm\r\n--xyz-"),
            &format!("--xyz\r\n{good}\r\n--xyz--"),
            // Other line ends, other places.
            &format!("--xyz\n{good}\n\nm\n--xyz--"),
            &format!("--xyz\r\n{good}\r\n\r\nm\n--xyz--"),
            &format!("--xyz\r\n{good}\r\n\r\nm--xyz--"),
            &format!("x--xyz\r\n{good}\r\n\r\nm\r\n--xyz--"),
            &format!("--xyzz\r\n{good}\r\n\r\nm\r\n--xyz--"),
            &format!("--xyz\r\n{good}\r\n\r\nm\r\n--xyz--\r\n--xyz\r\n{good}\r\n\r\nn\r\n--xyz--"),
            &body(&[("Content-Type: text/plain", "m")]),
            &body(&[("no colon", "m")]),
            &body(&[(&*format!("{good}\r\n{good}"), "m")]),
            &body(&[(&*format!("{good}\r\n folded: x"), "m")]),
            &body(&[(&*format!("{good}\nX: y"), "m")]),
            &body(&[(&*long_head, "m")]),
            &body(&[("Content-Disposition: attachment; name=\"model\"", "m")]),
            &body(&[("Content-Disposition: form-data", "m")]),
            &body(&[("Content-Disposition: form-data; filename=\"a\"", "m")]),
            &body(&[("Content-Disposition: form-data; name=\"model", "m")]),
            &body(&[("Content-Disposition: form-data; name=\"a\" b", "m")]),
            &body(&[("Content-Disposition: form-data; name=\"mo\\del\"", "m")]),
            &body(&[("Content-Disposition: form-data; name*=utf-8''model", "m")]),
            &body(&[("Content-Disposition: form-data; name=\"a\"; name=\"model\"", "m")]),
        ] {
            assert_eq!(model(text), Err(ScanError::NotMultipart), "{text:?}");
        }
        assert_eq!(ScanError::NotMultipart.code(), "invalid_body");
    }

    #[test]
    fn parts_are_counted() {
        let name = field("n");
        assert_eq!(model(&body(&[(&*name, ""); MAX_PARTS])), Ok(None));
        let many = body(&[(&*name, ""); MAX_PARTS + 1]);
        assert_eq!(model(&many), Err(ScanError::NotMultipart));
    }

    #[test]
    fn a_boundary_is_read_quoted_and_not() {
        let longest = "a".repeat(70);
        for (content_type, expected) in [
            (
                "multipart/form-data; boundary=----WebKitFormBoundaryx1",
                Some("----WebKitFormBoundaryx1"),
            ),
            ("multipart/form-data;charset=utf-8;BOUNDARY=\"a:b=c\"", Some("a:b=c")),
            (&*format!("multipart/form-data; boundary={longest}"), Some(&*longest)),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"\"", None),
            ("multipart/form-data; boundary=\"a", None),
            ("multipart/form-data; boundary=a b", None),
            ("multipart/form-data; boundary=a; boundary=b", None),
            ("multipart/form-data; x=\"; boundary=a\"", None),
            (&*format!("multipart/form-data; boundary={longest}a"), None),
        ] {
            assert_eq!(boundary(content_type), expected, "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>(), text in any::<String>()) {
            let _ = scan(&bytes, "xyz");
            boundary(&text);
        }

        #[test]
        fn no_text_like_multipart_makes_it_panic(
            text in "(--xyz|--|\r\n|\r\n\r\n|content-disposition:form-data;|name=model|\"|;|=|m){0,24}"
        ) {
            if let Ok(Scan { model: Some(named), .. }) = scan(text.as_bytes(), "xyz") {
                prop_assert_eq!(&text[named.span], &*named.name);
            }
        }
    }
}
