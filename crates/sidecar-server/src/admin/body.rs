//! Reading a JSON body, with errors that name the field and never repeat the value.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::audit;
use super::refusal::Refusal;

/// Reads a body that must be there.
pub(super) async fn read<T: DeserializeOwned>(body: Incoming) -> Result<T, Refusal> {
    parse(&collect(body).await?)
}

/// Reads a body that may be left out.
pub(super) async fn read_optional<T: DeserializeOwned + Default>(
    body: Incoming,
) -> Result<T, Refusal> {
    let bytes = collect(body).await?;
    if bytes.is_empty() { Ok(T::default()) } else { parse(&bytes) }
}

async fn collect(body: Incoming) -> Result<Bytes, Refusal> {
    let collecting = Limited::new(body, MOST_BYTES).collect();
    match tokio::time::timeout(PATIENCE, collecting).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let text = format!("the body is larger than {MOST_BYTES} bytes");
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text))
        }
        Ok(Err(_)) | Err(_) => {
            let text = "the body did not arrive whole in time";
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, text))
        }
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    if !bytes.trim_ascii_start().starts_with(b"{") {
        // A list would be taken for the fields in their order.
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "the body must be a JSON object"));
    }
    let deserializer = &mut serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut *deserializer).map_err(|error| {
        let field = error.path().to_string();
        Refusal {
            field: (field != ".").then_some(field),
            ..Refusal::new(StatusCode::BAD_REQUEST, explain(error.inner()))
        }
    })?;
    match deserializer.end() {
        Ok(()) => {
            audit::note_fields(bytes);
            Ok(value)
        }
        Err(_) => {
            let text = "there is more after the JSON object";
            Err(Refusal::new(StatusCode::BAD_REQUEST, text))
        }
    }
}

/// What is wrong, without the value that is: it may be a key in the wrong place.
fn explain(error: &serde_json::Error) -> String {
    if !error.is_data() {
        return format!("is not valid JSON (line {}, column {})", error.line(), error.column());
    }
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    match text.find("expected ") {
        Some(at) if !text.starts_with("unknown field") => format!("must be {}", &text[at + 9..]),
        // These name fields only, and a value of ours.
        _ => text.chars().take(MOST_CHARACTERS).collect(),
    }
}

const MOST_BYTES: usize = 1 << 20;
const MOST_CHARACTERS: usize = 500;
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use sidecar_core::provider::ProviderPatch;

    use super::*;

    fn refusal(json: &str) -> String {
        let refusal = parse::<ProviderPatch>(json.as_bytes()).unwrap_err();
        assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
        format!("{} {}", refusal.field.unwrap_or_default(), refusal.detail)
    }

    #[test]
    fn a_refusal_names_the_field_and_not_the_value() {
        for (json, field) in [
            (r#"{"rpm_limit": "sk-needle"}"#, "rpm_limit"),
            (r#"{"enabled": "sk-needle"}"#, "enabled"),
            (r#"{"pool": "sk-needle"}"#, "pool"),
            (r#"{"model_mappings": {"m": {"context_window": "sk-needle"}}}"#, "m.context_window"),
            (r#"{"model_mappings": {"m": {"cost": {"input": 7}}}}"#, "m.cost.input"),
        ] {
            let body = refusal(json);
            assert!(body.contains(field) && !body.contains("needle"), "{body}");
        }
    }

    #[test]
    fn what_is_no_json_object_is_refused() {
        for json in ["", "{", "[1]x", "{} {}", "nonsense"] {
            refusal(json);
        }
        assert!(refusal(r#"{"nmae": "x"}"#).contains("unknown field `nmae`"));
    }
}
