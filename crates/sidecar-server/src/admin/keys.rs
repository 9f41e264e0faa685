//! Another master key.

use http::StatusCode;
use sidecar_core::admin::Admin;

use super::Answered;
use super::refusal::Refusal;
use crate::app::App;
use crate::respond;

/// Wraps the data keys with the primary of the keys as they are now.
pub(super) async fn rotate(app: &App, admin: &Admin) -> Answered {
    let ring = app.key_source.changed();
    // What names the variable and the file at fault, and nothing of a key.
    let ring = ring.map_err(|error| Refusal::new(StatusCode::CONFLICT, error.to_string()))?;
    Ok(respond::json(StatusCode::OK, &admin.rotate_keys(&ring).await?))
}
