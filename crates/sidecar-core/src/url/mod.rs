//! Base URLs of providers: parsed once, written in one way, and checked for where they lead.
//!
//! A base URL decides where a key is sent, so it is refused if two parsers could read it
//! differently, and always if it leads to a link-local address or a cloud's metadata service.
//!
//! ```
//! use sidecar_core::url::BaseUrl;
//!
//! let url = BaseUrl::parse("HTTPS://API.Example.com:443/v1/")?;
//! assert_eq!(url.as_str(), "https://api.example.com/v1");
//! assert!(BaseUrl::parse("http://169.254.169.254/latest").is_err());
//! # Ok::<(), sidecar_core::url::UrlError>(())
//! ```

mod host;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use http::Uri;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::host::{HostClass, classify_ip};

/// Where a provider lives: scheme, host, port, and a path without a trailing slash. Cheap to
/// clone.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl {
    text: Arc<str>,
    authority: Range<usize>,
    class: HostClass,
}

/// Why a base URL was refused, and what to write instead. It never repeats the URL, which may hold
/// a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Longer than 2048 bytes.
    #[error("must be at most 2048 bytes")]
    TooLong,
    /// Spaces, control characters or non-ASCII ones.
    #[error(
        "must be printable ASCII without spaces; write an international host name in its xn-- form"
    )]
    Characters,
    /// Not `http` or `https`.
    #[error("must begin with https:// or http://")]
    Scheme,
    /// A user name or a password.
    #[error("must not hold a user name or a password; the key has a field of its own")]
    UserInfo,
    /// A query or a fragment.
    #[error("must end with its path; leave out ? and # and what follows them")]
    QueryOrFragment,
    /// No host at all.
    #[error("must name a host after the scheme")]
    NoHost,
    /// A host that is neither a name nor an address.
    #[error(
        "must name the host by letters, digits, dots and hyphens, or by an IP address; IPv6 \
             stands in brackets"
    )]
    Host,
    /// An IPv4 address in a form that only some parsers take for one.
    #[error("must write an IPv4 address as four decimal numbers without leading zeros")]
    NumericHost,
    /// A port that is none.
    #[error("must give a port from 1 to 65535, or none; an IPv6 address stands in brackets")]
    Port,
    /// A path that two servers may read differently.
    #[error(
        "must have a plain path: no dot segments, empty segments or backslashes, and no \
             percent-encoded dots, slashes or control characters"
    )]
    Path,
    /// The unspecified, a multicast or the broadcast address.
    #[error("must not lead to the unspecified, a multicast or the broadcast address")]
    Unusable,
    /// A link-local address or a metadata service.
    #[error("must not lead to a link-local address or a cloud's metadata service")]
    Forbidden,
}

impl BaseUrl {
    /// Parses `text`.
    ///
    /// # Errors
    ///
    /// Anything but `http` or `https`, a plain host, an optional port and a plain path; link-local
    /// addresses and metadata services.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_LEN {
            return Err(UrlError::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UrlError::Characters);
        }
        let (scheme, rest) = split_scheme(text)?;
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(UrlError::UserInfo);
        }
        if path.contains(['?', '#']) {
            return Err(UrlError::QueryOrFragment);
        }
        let (host, port) = split_port(authority)?;
        let (host, class) = host::parse(host)?;
        let authority = match port.filter(|port| *port != scheme.default_port()) {
            Some(port) => format!("{host}:{port}"),
            None => host,
        };
        let path = path.strip_suffix('/').unwrap_or(path);
        if !path.is_empty() && !is_plain_path(path) {
            return Err(UrlError::Path);
        }
        let start = scheme.as_str().len() + "://".len();
        let url = Self {
            text: format!("{}://{authority}{path}", scheme.as_str()).into(),
            authority: start..start + authority.len(),
            class,
        };
        // The client connects to what `http` makes of the text, which must be what was checked.
        let uri: Uri = url.text.parse().map_err(|_| UrlError::Host)?;
        if uri.authority().is_none_or(|found| found.as_str() != authority) {
            return Err(UrlError::Host);
        }
        Ok(url)
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &str {
        &self.text[..self.authority.start - "://".len()]
    }

    /// The host, and the port if it is not the scheme's own: what goes into the `Host` header.
    pub fn authority(&self) -> &str {
        &self.text[self.authority.clone()]
    }

    /// Scheme and authority: what a key is bound to.
    pub fn origin(&self) -> String {
        self.text[..self.authority.end].to_owned()
    }

    /// The path without a trailing slash; empty if there is none.
    pub fn path(&self) -> &str {
        &self.text[self.authority.end..]
    }

    /// Where the host lies, as far as its text says. A name is looked at again when it is
    /// resolved.
    pub fn host_class(&self) -> HostClass {
        self.class
    }

    /// The whole URL.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BaseUrl").field(&self.text).finish()
    }
}

impl Serialize for BaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for BaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Whether every server reads `path` the same way: it begins with a slash, has no empty or dot
/// segments (with parameters or without), no trailing slash, only the characters that RFC 3986
/// allows, and hides neither dots, slashes, percent signs nor control characters behind `%`.
pub(crate) fn is_plain_path(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else { return false };
    let (mut bytes, mut is_at_start, mut may_have_dots) = (segments.as_bytes(), true, false);
    while let [byte, rest @ ..] = bytes {
        bytes = match (byte, rest) {
            (b'/', _) if is_at_start => return false,
            (b'%', [high, low, rest @ ..]) => match decode(*high, *low) {
                Some(b'.' | b'/' | b'\\' | b'%' | 0x7f | 0..=0x1f) | None => return false,
                Some(_) => rest,
            },
            (byte, rest) if IS_PLAIN[usize::from(*byte)] => rest,
            _ => return false,
        };
        may_have_dots |= is_at_start && *byte == b'.';
        is_at_start = *byte == b'/';
    }
    let is_dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    let has_dots = may_have_dots && segments.split('/').any(is_dots);
    !is_at_start && !has_dots
}

/// The bytes that may stand in a path as they are.
const IS_PLAIN: [bool; 256] = {
    const MARKS: &[u8] = b"-._~!$&'()*+,;=:@/";
    let mut is_plain = [false; 256];
    let mut byte = 0;
    while byte < is_plain.len() {
        is_plain[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut mark = 0;
    while mark < MARKS.len() {
        is_plain[MARKS[mark] as usize] = true;
        mark += 1;
    }
    is_plain
};

fn decode(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some((digit(high)? << 4) | digit(low)?)
}

#[derive(Clone, Copy)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

fn split_scheme(text: &str) -> Result<(Scheme, &str), UrlError> {
    let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
    [Scheme::Https, Scheme::Http]
        .into_iter()
        .find(|known| scheme.eq_ignore_ascii_case(known.as_str()))
        .map(|known| (known, rest))
        .ok_or(UrlError::Scheme)
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), UrlError> {
    let host_end = if authority.starts_with('[') {
        authority.find(']').ok_or(UrlError::Host)? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(host_end);
    if port.is_empty() {
        return Ok((host, None));
    }
    let port = port
        .strip_prefix(':')
        .filter(|digits| !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .ok_or(UrlError::Port)?;
    Ok((host, Some(port)))
}

const MAX_LEN: usize = 2_048;

#[cfg(test)]
mod tests;
