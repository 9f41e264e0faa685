//! Copies of the store.

use http::StatusCode;
use sidecar_core::admin::Admin;

use super::Answered;
use super::audit;
use super::query::Query;
use crate::respond;

/// A new copy.
pub(super) async fn make(admin: &Admin) -> Answered {
    let backup = admin.make_backup().await?;
    audit::note_target(&backup.name);
    Ok(respond::json(StatusCode::CREATED, &backup))
}

/// The copies, the newest first.
pub(super) async fn list(admin: &Admin, query: Option<&str>) -> Answered {
    Query::parse(query)?.finish()?;
    Ok(respond::json(StatusCode::OK, &admin.backups().await?))
}
