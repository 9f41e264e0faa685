//! What has changed between two states, as a merge patch (RFC 7396).
//!
//! In a merge patch `null` removes a member, so states have no nulls: what is not there is not
//! there.

use serde_json::{Map, Value};

/// `value` without members that are null.
pub(super) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(members.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        value => value,
    }
}

/// The patch that makes `new` of `old`; `None` if they are the same. Arrays are replaced whole.
pub(super) fn diff(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return Some(new.clone()) };
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    let mut patch: Map<String, Value> = gone.map(|name| (name.clone(), Value::Null)).collect();
    for (name, value) in new {
        let changed = match old.get(name) {
            Some(before) => diff(before, value),
            None => Some(value.clone()),
        };
        if let Some(changed) = changed {
            patch.insert(name.clone(), changed);
        }
    }
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// As RFC 7396 has it, section 2.
    fn apply(target: Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else { return patch.clone() };
        let Value::Object(mut members) = target else {
            return apply(Value::Object(Map::new()), &Value::Object(patch.clone()));
        };
        for (name, value) in patch {
            if value.is_null() {
                members.remove(name);
            } else {
                let before = members.remove(name).unwrap_or(Value::Null);
                members.insert(name.clone(), apply(before, value));
            }
        }
        Value::Object(members)
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (0..5).prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
            Just(Value::Null),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_patch_makes_the_new_of_the_old(old in any_value(), new in any_value()) {
            let state = |value| json!({"state": without_nulls(json!({"of": value}))});
            let (old, new) = (state(old), state(new));
            let patch = diff(&old, &new);
            prop_assert_eq!(patch.is_none(), old == new);
            let patched = patch.map_or(old.clone(), |patch| apply(old, &patch));
            prop_assert_eq!(patched, new);
        }
    }

    #[test]
    fn only_what_has_changed_is_in_it() {
        let old = json!({"a": {"b": 1, "c": [1, 2]}, "d": "x", "e": 1});
        let new = json!({"a": {"b": 2, "c": [1, 2]}, "d": "x", "f": 1});
        assert_eq!(diff(&old, &new), Some(json!({"a": {"b": 2}, "e": null, "f": 1})));
    }
}
