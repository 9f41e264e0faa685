//! The dashboard: pages that are a part of the program, and a feed of how everything stands.
//!
//! The pages hold nothing that is worth a credential; what they show comes from the admin API and
//! from the feed, which both ask for one.

mod assets;
mod feed;
mod hub;
mod patch;
mod slots;

pub(crate) use self::assets::{asset, page};
pub(crate) use self::hub::Hub;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use self::feed::Feed;
use crate::respond::{self, Answer};

/// The feed: a snapshot, then what changes. `viewer` is who watches, of whom each may have a few
/// feeds; it ends once `is_valid` says that the viewer's credential no longer counts.
pub(crate) async fn watch(
    hub: &Hub,
    viewer: &str,
    is_valid: impl Fn() -> bool + Send + 'static,
) -> Answer {
    let Some(slot) = hub.slots().take(viewer) else {
        let text = "too many dashboards are open; close one";
        let mut answer = respond::detail(StatusCode::TOO_MANY_REQUESTS, text, None);
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        return answer;
    };
    let (snapshot, events) = match hub.subscribe().await {
        Ok(subscribed) => subscribed,
        Err(error) => return respond::detail(error.status(), &error.detail(), error.field()),
    };
    let feed = Feed::new(snapshot, events, hub.clone(), slot, Box::new(is_valid));
    let mut answer = Response::new(respond::own(feed));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
