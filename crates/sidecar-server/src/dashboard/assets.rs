//! The files that the pages are made of.

use std::sync::OnceLock;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::respond::{self, Answer};

/// The one page; everything else is loaded by it.
pub(crate) fn page(known: Option<&HeaderValue>) -> Answer {
    answer("index.html", PAGE, known)
}

/// The file called `name`; names of folders are a part of it.
pub(crate) fn asset(name: &str, known: Option<&HeaderValue>) -> Option<Answer> {
    let (name, content) = ASSETS.iter().find(|(file, _)| *file == name)?;
    Some(answer(name, content, known))
}

/// `content`, unless the client has it: `known` is its `If-None-Match`.
fn answer(name: &str, content: &'static str, known: Option<&HeaderValue>) -> Answer {
    let tag = tag();
    let mut answer = if known == Some(tag) {
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer
    } else {
        Response::new(Bytes::from_static(content.as_bytes()))
    };
    let headers = answer.headers_mut();
    headers.insert(ETAG, tag.clone());
    // Asked for every time, and hardly ever sent: a new version is seen at once.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    respond::whole(answer)
}

/// One tag for all files: they come and go together.
fn tag() -> &'static HeaderValue {
    static TAG: OnceLock<HeaderValue> = OnceLock::new();
    TAG.get_or_init(|| {
        let mut hash = Sha256::new_with_prefix(PAGE);
        ASSETS.iter().for_each(|(_, content)| hash.update(content));
        let tag = format!("\"{}\"", HEXLOWER.encode(&hash.finalize()[..8]));
        HeaderValue::from_str(&tag).expect("hex in quotes is a header value")
    })
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// What the browser may do for the pages: load what is here, and nothing else from anywhere.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

const PAGE: &str = include_str!("assets/index.html");

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("assets/", $name)))),*]
    };
}

/// Every other file. Names are looked up here and nowhere else.
const ASSETS: &[(&str, &str)] = files![
    "api.js",
    "app.js",
    "books.js",
    "chart.js",
    "checks.js",
    "components/button.js",
    "components/dialog.js",
    "components/field.js",
    "components/icons.js",
    "components/mapping-editor.js",
    "components/pool-panel.js",
    "components/provider-editor.js",
    "components/provider-fields.js",
    "components/provider-state.js",
    "components/segmented.js",
    "components/status.js",
    "components/table.js",
    "components/toast.js",
    "csv.js",
    "dom.js",
    "favicon.svg",
    "format.js",
    "i18n.js",
    "lanes.js",
    "lang/en.js",
    "lang/zh.js",
    "live.js",
    "palette.js",
    "presets.js",
    "provider.js",
    "routes.js",
    "series.js",
    "shell.js",
    "styles/base.css",
    "styles/charts.css",
    "styles/dialogs.css",
    "styles/forms.css",
    "styles/frame.css",
    "styles/pages.css",
    "styles/parts.css",
    "styles/screens.css",
    "styles/tables.css",
    "theme-choice.js",
    "theme.js",
    "views/audit.js",
    "views/caller-form.js",
    "views/callers.js",
    "views/cooldowns.js",
    "views/empty.js",
    "views/explain.js",
    "views/login.js",
    "views/overview.js",
    "views/provider-actions.js",
    "views/provider-form.js",
    "views/providers.js",
    "views/settings.js",
    "views/usage-rows.js",
    "views/usage.js",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_a_part_of_the_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard/assets");
        let mut found = BTreeSet::new();
        let mut folders = vec![folder.clone()];
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&folder).unwrap().to_str().unwrap();
                    found.insert(name.to_owned());
                }
            }
        }
        assert!(found.remove("index.html"));
        let known: BTreeSet<String> = ASSETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(found, known);
        assert!(known.iter().all(|name| content_type(name) != "application/octet-stream"));
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let first = page(None);
        assert_eq!(first.status(), StatusCode::OK);
        let csp = first.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(csp.starts_with("default-src 'none';") && !csp.contains("unsafe"));
        let again = page(first.headers().get(ETAG));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert!(asset("../lib.rs", None).is_none());
    }
}
