//! Which endpoint a path is, and what follows from that.

use std::borrow::Cow;
use std::ops::Range;

use super::scan::is_model_name;
use crate::url::is_plain_path;

/// A wire protocol, told from the path: it decides which providers can answer, where the model
/// stands, and what an error looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// OpenAI chat completions, completions, embeddings, images, audio, and whatever else lies
    /// under `/v1/`.
    OpenAi,
    /// OpenAI Responses.
    Responses,
    /// Anthropic Messages.
    Anthropic,
    /// Gemini `generateContent` and its kin.
    Gemini,
}

/// What the path of a request says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route<'a> {
    pub(super) family: Family,
    /// With the `/v1` or `/v1beta` prefix.
    pub(super) path: Cow<'a, str>,
    /// Where in `path` the model stands, if it does.
    pub(super) model: Option<Range<usize>>,
    /// Whether the body has to name a model.
    pub(super) needs_model: bool,
    /// Whether the path asks for a stream.
    pub(super) stream: bool,
}

impl Family {
    /// The family of a proxied path, with the `/v1` prefix or without; `None` if the path is not
    /// proxied. For giving errors the right shape before a body is read.
    ///
    /// ```
    /// use sidecar_core::ingest::Family;
    ///
    /// assert_eq!(Family::of_path("/v1/messages"), Some(Family::Anthropic));
    /// assert_eq!(Family::of_path("/chat/completions"), Some(Family::OpenAi));
    /// assert_eq!(Family::of_path("/v1/../api/admin"), None);
    /// ```
    pub fn of_path(path: &str) -> Option<Self> {
        Route::of(path).map(|route| route.family)
    }
}

impl<'a> Route<'a> {
    /// The route of a caller's path; `None` if there is nothing at it, or if two servers could
    /// read it differently.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        // Most requests are to one of these, and nothing of their paths has to be looked at.
        if let Some((family, needs_model)) = path.strip_prefix("/v1/").and_then(by_name) {
            let path = Cow::Borrowed(path);
            return Some(Self { family, path, model: None, needs_model, stream: false });
        }
        if path.len() > MAX_LEN || !is_plain_path(path) {
            return None;
        }
        if let Some(gemini) = Self::gemini(path) {
            return Some(gemini);
        }
        let (path, family, needs_model) = match path.strip_prefix("/v1/") {
            Some(rest) => {
                let (family, needs_model) = known(rest).unwrap_or((Family::OpenAi, false));
                (Cow::Borrowed(path), family, needs_model)
            }
            None => {
                let (family, needs_model) = known(&path[1..])?;
                (Cow::Owned(["/v1", path].concat()), family, needs_model)
            }
        };
        Some(Self { family, path, model: None, needs_model, stream: false })
    }

    /// The path, which takes no memory of its own if it is one of the usual ones.
    pub(super) fn owned_path(self) -> Cow<'static, str> {
        match usual_path(&self.path) {
            Some(usual) => Cow::Borrowed(usual),
            None => Cow::Owned(self.path.into_owned()),
        }
    }

    /// `/v1beta/models/{model}:{method}`, also under `/v1/`.
    fn gemini(path: &'a str) -> Option<Self> {
        let named = path
            .strip_prefix("/v1beta/models/")
            .or_else(|| path.strip_prefix("/v1/models/"))
            .filter(|named| !named.contains('/'))?;
        let (model, method) = named.rsplit_once(':')?;
        if !GEMINI_METHODS.contains(&method) || !is_model_name(model) {
            return None;
        }
        let start = path.len() - named.len();
        Some(Self {
            family: Family::Gemini,
            path: Cow::Borrowed(path),
            model: Some(start..start + model.len()),
            needs_model: false,
            stream: method == STREAM_METHOD,
        })
    }
}

/// `path` itself, for keeping it without memory of its own, if it is one that most requests have.
///
/// ```
/// use sidecar_core::ingest::usual_path;
///
/// assert_eq!(usual_path("/v1/messages"), Some("/v1/messages"));
/// assert_eq!(usual_path("/v1/files/1"), None);
/// ```
pub fn usual_path(path: &str) -> Option<&'static str> {
    USUAL.iter().find(|usual| **usual == path).copied()
}

/// The family of an endpoint that is known by name, and whether a request to it has to name a
/// model. `rest` is the path after `/v1/`.
fn known(rest: &str) -> Option<(Family, bool)> {
    by_name(rest).or_else(|| match rest.split_once('/')?.0 {
        "images" | "audio" => Some((Family::OpenAi, true)),
        // What was made before: `responses/{id}`, `messages/batches`.
        "responses" => Some((Family::Responses, false)),
        "messages" => Some((Family::Anthropic, false)),
        _ => None,
    })
}

