//! The description of the admin API, made of the one list of routes and of the types that they
//! read and write, so that it cannot say anything else than the code does.

mod bodies;
mod operation;
mod operations;
mod schemas;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use http::StatusCode;
use serde_json::{Map, Value, json};

use self::schemas::Schemas;
use crate::respond::{self, Answer};
use crate::routes::ROUTES;

/// The document, as OpenAPI 3.1.
pub(crate) fn show() -> Answer {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
    respond::json(StatusCode::OK, &*DOCUMENT)
}

fn document() -> Value {
    let mut schemas = Schemas::new();
    let paths = paths(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sidecar",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
        },
        "servers": [{"url": "/"}],
        "tags": operations::tags(),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "adminToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The admin token.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-sidecar",
                    "description": "A session of the dashboard. What changes something also takes \
                                    the header `X-Sidecar-CSRF: 1`, from a page of this server.",
                },
                "callerKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A caller key, where callers need one. It may stand in \
                                    `X-Api-Key` or `X-Goog-Api-Key`, too.",
                },
            },
            "headers": operation::headers(),
            "responses": operation::refusals(),
            "schemas": schemas.finish(),
        },
    })
}

fn paths(schemas: &mut Schemas) -> Map<String, Value> {
    let mut paths = Map::new();
    let mut ids = BTreeSet::new();
    for route in ROUTES {
        let Some(method) = route.method else { continue };
        let Some(operation) = operations::describe(route.action, schemas) else { continue };
        // A path with another name leads to the same operation, which has one id only.
        let mut id = route.action.name();
        if !ids.insert(id.clone()) {
            id.push_str("_alias");
        }
        let item = paths.entry(route.path.replace("{id*}", "{id}")).or_insert_with(|| json!({}));
        item[method.to_ascii_lowercase()] = operation.into_json(&id, route.credential);
    }
    paths
}

const ABOUT: &str = "Manages a Sidecar while it serves requests. `/api/admin/providers` is another \
                     name of `/api/admin/backends`. Times are RFC 3339 in UTC. Unknown fields and \
                     parameters are refused, and what is refused changes nothing. A request that \
                     is no plain HTTP, such as one with two `Host` headers, is refused with 400 \
                     before anything looks at its path. What is proxied to providers is described \
                     by their vendors.";

#[cfg(test)]
mod tests;
