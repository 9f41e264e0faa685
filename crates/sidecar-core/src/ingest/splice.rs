//! Puts the provider's name for the model into a body and leaves every other byte alone.

use std::ops::Range;

use bytes::Bytes;

/// `body` with `with` in place of the bytes at `span`. Costs a reference count if they are the
/// same, else one copy.
pub(crate) fn splice(body: &Bytes, span: Range<usize>, with: &[u8]) -> Bytes {
    if body[span.clone()] == *with {
        return body.clone();
    }
    [&body[..span.start], with, &body[span.end..]].concat().into()
}

/// `text` as a JSON string, with its quotes.
pub(crate) fn json_string(text: &str) -> Vec<u8> {
    serde_json::to_vec(text).expect("a text can always be written as a JSON string")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::ingest::{multipart, scan};

    #[test]
    fn the_same_name_costs_no_copy() {
        let body = Bytes::from_static(b"{\"model\":\"m\"}");
        let same = splice(&body, 9..12, &json_string("m"));
        assert_eq!((same.as_ptr(), &same), (body.as_ptr(), &body));
        assert_eq!(splice(&body, 9..12, &json_string("a\"b")), "{\"model\":\"a\\\"b\"}");
    }

    /// Any JSON value, at a depth that serde_json's own `Value` can take.
    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((any::<String>(), inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// The name of a model, as a caller or an operator may choose it.
    fn name() -> impl Strategy<Value = String> {
        "[a-zA-Z0-9/:.\"\\\\ \u{e9}\u{4f60}-]{1,40}"
    }

    proptest! {
        #[test]
        fn in_json_only_the_model_changes(
            fields in proptest::collection::vec((any::<String>(), json()), 0..6),
            place in any::<prop::sample::Index>(),
            model in name(),
            native in name(),
            space in "[ \t\r\n]{0,2}",
        ) {
            let mut pairs: Vec<String> = fields
                .iter()
                .filter(|(key, _)| key != "model" && key != "stream")
                .map(|(key, value)| format!("{}{space}:{space}{value}", Value::from(key.as_str())))
                .collect();
            let pair = format!("\"model\"{space}:{space}{}", Value::from(model.as_str()));
            pairs.insert(place.index(pairs.len() + 1), pair);
            let body = Bytes::from(format!("{space}{{{}}}{space}", pairs.join(",")));

            let named = scan::scan(&body).unwrap().model.unwrap();
            prop_assert_eq!(&*named.name, &*model);
            let span = named.span;
            let spliced = splice(&body, span.clone(), &json_string(&native));

            prop_assert_eq!(&spliced[..span.start], &body[..span.start]);
            prop_assert!(spliced.ends_with(&body[span.end..]));
            let mut before: Value = serde_json::from_slice(&body).unwrap();
            let after: Value = serde_json::from_slice(&spliced).unwrap();
            before["model"] = Value::from(native);
            prop_assert_eq!(after, before);
        }

        #[test]
        fn in_multipart_only_the_model_changes(
            files in proptest::collection::vec(any::<Vec<u8>>(), 0..4),
            place in any::<prop::sample::Index>(),
            model in name(),
            native in name(),
        ) {
            let mut parts: Vec<Vec<u8>> = files
                .iter()
                .map(|file| [b"; name=\"file\"; filename=\"f\"\r\n\r\n".as_slice(), file].concat())
                .collect();
            let part = [b"; name=\"model\"\r\n\r\n".as_slice(), model.as_bytes()].concat();
            parts.insert(place.index(parts.len() + 1), part);
            let mut body = Vec::new();
            for part in parts {
                body.extend_from_slice(b"--a-boundary-nobody-guesses\r\n");
                body.extend_from_slice(b"Content-Disposition: form-data");
                body.extend_from_slice(&part);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"--a-boundary-nobody-guesses--\r\n");
            let body = Bytes::from(body);

            let read = |body: &Bytes| {
                let scan = multipart::scan(body, "a-boundary-nobody-guesses").unwrap();
                let named = scan.model.unwrap();
                (named.name.into_owned(), named.span)
            };
            let (found, span) = read(&body);
            prop_assert_eq!(found, model);
            let spliced = splice(&body, span.clone(), native.as_bytes());

            prop_assert_eq!(&spliced[..span.start], &body[..span.start]);
            prop_assert!(spliced.ends_with(&body[span.end..]));
            prop_assert_eq!(read(&spliced), (native.clone(), span.start..span.start + native.len()));
        }
    }
}
