//! A small client of the admin API: one JSON exchange at a time, within a time and a size.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use serde::Deserialize;
use serde_json::Value;
use sidecar_core::client::{HttpsClient, SendError};
use sidecar_core::url::{BaseUrl, HostClass};
use tower::ServiceExt as _;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::token::{Token, TokenSources};

/// The admin API of a running Sidecar.
#[derive(Debug)]
pub(crate) struct Remote {
    client: HttpsClient,
    base: BaseUrl,
    token: Token,
}

/// JSON to send, wiped when it was sent: it may hold a provider key.
pub(crate) type Payload = Zeroizing<Vec<u8>>;

/// What the admin API says when it refuses.
#[derive(Deserialize)]
struct Refusal {
    detail: String,
    #[serde(default)]
    field: Option<String>,
}

impl Remote {
    /// The Sidecar at `url`. Fails if the token would be sent in clear to another machine, unless
    /// `insecure_http` says that this is meant.
    pub(crate) fn new(
        url: &str,
        insecure_http: bool,
        tokens: &TokenSources,
    ) -> Result<Self, Error> {
        let base = BaseUrl::parse(url).map_err(|error| Error::Url(error.to_string()))?;
        let stays_here = base.host_class() == HostClass::Loopback;
        if base.scheme() != "https" && !stays_here && !insecure_http {
            return Err(Error::PlainHttp { url: base.to_string() });
        }
        let token = tokens.find()?;
        Ok(Self { client: HttpsClient::new()?, base, token })
    }

    /// Reads what is at `path`, which starts below `/api/admin`.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Error> {
        self.exchange(Method::GET, path, None).await
    }

    /// Makes something new at `path`, or has something done.
    pub(crate) async fn post(&self, path: &str, body: Option<Payload>) -> Result<Value, Error> {
        self.exchange(Method::POST, path, body).await
    }

    /// Changes what is at `path`.
    pub(crate) async fn put(&self, path: &str, body: Payload) -> Result<Value, Error> {
        self.exchange(Method::PUT, path, Some(body)).await
    }

    /// Removes what is at `path`.
    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Error> {
        self.exchange(Method::DELETE, path, None).await
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Payload>,
    ) -> Result<Value, Error> {
        let request = self.request(method, path, body)?;
        let answer = async {
            let sending = self.client.clone().oneshot(request);
            let (head, body) = sending.await.map_err(|error| self.failed(&error))?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    Error::TooLarge { url: self.url() }
                } else {
                    Error::NoAnswer { url: self.url(), cause: innermost(&*error) }
                }
            })?;
            self.read(head.status, &body.to_bytes())
        };
        match tokio::time::timeout(TIME_LIMIT, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::TimedOut { url: self.url(), seconds: TIME_LIMIT.as_secs() }),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Payload>,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{}/api/admin{path}", self.base.origin(), self.base.path()))
            .header(AUTHORIZATION, self.token.header.clone())
            .header(ACCEPT, JSON)
            .header(USER_AGENT, concat!("sidecar-cli/", env!("CARGO_PKG_VERSION")));
        if body.is_some() {
            request = request.header(CONTENT_TYPE, JSON);
        }
        let body = Full::new(body.map(Bytes::from_owner).unwrap_or_default());
        request.body(body).map_err(|error| Error::Url(error.to_string()))
    }

    fn read(&self, status: StatusCode, body: &[u8]) -> Result<Value, Error> {
        let foreign = || Error::NotSidecar { url: self.url(), status };
        if status.is_success() {
            return match body {
                [] => Ok(Value::Null),
                body => serde_json::from_slice(body).map_err(|_| foreign()),
            };
        }
        if status == StatusCode::UNAUTHORIZED {
            return Err(Error::Unauthorized { url: self.url(), origin: self.token.origin.clone() });
        }
        match serde_json::from_slice(body) {
            Ok(Refusal { detail, field }) => Err(Error::Refused { field, detail }),
            Err(_) => Err(foreign()),
        }
    }

    fn failed(&self, error: &SendError) -> Error {
        let (url, cause) = (self.url(), innermost(error));
        if error.is_connect() {
            Error::Unreachable { url, cause }
        } else {
            Error::NoAnswer { url, cause }
        }
    }

    fn url(&self) -> String {
        self.base.to_string()
    }
}

