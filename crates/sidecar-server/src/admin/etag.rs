//! `ETag`, `If-Match` and `If-None-Match`.

use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use sidecar_core::admin::{EntityTag, Precondition};

use super::Answered;
use super::refusal::Refusal;
use crate::respond::{self, Answer};

/// What a conditional request names.
#[derive(Debug, PartialEq, Eq)]
enum Listed {
    /// `*`.
    Any,
    /// The tags that can be ours, and whether they are marked as weak.
    Tags(Vec<(EntityTag, bool)>),
}

/// What a change asks for in `If-Match`. Whatever is there exists, so `*` asks for nothing more.
pub(super) fn precondition(headers: &HeaderMap) -> Result<Precondition, Refusal> {
    Ok(match listed(headers, IF_MATCH)? {
        None | Some(Listed::Any) => Precondition::Any,
        Some(Listed::Tags(tags)) => {
            let strong = tags.into_iter().filter(|(_, is_weak)| !is_weak);
            Precondition::OneOf(strong.map(|(tag, _)| tag).collect())
        }
    })
}

/// Answers a GET with `value`, or says that its configuration is the one of `If-None-Match`.
pub(super) fn shown<T: Serialize>(headers: &HeaderMap, value: &T, tag: EntityTag) -> Answered {
    let is_known = match listed(headers, IF_NONE_MATCH)? {
        None => false,
        Some(Listed::Any) => true,
        Some(Listed::Tags(tags)) => tags.iter().any(|(known, _)| *known == tag),
    };
    if is_known {
        return Ok(with_tag(respond::empty(StatusCode::NOT_MODIFIED), tag));
    }
    Ok(tagged(StatusCode::OK, value, tag))
}

/// Answers with `value`.
pub(super) fn tagged<T: Serialize>(status: StatusCode, value: &T, tag: EntityTag) -> Answer {
    with_tag(respond::json(status, value), tag)
}

fn with_tag(mut answer: Answer, tag: EntityTag) -> Answer {
    if let Ok(tag) = HeaderValue::from_str(&tag.to_string()) {
        answer.headers_mut().insert(ETAG, tag);
    }
    answer
}

/// What the header `name` lists, if it is there. A condition that cannot be read must not be taken
/// for none.
fn listed(headers: &HeaderMap, name: HeaderName) -> Result<Option<Listed>, Refusal> {
    let values: Option<Vec<&str>> =
        headers.get_all(&name).iter().map(|value| value.to_str().ok()).collect();
    match values {
        Some(values) if values.is_empty() => Ok(None),
        values => match values.and_then(|values| parse(&values.join(","))) {
            Some(listed) => Ok(Some(listed)),
            None => {
                let text = format!("the header {name} takes * or ETags in their double quotes");
                Err(Refusal::new(StatusCode::BAD_REQUEST, text))
            }
        },
    }
}

fn parse(text: &str) -> Option<Listed> {
    if text.trim_matches(BLANK) == "*" {
        return Some(Listed::Any);
    }
    let (mut tags, mut rest) = (Vec::new(), text);
    loop {
        // A list may have empty elements, and nothing but them: then there is no tag that fits.
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(Listed::Tags(tags));
        }
        let (is_weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (tag, after) = quoted.strip_prefix('"')?.split_once('"')?;
        tags.extend(EntityTag::parse(tag).map(|tag| (tag, is_weak)));
        rest = after.trim_start_matches(BLANK);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

const BLANK: [char; 2] = [' ', '\t'];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: &str = "\"00000000000000a1\"";
    const TWO: &str = "\"00000000000000a2\"";

    fn tag(text: &str) -> EntityTag {
        EntityTag::parse(text.trim_matches('"')).unwrap()
    }

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn a_change_asks_for_what_stands_in_if_match() {
        let asked = |values: &[&str]| precondition(&headers(IF_MATCH, values)).unwrap();
        let one_of = |tags: &[&str]| Precondition::OneOf(tags.iter().copied().map(tag).collect());
        assert_eq!(asked(&[]), Precondition::Any);
        assert_eq!(asked(&[" * "]), Precondition::Any);
        assert_eq!(asked(&[ONE]), one_of(&[ONE]));
        assert_eq!(asked(&[&format!(" {ONE} ,, {TWO},")]), one_of(&[ONE, TWO]));
        assert_eq!(asked(&[ONE, TWO]), one_of(&[ONE, TWO]));
        // A weak one never matches, and what is not ours may have a comma in it.
        assert_eq!(asked(&[&format!("W/{ONE}, \"a,b\", \"\"")]), one_of(&[]));
        assert_eq!((asked(&[""]), asked(&[","])), (one_of(&[]), one_of(&[])));
    }

    #[test]
    fn a_condition_that_cannot_be_read_is_refused() {
        for value in [
            "00000000000000a1",
            "\"a",
            "a\"",
            "\"a\" \"b\"",
            "\"a\"b",
            "w/\"a\"",
            "**",
            "*, \"a\"",
            "\"a\", *",
            "\u{fc}",
        ] {
            let refusal = precondition(&headers(IF_MATCH, &[value])).unwrap_err();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST, "{value}");
            assert!(refusal.detail.starts_with("the header if-match "), "{}", refusal.detail);
        }
        assert!(precondition(&headers(IF_MATCH, &["*", "*"])).is_err());
    }

    #[test]
    fn what_the_caller_has_is_not_sent_again() {
        let status = |value: &str| {
            let answer = shown(&headers(IF_NONE_MATCH, &[value]), &"shown", tag(ONE)).unwrap();
            assert_eq!(answer.headers()[ETAG], ONE);
            answer.status().as_u16()
        };
        assert_eq!(status(&format!("{TWO}, W/{ONE}")), 304);
        assert_eq!(status("*"), 304);
        assert_eq!(status(TWO), 200);
        assert_eq!(shown(&HeaderMap::new(), &"shown", tag(ONE)).unwrap().status(), 200);
    }

    proptest! {
        #[test]
        fn any_text_may_be_given(text in "[ \t,*W/\"0-9a-f]{0,80}", other: String) {
            parse(&other);
            if let Some(Listed::Tags(tags)) = parse(&text) {
                prop_assert!(tags.len() <= text.matches('"').count() / 2);
            }
        }
    }
}
