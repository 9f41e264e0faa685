//! The admin token: where it is looked for, and how it is sent.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use http::HeaderValue;
use sidecar_core::secret::Secret;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::files::read_secret;

/// Where the admin token may be: the first place that is set counts. It is never an argument,
/// which other users of the machine could see.
#[derive(Clone, Debug)]
pub struct TokenSources {
    variable: Option<Secret>,
    file: Option<PathBuf>,
    default_file: PathBuf,
}

/// The token that was found, ready to be sent.
#[derive(Debug)]
pub(crate) struct Token {
    /// The value of the `Authorization` header; marked as sensitive.
    pub(crate) header: HeaderValue,
    /// Where it was found, for messages.
    pub(crate) origin: String,
}

impl TokenSources {
    /// The token itself (`SIDECAR_ADMIN_TOKEN`), the file that holds it
    /// (`SIDECAR_ADMIN_TOKEN_FILE`), and the directory whose `secrets/admin.token` counts when
    /// neither is given. An empty text or path is as good as none.
    pub fn new(variable: Option<Secret>, file: Option<PathBuf>, directory: &Path) -> Self {
        Self {
            variable: variable.filter(|token| !token.expose().is_empty()),
            file: file.filter(|path| !path.as_os_str().is_empty()),
            default_file: directory.join("secrets").join("admin.token"),
        }
    }

    /// The environment and the working directory of the process.
    pub fn from_process() -> Self {
        let variable = env::var_os(VARIABLE);
        let variable = variable.map(|token| Secret::new(token.to_string_lossy().into_owned()));
        let file = env::var_os(FILE_VARIABLE).map(PathBuf::from);
        Self::new(variable, file, Path::new(""))
    }

    /// The token from the first place that is set. A file that is named but cannot be read is an
    /// error, not a reason to look further.
    pub(crate) fn find(&self) -> Result<Token, Error> {
        if let Some(token) = &self.variable {
            return Token::new(token, VARIABLE.to_owned());
        }
        if let Some(path) = &self.file {
            return Token::new(
                &read_secret(path)?,
                format!("{} ({FILE_VARIABLE})", path.display()),
            );
        }
        match read_secret(&self.default_file) {
            Ok(token) => Token::new(&token, self.default_file.display().to_string()),
            Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(Error::NoToken)
            }
            Err(error) => Err(error),
        }
    }
}

impl Token {
    fn new(token: &Secret, origin: String) -> Result<Self, Error> {
        let token = token.expose().trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::BadToken(origin));
        }
        let header = Zeroizing::new(format!("Bearer {token}"));
        let mut header = HeaderValue::from_str(&header).expect("visible ASCII is a header value");
        header.set_sensitive(true);
        Ok(Self { header, origin })
    }
}

/// Where the token is looked for, in order, for messages.
pub(crate) const PLACES: &str = "the variable SIDECAR_ADMIN_TOKEN, then the file that \
                                 SIDECAR_ADMIN_TOKEN_FILE names, then secrets/admin.token under \
                                 the working directory";

const VARIABLE: &str = "SIDECAR_ADMIN_TOKEN";
const FILE_VARIABLE: &str = "SIDECAR_ADMIN_TOKEN_FILE";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder_with_default(token: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("secrets")).unwrap();
        fs::write(folder.path().join("secrets/admin.token"), token).unwrap();
        folder
    }

    fn header(sources: &TokenSources) -> String {
        sources.find().unwrap().header.to_str().unwrap().to_owned()
    }

    #[test]
    fn the_variable_comes_before_the_file_and_the_file_before_the_default() {
        let folder = folder_with_default("third\n");
        let file = folder.path().join("token");
        fs::write(&file, "second\n").unwrap();
        let sources = |variable: Option<&str>, file: Option<&PathBuf>| {
            TokenSources::new(variable.map(Secret::new), file.cloned(), folder.path())
        };
        assert_eq!(header(&sources(Some("first"), Some(&file))), "Bearer first");
        assert_eq!(header(&sources(None, Some(&file))), "Bearer second");
        assert_eq!(header(&sources(Some(""), Some(&file))), "Bearer second");
        assert_eq!(header(&sources(None, None)), "Bearer third");
        assert_eq!(header(&sources(None, Some(&PathBuf::new()))), "Bearer third");
    }

    #[test]
    fn a_named_file_that_is_missing_is_not_passed_over() {
        let folder = folder_with_default("third");
        let missing = folder.path().join("missing");
        let sources = TokenSources::new(None, Some(missing), folder.path());
        assert!(matches!(sources.find(), Err(Error::File { .. })));
    }

    #[test]
    fn no_token_anywhere_is_an_error_that_names_the_places() {
        let folder = tempfile::tempdir().unwrap();
        let error = TokenSources::new(None, None, folder.path()).find().unwrap_err();
        for place in [VARIABLE, FILE_VARIABLE, "secrets/admin.token"] {
            assert!(error.message().contains(place), "{place}");
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        let sources = TokenSources::new(Some(Secret::new("needle")), None, Path::new(""));
        assert!(!format!("{sources:?} {:?}", sources.find().unwrap()).contains("needle"));
        let sources = TokenSources::new(Some(Secret::new("needle needle")), None, Path::new(""));
        assert!(!sources.find().unwrap_err().message().contains("needle"));
    }
}