/// JSON as it is sent.
pub(crate) fn payload(value: &Value) -> Payload {
    Zeroizing::new(value.to_string().into_bytes())
}

/// `text` as one segment of a path: percent-encoded but for letters, digits, `-`, `_`, `.`, `~`.
pub(crate) fn segment(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.push('%');
            segment.push(char::from(HEX[usize::from(byte >> 4)]));
            segment.push(char::from(HEX[usize::from(byte & 0xf)]));
        }
    }
    segment
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// How long an exchange may take, with the making of the connection.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 << 20;

const JSON: &str = "application/json";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sidecar_core::secret::Secret;

    use super::*;

    fn remote(url: &str, insecure_http: bool) -> Result<Remote, Error> {
        let tokens = TokenSources::new(Some(Secret::new("needle")), None, Path::new(""));
        Remote::new(url, insecure_http, &tokens)
    }

    #[test]
    fn the_token_stays_on_this_machine_unless_it_is_encrypted_or_meant() {
        for url in ["http://127.0.0.1:9190", "http://[::1]:9190", "http://localhost:9190"] {
            assert!(remote(url, false).is_ok(), "{url}");
        }
        assert!(remote("https://sidecar.example.com", false).is_ok());
        for url in ["http://192.0.2.1:9190", "http://localhost.example.com", "http://10.0.0.1"] {
            assert!(matches!(remote(url, false), Err(Error::PlainHttp { .. })), "{url}");
            assert!(remote(url, true).is_ok(), "{url}");
        }
        assert!(matches!(remote("127.0.0.1:9190", false), Err(Error::Url(_))));
    }

    #[test]
    fn a_request_goes_below_the_path_of_the_url_and_hides_the_token() {
        let remote = remote("http://127.0.0.1:9190/sidecar/", false).unwrap();
        let request = remote.request(Method::GET, "/pools", None).unwrap();
        assert_eq!(request.uri(), "http://127.0.0.1:9190/sidecar/api/admin/pools");
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer needle");
        assert!(!format!("{remote:?} {request:?}").contains("needle"));
    }

    #[test]
    fn a_name_is_one_segment_of_the_path() {
        assert_eq!(segment("nim-1_a.b~c"), "nim-1_a.b~c");
        assert_eq!(segment("a/b?c#d e%"), "a%2Fb%3Fc%23d%20e%25");
        assert_eq!(segment("gr\u{fc}n"), "gr%C3%BCn");
    }

    #[test]
    fn an_answer_that_is_not_of_the_admin_api_is_told_apart() {
        let remote = remote("http://127.0.0.1:9190", false).unwrap();
        let read = |status: u16, body: &str| {
            remote.read(StatusCode::from_u16(status).unwrap(), body.as_bytes())
        };
        assert_eq!(read(204, "").unwrap(), Value::Null);
        assert_eq!(read(200, "{\"ok\":true}").unwrap()["ok"], true);
        assert!(matches!(read(200, "<html>"), Err(Error::NotSidecar { .. })));
        assert!(matches!(read(302, ""), Err(Error::NotSidecar { .. })));
        assert!(matches!(read(404, "{\"error\":{}}"), Err(Error::NotSidecar { .. })));
        assert!(matches!(read(401, "{}"), Err(Error::Unauthorized { .. })));
        let refused = read(400, "{\"detail\":\"must be 1\",\"field\":null}").unwrap_err();
        assert_eq!(refused.message(), "must be 1");
    }
}
