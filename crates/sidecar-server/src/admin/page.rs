//! Lists in pages.

use data_encoding::BASE64URL_NOPAD;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::query::Query;
use super::refusal::Refusal;
use crate::respond::{self, Answer};

/// Which part of a list is asked for; all of it if nothing is said. A page begins after a name and
/// not at a number, so that what is added or removed meanwhile moves nothing else.
#[derive(Debug)]
pub(super) struct Page {
    /// At most so many rows.
    limit: Option<usize>,
    /// Only rows whose name comes after this one.
    after: Option<String>,
}

impl Page {
    /// Reads `limit` and `after`, which are all that a list takes.
    pub(super) fn of(query: Option<&str>) -> Result<Self, Refusal> {
        let mut query = Query::parse(query)?;
        let limit = query.take_as("limit", "a whole number from 1 to 1000", |limit: &usize| {
            (1..=MOST_ROWS).contains(limit)
        })?;
        let after = match query.take("after") {
            None => None,
            Some(cursor) => Some(name_of(&cursor).ok_or_else(|| Refusal {
                field: Some("after".to_owned()),
                ..Refusal::new(StatusCode::BAD_REQUEST, "must be the `next` of an earlier page")
            })?),
        };
        query.finish()?;
        Ok(Self { limit, after })
    }

    /// Answers with the part of `rows` that was asked for, as the field `list`.
    pub(super) fn answer<T: Serialize>(
        &self,
        list: &str,
        mut rows: Vec<T>,
        name: impl Fn(&T) -> &str,
    ) -> Answer {
        let next = self.cut(&mut rows, name);
        let mut body = json!({list: rows});
        if let Some(next) = next {
            body["next"] = next;
        }
        respond::json(StatusCode::OK, &body)
    }

    /// Leaves only what was asked for; gives the cursor of what follows, `null` if nothing does,
    /// where it was asked for in pages.
    fn cut<T>(&self, rows: &mut Vec<T>, name: impl Fn(&T) -> &str) -> Option<Value> {
        if let Some(after) = &self.after {
            rows.retain(|row| name(row) > after.as_str());
        }
        let limit = self.limit?;
        rows.sort_by(|one, other| name(one).cmp(name(other)));
        let is_last = rows.len() <= limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| !is_last);
        Some(last.map_or(Value::Null, |row| cursor_of(name(row)).into()))
    }
}

/// A form of `name` that stands in a query as it is, whether or not a client encodes it again.
fn cursor_of(name: &str) -> String {
    BASE64URL_NOPAD.encode(name.as_bytes())
}

fn name_of(cursor: &str) -> Option<String> {
    let bytes = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok()?;
    String::from_utf8(bytes).ok()
}

const MOST_ROWS: usize = 1_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(query: &str, rows: &[&str]) -> (Vec<String>, Option<Value>) {
        let mut rows: Vec<String> = rows.iter().copied().map(str::to_owned).collect();
        let next = Page::of(Some(query)).unwrap().cut(&mut rows, |row| row.as_str());
        (rows, next)
    }

    #[test]
    fn a_list_is_whole_unless_a_part_is_asked_for() {
        let (rows, next) = cut("", &["b", "a"]);
        assert_eq!((rows.as_slice(), next), (&["b".to_owned(), "a".to_owned()][..], None));
    }

    #[test]
    fn the_next_page_follows_the_last_name_whatever_came_meanwhile() {
        let (rows, next) = cut("limit=2", &["d", "b", "a"]);
        assert_eq!(rows, ["a", "b"]);
        let next = next.unwrap();
        let query = format!("limit=2&after={}", next.as_str().unwrap());
        // The name that the cursor was made of is gone, and others have come.
        let (rows, next) = cut(&query, &["0", "a", "bb", "c", "d"]);
        assert_eq!(rows, ["bb", "c"]);
        let query = format!("limit=2&after={}", next.unwrap().as_str().unwrap());
        assert_eq!(cut(&query, &["a", "d"]), (vec!["d".to_owned()], Some(Value::Null)));
        assert_eq!(cut(&query, &["a"]), (Vec::new(), Some(Value::Null)));
    }

    #[test]
    fn a_page_that_ends_with_the_list_has_no_next() {
        let (rows, next) = cut("limit=2", &["a", "b"]);
        assert_eq!((rows.len(), next), (2, Some(Value::Null)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=x", "limit"),
            ("after=%2A", "after"),
            ("after=_w", "after"),
            ("page=2", "page"),
        ] {
            let refusal = Page::of(Some(query)).unwrap_err();
            assert_eq!(
                (refusal.status, refusal.field.as_deref()),
                (StatusCode::BAD_REQUEST, Some(field))
            );
        }
    }

    proptest! {
        #[test]
        fn any_name_may_be_a_cursor(name: String, text: String) {
            let cursor = cursor_of(&name);
            prop_assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
            prop_assert_eq!(name_of(&cursor), Some(name));
            name_of(&text);
        }
    }
}
