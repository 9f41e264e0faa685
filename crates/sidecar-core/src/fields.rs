//! Checks of single fields, shared by everything that operators enter.

use std::num::NonZeroU32;

use serde::{Deserialize, Deserializer};

use crate::provider::FieldError;

/// Tells `null` (`Some(None)`) from a field that was left out (`None`).
pub(crate) fn nullable<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

/// At most `max` characters, none of them a control character.
pub(crate) fn text(field: &'static str, value: String, max: usize) -> Result<String, FieldError> {
    if value.chars().count() > max || has_control(&value) {
        let detail = format!("must be at most {max} characters, without control characters");
        return Err(FieldError::invalid(field, detail));
    }
    Ok(value)
}

/// Whether there is a control character in it.
pub(crate) fn has_control(value: &str) -> bool {
    value.chars().any(char::is_control)
}

/// What [`text`] takes for a text, as a pattern of JSON Schema.
#[cfg(feature = "schema")]
pub(crate) const PLAIN: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

/// From 1 to `max`.
pub(crate) fn in_range(
    field: &'static str,
    value: u32,
    max: u32,
) -> Result<NonZeroU32, FieldError> {
    NonZeroU32::new(value)
        .filter(|value| value.get() <= max)
        .ok_or_else(|| FieldError::invalid(field, format!("must be from 1 to {max}")))
}
