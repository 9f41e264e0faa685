//! What is common to all readers of server-sent events.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// Whether an answer with these headers is a stream of events.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn parameters_and_case_do_not_matter() {
        let is = |value| {
            let content_type = (CONTENT_TYPE, HeaderValue::from_static(value));
            is_event_stream(&HeaderMap::from_iter([content_type]))
        };
        assert!(is("text/event-stream"));
        assert!(is("Text/Event-Stream; charset=utf-8"));
        assert!(!is("text/event-streams"));
        assert!(!is("application/json"));
        assert!(!is_event_stream(&HeaderMap::new()));
    }
}
