//! [`Refusal`].

use http::StatusCode;
use sidecar_core::admin::AdminError;

use crate::respond::{self, Answer};

/// Why an admin request was refused: what is wrong, and in which field.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) detail: String,
    pub(super) field: Option<String>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), field: None }
    }

    pub(super) fn answer(&self) -> Answer {
        respond::detail(self.status, &self.detail, self.field.as_deref())
    }
}

impl From<AdminError> for Refusal {
    fn from(error: AdminError) -> Self {
        let field = error.field().map(str::to_owned);
        Self { status: error.status(), detail: error.detail(), field }
    }
}