/// The same of one whose whole name is known.
fn by_name(rest: &str) -> Option<(Family, bool)> {
    Some(match rest {
        "chat/completions" | "completions" | "embeddings" | "rerank" => (Family::OpenAi, true),
        // The vendor has a default model for it, and its clients rely on that.
        "moderations" => (Family::OpenAi, false),
        "responses" => (Family::Responses, true),
        "messages" | "messages/count_tokens" => (Family::Anthropic, true),
        _ => return None,
    })
}

/// The paths of most requests.
const USUAL: &[&str] =
    &["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/v1/completions"];
const GEMINI_METHODS: &[&str] = &["generateContent", STREAM_METHOD, "embedContent", "countTokens"];
const STREAM_METHOD: &str = "streamGenerateContent";
const MAX_LEN: usize = 1_024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_endpoint_has_its_family_with_the_prefix_and_without() {
        for (rest, family, needs_model) in [
            ("chat/completions", Family::OpenAi, true),
            ("completions", Family::OpenAi, true),
            ("embeddings", Family::OpenAi, true),
            ("rerank", Family::OpenAi, true),
            ("moderations", Family::OpenAi, false),
            ("images/generations", Family::OpenAi, true),
            ("images/edits", Family::OpenAi, true),
            ("audio/transcriptions", Family::OpenAi, true),
            ("audio/speech", Family::OpenAi, true),
            ("responses", Family::Responses, true),
            ("responses/resp_1/cancel", Family::Responses, false),
            ("messages", Family::Anthropic, true),
            ("messages/count_tokens", Family::Anthropic, true),
            ("messages/batches", Family::Anthropic, false),
        ] {
            for path in [format!("/v1/{rest}"), format!("/{rest}")] {
                let route = Route::of(&path).unwrap();
                assert_eq!((route.family, route.needs_model), (family, needs_model), "{path}");
                assert_eq!(route.path, format!("/v1/{rest}"), "{path}");
                assert_eq!((&route.model, route.stream), (&None, false), "{path}");
                assert_eq!(route.owned_path(), format!("/v1/{rest}"));
            }
        }
    }

    #[test]
    fn any_other_path_under_v1_is_openai_and_may_name_no_model() {
        for path in ["/v1/models", "/v1/models/a/b", "/v1/files/file-1/content", "/v1/v1/x"] {
            let route = Route::of(path).unwrap();
            assert_eq!((route.family, route.needs_model), (Family::OpenAi, false), "{path}");
            assert_eq!(route.path, path);
        }
    }

    #[test]
    fn gemini_names_its_model_in_the_path() {
        for (path, model, stream) in [
            ("/v1beta/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro", false),
            ("/v1beta/models/gemini-2.5-pro:streamGenerateContent", "gemini-2.5-pro", true),
            ("/v1beta/models/embed:embedContent", "embed", false),
            ("/v1/models/a:free:countTokens", "a:free", false),
        ] {
            let route = Route::of(path).unwrap();
            assert_eq!((route.family, route.needs_model), (Family::Gemini, false), "{path}");
            assert_eq!(&route.path[route.model.unwrap()], model, "{path}");
            assert_eq!((&*route.path, route.stream), (path, stream));
        }
    }

    #[test]
    fn other_paths_are_not_proxied() {
        let long = format!("/v1/{}", "a".repeat(MAX_LEN));
        for path in [
            "",
            "*",
            "/",
            "/v1",
            "/v1/",
            "/v1beta",
            "/v1beta/models",
            "/v1beta/models/m",
            "/v1beta/models/:generateContent",
            "/v1beta/models/m:other",
            "/v1beta/models/a/b:generateContent",
            "/v1beta/models/a%2Fb:generateContent",
            "/models/m:generateContent",
            "/api/admin/backends",
            "/images",
            "/images/",
            "/v2/chat/completions",
            "/v1/chat/completions/",
            "v1/chat/completions",
            "//v1/chat/completions",
            "/v1//chat/completions",
            "/v1/chat/../../api/admin",
            "/v1/./chat",
            "/v1/%2e%2e/api",
            "/v1/%2E/api",
            "/v1/a%2fb",
            "/v1/a%5cb",
            "/v1/a\\b",
            "/v1/a\tb",
            "/v1/a%0ab",
            "/v1/\u{e9}",
            &long,
        ] {
            assert_eq!(Route::of(path), None, "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn a_route_is_plain_and_has_a_version(path in "(/v1|/v1beta|/audio)?[ -~]{0,40}") {
            if let Some(route) = Route::of(&path) {
                prop_assert!(is_plain_path(&route.path));
                prop_assert!(route.path.starts_with("/v1/") || route.path.starts_with("/v1beta/"));
                prop_assert!(route.path.ends_with(&path));
            }
        }

        #[test]
        fn no_path_makes_it_panic(path in any::<String>()) {
            Route::of(&path);
        }
    }
}
