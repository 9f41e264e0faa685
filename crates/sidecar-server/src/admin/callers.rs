//! The callers: who may use the proxy, and how much.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use sidecar_core::admin::{Admin, CallerView};
use sidecar_core::callers::DEFAULT_OVERLAP;
use sidecar_core::secret::Secret;

use super::Answered;
use super::audit;
use super::body::{read, read_optional};
use super::etag;
use super::page::Page;
use crate::respond::{self, Answer};

/// The callers.
pub(super) fn list(admin: &Admin, query: Option<&str>) -> Answered {
    Ok(Page::of(query)?.answer("callers", admin.callers(), |caller| &caller.name))
}

/// One caller.
pub(super) fn show(admin: &Admin, id: &str, headers: &HeaderMap) -> Answered {
    let caller = admin.caller(id)?;
    etag::shown(headers, &caller, caller.etag)
}

/// A new caller, with its key.
pub(super) async fn add(admin: &Admin, body: Incoming) -> Answered {
    let (caller, key) = admin.add_caller(read(body).await?).await?;
    tracing::info!(caller = %caller.name, "caller added");
    audit::note_target(&caller.name);
    Ok(with_key(StatusCode::CREATED, &caller, &key))
}

/// A caller with some of its fields changed.
pub(super) async fn change(
    admin: &Admin,
    id: &str,
    headers: &HeaderMap,
    body: Incoming,
) -> Answered {
    let patch = read(body).await?;
    let caller = admin.change_caller(id, patch, &etag::precondition(headers)?).await?;
    tracing::info!(caller = %caller.name, "caller changed");
    Ok(etag::tagged(StatusCode::OK, &caller, caller.etag))
}

/// A caller less.
pub(super) async fn remove(admin: &Admin, id: &str, headers: &HeaderMap) -> Answered {
    admin.remove_caller(id, &etag::precondition(headers)?).await?;
    tracing::info!(caller = id, "caller removed");
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Roll {
    /// How long the key before it works on.
    overlap_seconds: Option<u32>,
}

/// A caller with a new key.
pub(super) async fn roll(admin: &Admin, id: &str, body: Incoming) -> Answered {
    let wanted: Roll = read_optional(body).await?;
    let seconds = wanted.overlap_seconds.map(|seconds| Duration::from_secs(seconds.into()));
    let (caller, key) = admin.roll_caller_key(id, seconds.unwrap_or(DEFAULT_OVERLAP)).await?;
    tracing::info!(caller = %caller.name, "caller key rolled");
    Ok(with_key(StatusCode::OK, &caller, &key))
}

/// The only answers that hold a key. They are not to be kept, as no answer of the admin API is.
fn with_key(status: StatusCode, caller: &CallerView, key: &Secret) -> Answer {
    #[derive(Serialize)]
    struct WithKey<'a> {
        #[serde(flatten)]
        caller: &'a CallerView,
        key: &'a str,
    }

    etag::tagged(status, &WithKey { caller, key: key.expose() }, caller.etag)
}
