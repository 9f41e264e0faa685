//! The cheapest question there is: which models a provider has.

use bytes::Bytes;
use http::Method;

use crate::call::{Call, Head};
use crate::clock::Instant;
use crate::ingest::Family;
use crate::provider::Api;
use crate::verdict::{Class, Scope, Verdict};

/// How a key fared with a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    /// It was answered.
    Granted,
    /// The key was refused, or has no money.
    Refused,
}

impl Listing {
    /// `None` if the answer says nothing of the key.
    pub(super) fn of(verdict: &Verdict) -> Option<Self> {
        match verdict.class {
            Class::Accept => Some(Self::Granted),
            class if class.scope() == Scope::Key => Some(Self::Refused),
            _ => None,
        }
    }
}

/// The family and path by which a provider that speaks `api` lists its models.
pub(crate) const fn listing(api: Api) -> (Family, &'static str) {
    match api {
        Api::OpenaiCompletions | Api::OpenaiResponses => (Family::OpenAi, "/v1/models"),
        Api::AnthropicMessages => (Family::Anthropic, "/v1/models"),
        Api::GoogleGenerativeAi => (Family::Gemini, "/v1beta/models"),
    }
}

/// A call for the list.
pub(super) fn call(api: Api, now: Instant) -> Call {
    let (family, path) = listing(api);
    Call::new(Head::of_our_own("probe", Method::GET, family, path.to_owned(), now), Bytes::new())
}
