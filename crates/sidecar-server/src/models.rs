//! The models that callers can ask for, in the format of OpenAI's list.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;
use sidecar_core::callers::LiveCaller;
use sidecar_core::error::Error;
use sidecar_core::ingest::Family;
use sidecar_core::pool::ModelInfo;

use crate::admin::percent_decode;
use crate::app::App;
use crate::respond::{self, Answer};

#[derive(Serialize)]
struct ModelList {
    object: &'static str,
    data: Vec<Model>,
}

#[derive(Serialize)]
struct Model {
    id: String,
    object: &'static str,
    /// Required by clients; nobody knows it here.
    created: u32,
    owned_by: &'static str,
    context_window: Option<u32>,
    max_tokens: Option<u32>,
}

/// Those that the caller may use.
pub(crate) fn list(app: &App, caller: Option<&Arc<LiveCaller>>) -> Answer {
    let data = usable(app, caller).map(Model::from).collect();
    respond::json(StatusCode::OK, &ModelList { object: "list", data })
}

pub(crate) fn one(app: &App, caller: Option<&Arc<LiveCaller>>, id: &str) -> Answer {
    let id = percent_decode(id);
    match usable(app, caller).find(|model| Some(&model.name) == id.as_ref()) {
        Some(model) => respond::json(StatusCode::OK, &Model::from(model)),
        None => {
            let error = Error::UnknownModel(id.unwrap_or_default());
            respond::failed(&error, Family::OpenAi)
        }
    }
}

fn usable(app: &App, caller: Option<&Arc<LiveCaller>>) -> impl Iterator<Item = ModelInfo> {
    let models = app.sidecar.pools().models().into_iter();
    models.filter(move |model| caller.is_none_or(|caller| caller.may_use(&model.name)))
}

impl From<ModelInfo> for Model {
    fn from(model: ModelInfo) -> Self {
        Self {
            id: model.name,
            object: "model",
            created: 0,
            owned_by: "sidecar",
            context_window: model.context_window,
            max_tokens: model.max_tokens,
        }
    }
}
