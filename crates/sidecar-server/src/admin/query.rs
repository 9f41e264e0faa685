//! Reading a query string: every parameter once, and none that is not known.

use std::str::FromStr;

use http::StatusCode;

use super::percent_decode;
use super::refusal::Refusal;

/// The parameters of a query string that nobody has taken yet.
#[derive(Debug)]
pub(super) struct Query {
    rest: Vec<(String, String)>,
}

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Refusal> {
        let mut rest: Vec<(String, String)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |text: &str| percent_decode(&text.replace('+', " "));
            let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
                return Err(refused(None, "the query is not UTF-8"));
            };
            if rest.iter().any(|(known, _)| *known == name) {
                return Err(refused(Some(name), "is given twice"));
            }
            rest.push((name, value));
        }
        Ok(Self { rest })
    }

    /// The value of `name`, if it is given and not empty.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let index = self.rest.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.rest.swap_remove(index);
        (!value.is_empty()).then_some(value)
    }

    /// The same as a value of another type; `what` says what is taken.
    pub(super) fn take_as<T: FromStr>(
        &mut self,
        name: &str,
        what: &str,
        is_valid: impl FnOnce(&T) -> bool,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let value = value.parse().ok().filter(is_valid);
        let invalid = || refused(Some(name.to_owned()), &format!("must be {what}"));
        value.map(Some).ok_or_else(invalid)
    }

    /// The value of a parameter that must be there.
    pub(super) fn require(&mut self, name: &str) -> Result<String, Refusal> {
        self.take(name).ok_or_else(|| refused(Some(name.to_owned()), "is required"))
    }

    /// Refuses what nobody has taken.
    pub(super) fn finish(mut self) -> Result<(), Refusal> {
        match self.rest.pop() {
            None => Ok(()),
            Some((name, _)) => Err(refused(Some(name), "is not a parameter here")),
        }
    }
}

fn refused(field: Option<String>, detail: &str) -> Refusal {
    Refusal { field, ..Refusal::new(StatusCode::BAD_REQUEST, detail) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_taken_once() {
        let mut query = Query::parse(Some("model=a%2Fb+c&hours=24&empty=")).unwrap();
        assert_eq!(query.take("model").as_deref(), Some("a/b c"));
        assert_eq!(query.take_as("hours", "a number", |n: &u32| *n > 0).unwrap(), Some(24));
        assert_eq!(query.take("empty"), None);
        query.finish().unwrap();
        Query::parse(None).unwrap().finish().unwrap();
    }

    #[test]
    fn what_is_wrong_is_named() {
        let field = |refusal: Refusal| refusal.field.unwrap_or_default();
        assert_eq!(field(Query::parse(Some("a=1&a=2")).unwrap_err()), "a");
        assert_eq!(field(Query::parse(Some("b=1")).unwrap().finish().unwrap_err()), "b");
        assert_eq!(field(Query::parse(None).unwrap().require("c").unwrap_err()), "c");
        let mut query = Query::parse(Some("hours=x")).unwrap();
        assert_eq!(field(query.take_as("hours", "n", |_: &u32| true).unwrap_err()), "hours");
        assert_eq!(field(Query::parse(Some("%ff=1")).unwrap_err()), "");
    }
}
