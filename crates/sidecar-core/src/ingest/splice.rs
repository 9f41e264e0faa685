//! Puts other bytes into a body at given places and leaves every other byte alone.

use std::ops::Range;

use bytes::Bytes;

/// `body` with other bytes in place of those at the given ranges, which do not overlap and come in
/// any order. Costs a reference count if nothing changes, else one copy.
pub(crate) fn splice(body: &Bytes, edits: &mut [(Range<usize>, &[u8])]) -> Bytes {
    if edits.iter().all(|(span, with)| body[span.clone()] == **with) {
        return body.clone();
    }
    // An insertion stands before what it is put in front of.
    edits.sort_unstable_by_key(|(span, _)| (span.start, span.end));
    let added: usize = edits.iter().map(|(_, with)| with.len()).sum();
    let mut spliced = Vec::with_capacity(body.len() + added);
    let mut done = 0;
    for (span, with) in edits {
        spliced.extend_from_slice(&body[done..span.start]);
        spliced.extend_from_slice(with);
        done = span.end;
    }
    spliced.extend_from_slice(&body[done..]);
    spliced.into()
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
        let same = splice(&body, &mut [(9..12, &json_string("m"))]);
        assert_eq!((same.as_ptr(), &same), (body.as_ptr(), &body));
        assert_eq!(splice(&body, &mut []).as_ptr(), body.as_ptr());
        let other = splice(&body, &mut [(9..12, &json_string("a\"b"))]);
        assert_eq!(other, "{\"model\":\"a\\\"b\"}");
    }

    #[test]
    fn several_edits_come_in_any_order() {
        let body = Bytes::from_static(b"0123456789");
        let edits: [(Range<usize>, &[u8]); 4] =
            [(10..10, b"!"), (3..3, b"<>"), (3..5, b""), (0..1, b"zero")];
        for turn in 0..edits.len() {
            let mut edits = edits.clone();
            edits.rotate_left(turn);
            assert_eq!(splice(&body, &mut edits), "zero12<>56789!");
        }
        // One of them changes nothing.
        assert_eq!(splice(&body, &mut [(1..2, b"1"), (2..3, b"")]), "013456789");
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
                .filter(|(key, _)| !["model", "stream", "stream_options"].contains(&&**key))
                .map(|(key, value)| format!("{}{space}:{space}{value}", Value::from(key.as_str())))
                .collect();
            let pair = format!("\"model\"{space}:{space}{}", Value::from(model.as_str()));
            pairs.insert(place.index(pairs.len() + 1), pair);
            let body = Bytes::from(format!("{space}{{{}}}{space}", pairs.join(",")));

            let named = scan::scan(&body).unwrap().scan.model.unwrap();
            prop_assert_eq!(&*named.name, &*model);
            let span = named.span;
            let spliced = splice(&body, &mut [(span.clone(), &json_string(&native))]);

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
            let spliced = splice(&body, &mut [(span.clone(), native.as_bytes())]);

            prop_assert_eq!(&spliced[..span.start], &body[..span.start]);
            prop_assert!(spliced.ends_with(&body[span.end..]));
            prop_assert_eq!(read(&spliced), (native.clone(), span.start..span.start + native.len()));
        }
    }
}
