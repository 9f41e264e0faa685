//! The master keys that a process holds, and the file that they come from.

use super::{Kek, KeyError, Kid};

/// One primary master key, and any number of older or newer ones that only decrypt. A new key is
/// first added everywhere as one that decrypts, then made the primary; an old one is dropped when
/// no store and no backup needs it.
#[derive(Debug)]
pub struct KeyRing {
    primary: Kek,
    decrypt_only: Vec<Kek>,
}

impl KeyRing {
    /// A ring of one key.
    pub fn new(primary: Kek) -> Self {
        Self { primary, decrypt_only: Vec::new() }
    }

    /// Adds a key that only decrypts. A key that the ring already has changes nothing.
    pub fn with_decrypt_only(mut self, key: Kek) -> Self {
        if self.get(key.kid()).is_none() {
            self.decrypt_only.push(key);
        }
        self
    }

    /// Reads a key file. It has one line `primary <key>` and any number of lines `decrypt <key>`,
    /// or only a key, which is then the primary. Blank lines, and lines that begin with `#`, are
    /// ignored. For the form of a key see [`Kek::parse`].
    pub fn parse_file(text: &str) -> Result<Self, KeyError> {
        let lines: Vec<(usize, &str)> = (1..)
            .zip(text.lines().map(str::trim))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .collect();
        let at = |line| move |problem| KeyError::KeyFileLine { line, problem: Box::new(problem) };

        if let [(number, line)] = lines[..]
            && !line.contains(char::is_whitespace)
        {
            return Kek::parse(line).map(Self::new).map_err(at(number));
        }

        let mut primary = None;
        let mut decrypt_only = Vec::new();
        for (number, line) in lines {
            match line.split_once(char::is_whitespace) {
                Some(("primary", _)) if primary.is_some() => {
                    return Err(at(number)(KeyError::SecondPrimary));
                }
                Some(("primary", hex)) => primary = Some(Kek::parse(hex).map_err(at(number))?),
                Some(("decrypt", hex)) => {
                    decrypt_only.push(Kek::parse(hex).map_err(at(number))?);
                }
                _ => return Err(at(number)(KeyError::UnknownLine)),
            }
        }
        let ring = Self::new(primary.ok_or(KeyError::NoPrimary)?);
        Ok(decrypt_only.into_iter().fold(ring, Self::with_decrypt_only))
    }

    /// The key that wraps new data keys.
    pub fn primary(&self) -> &Kek {
        &self.primary
    }

    /// The key with the id `kid`.
    pub fn get(&self, kid: Kid) -> Option<&Kek> {
        self.keys().find(|key| key.kid() == kid)
    }

    /// The ids of the keys, the primary first.
    pub fn kids(&self) -> impl Iterator<Item = Kid> {
        self.keys().map(Kek::kid)
    }

    fn keys(&self) -> impl Iterator<Item = &Kek> {
        std::iter::once(&self.primary).chain(&self.decrypt_only)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "8ba0fe4965396c0e0f9d517e5b29dd27518b9017d10cfa8ba219e4cf26633863";
    const B: &str = "b9ecdf5e59d7cabd1c528e32f09a2a208d79ecd6971289116906d9bc1a9307a1";

    fn kids(file: &str) -> Vec<String> {
        KeyRing::parse_file(file).unwrap().kids().map(|kid| kid.to_string()).collect()
    }

    fn refusal(file: &str) -> KeyError {
        KeyRing::parse_file(file).unwrap_err()
    }

    fn at(line: usize, problem: KeyError) -> KeyError {
        KeyError::KeyFileLine { line, problem: Box::new(problem) }
    }

    #[test]
    fn a_lone_key_is_the_primary() {
        assert_eq!(kids(A), ["7f26e8c13359933e"]);
        assert_eq!(kids(&format!("# made in May\r\n\r\n  {A}\r\n")), ["7f26e8c13359933e"]);
    }

    #[test]
    fn lines_say_what_each_key_is_for() {
        assert_eq!(kids(&format!("primary {A}")), ["7f26e8c13359933e"]);
        let file = format!("# old\ndecrypt {B}\n\n# new\n  primary\t{A}  \n");
        assert_eq!(kids(&file), ["7f26e8c13359933e", "acf2bec3f35b1e29"]);
    }

    #[test]
    fn a_repeated_key_counts_once() {
        let file = format!("decrypt {B}\nprimary {A}\ndecrypt {A}\ndecrypt {B}");
        assert_eq!(kids(&file), ["7f26e8c13359933e", "acf2bec3f35b1e29"]);
    }

    #[test]
    fn a_file_needs_exactly_one_primary() {
        for file in ["", "\n# nothing\n", &format!("decrypt {A}")] {
            assert_eq!(refusal(file), KeyError::NoPrimary);
        }
        let two = format!("primary {A}\nprimary {B}");
        assert_eq!(refusal(&two), at(2, KeyError::SecondPrimary));
    }

    #[test]
    fn a_refused_line_is_named() {
        let cut = &A[1..];
        assert_eq!(refusal(cut), at(1, KeyError::MalformedKey));
        assert_eq!(refusal(&format!("# key\n\nprimary {cut}")), at(3, KeyError::MalformedKey));
        assert_eq!(refusal(&format!("primary {A} {B}")), at(1, KeyError::MalformedKey));
        assert_eq!(refusal(&format!("{A}\n{B}")), at(1, KeyError::UnknownLine));
        assert_eq!(refusal(&format!("primary {A}\n{B}")), at(2, KeyError::UnknownLine));
        assert_eq!(refusal(&format!("PRIMARY {A}")), at(1, KeyError::UnknownLine));
        let zeros = "0".repeat(64);
        assert_eq!(refusal(&format!("primary {zeros}")), at(1, KeyError::GuessableKey));
    }

    #[test]
    fn a_refusal_shows_nothing_of_the_key() {
        for file in [&A[1..], &format!("primary {A}\nprimary {A}"), &format!("{A} {A}")] {
            let error = refusal(file);
            assert!(!format!("{error} {error:?}").contains(&A[8..16]), "{error}");
        }
    }
}
