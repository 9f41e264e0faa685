//! [`AdminError`].

use http::StatusCode;

use crate::backup::BackupError;
use crate::keys::KeyError;
use crate::provider::FieldError;
use crate::settings::SettingError;
use crate::store::StoreError;

/// Why a change was refused. Nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// There is none of this id or name.
    #[error("there is none with this id or name")]
    NotFound,
    /// A field is wrong, or clashes with what is there.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The setting is unknown, or the value is not one it takes.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// It comes from the environment and can be changed only there.
    #[error("{0} comes from the environment; change it there and start again")]
    ReadOnly(&'static str),
    /// It is no longer what the caller has read, see [`super::Precondition`].
    #[error("{0} was changed meanwhile; read it again and send its new ETag")]
    Changed(&'static str),
    /// The store could not make it durable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key could not be sealed, or the master keys are not those of the store.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A backup could not be made or looked at.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

impl AdminError {
    /// The HTTP status that says it.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotFound | Self::Setting(SettingError::Unknown(_)) => StatusCode::NOT_FOUND,
            Self::Field(error) if error.conflict => StatusCode::CONFLICT,
            Self::Field(_) | Self::Setting(_) => StatusCode::BAD_REQUEST,
            Self::ReadOnly(_) => StatusCode::CONFLICT,
            Self::Changed(_) => StatusCode::PRECONDITION_FAILED,
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Backup(BackupError::Busy | BackupError::NoFolder) => StatusCode::CONFLICT,
            Self::Backup(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Key(KeyError::WrongKey { .. }) => StatusCode::CONFLICT,
            Self::Key(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The JSON field at fault, if it is one.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Field(error) => Some(&error.field),
            _ => None,
        }
    }

    /// What is wrong and what to do, without the field's name.
    pub fn detail(&self) -> String {
        match self {
            Self::Field(error) => error.detail.clone(),
            other => other.to_string(),
        }
    }
}
