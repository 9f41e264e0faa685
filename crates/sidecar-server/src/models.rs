//! The models that callers can ask for, in the format of OpenAI's list.

use http::StatusCode;
use serde::Serialize;
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

pub(crate) fn list(app: &App) -> Answer {
    let data = app.sidecar.pools().models().into_iter().map(Model::from).collect();
    respond::json(StatusCode::OK, &ModelList { object: "list", data })
}

pub(crate) fn one(app: &App, id: &str) -> Answer {
    let id = percent_decode(id);
    let models = app.sidecar.pools().models();
    match models.into_iter().find(|model| Some(&model.name) == id.as_ref()) {
        Some(model) => respond::json(StatusCode::OK, &Model::from(model)),
        None => {
            let error = Error::UnknownModel(id.unwrap_or_default());
            respond::failed(&error, Family::OpenAi)
        }
    }
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
