//! Amounts of money without rounding.

use std::fmt;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in pico-USD (1e-12 USD), so that sums are exact. Its text is the shortest decimal;
/// JSON has it as such a text, and gives it as a text or a number.
///
/// ```
/// use sidecar_core::callers::Usd;
///
/// let budget: Usd = serde_json::from_str("2.5")?;
/// assert_eq!(budget, serde_json::from_str("\"2.50\"")?);
/// assert_eq!((budget.pico(), budget.to_string()), (2_500_000_000_000, "2.5".to_owned()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(u128);

impl Usd {
    /// Of a whole number of pico-USD.
    pub const fn from_pico(pico: u128) -> Self {
        Self(pico)
    }

    /// In pico-USD.
    pub const fn pico(self) -> u128 {
        self.0
    }

    /// Reads a decimal such as `25` or `0.125`: digits only, at most 15 before and 12 after the
    /// point.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let number = |digits: &str, most: usize| -> Option<u128> {
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            (plain && (1..=most).contains(&digits.len())).then(|| digits.parse().ok()).flatten()
        };
        let whole = number(whole, WHOLE_DIGITS)?;
        let scale = 10_u128.pow(u32::try_from(PLACES.checked_sub(fraction.len())?).ok()?);
        Some(Self(whole * ONE + number(fraction, PLACES)? * scale))
    }

    /// Of a JSON number. It means the shortest decimal that stands for it; only what is finer than
    /// a pico-USD is rounded.
    fn from_f64(usd: f64) -> Option<Self> {
        if !(0.0..MOST).contains(&usd) {
            return None;
        }
        // Rust writes the shortest decimal, and never an exponent.
        Self::parse(&usd.to_string()).or_else(|| Self::parse(&format!("{usd:.12}")))
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / ONE, self.0 % ONE);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{fraction:012}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Amount)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Usd {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Usd".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        if generator.contract().is_serialize() {
            return schemars::json_schema!({
                "type": "string", "pattern": r"^(0|[1-9][0-9]*)(\.[0-9]{0,11}[1-9])?$",
            });
        }
        schemars::json_schema!({
            "anyOf": [
                {"type": "number", "minimum": 0, "exclusiveMaximum": MOST},
                {"type": "string", "pattern": r"^[0-9]{1,15}(\.[0-9]{1,12})?$"},
            ],
        })
    }
}

struct Amount;

impl Visitor<'_> for Amount {
    type Value = Usd;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount in USD, such as 25 or \"0.125\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Usd, E> {
        // The text is not repeated: it may be anything.
        Usd::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Other("text"), &self))
    }

    fn visit_u64<E: de::Error>(self, usd: u64) -> Result<Usd, E> {
        Ok(Usd(u128::from(usd) * ONE))
    }

    fn visit_f64<E: de::Error>(self, usd: f64) -> Result<Usd, E> {
        Usd::from_f64(usd).ok_or_else(|| E::invalid_value(Unexpected::Other("number"), &self))
    }
}

/// Digits after the point.
const PLACES: usize = 12;
const WHOLE_DIGITS: usize = 15;
/// One USD.
const ONE: u128 = 1_000_000_000_000;
/// The first number that has too many digits.
const MOST: f64 = 1e15;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Option<u128> {
        serde_json::from_str::<Usd>(json).ok().map(Usd::pico)
    }

    #[test]
    fn numbers_and_texts_mean_what_they_say() {
        for (json, pico) in [
            ("0", 0),
            ("1", 1_000_000_000_000),
            ("1.1", 1_100_000_000_000),
            ("\"1.10\"", 1_100_000_000_000),
            ("1e-12", 1),
            ("\"0.000000000001\"", 1),
            ("999999.1", 999_999_100_000_000_000),
            // What a sum of binary fractions comes to.
            ("0.30000000000000004", 300_000_000_000),
            ("2e3", 2_000_000_000_000_000),
        ] {
            assert_eq!(read(json), Some(pico), "{json}");
        }
    }

    #[test]
    fn what_is_no_plain_amount_is_refused() {
        for json in ["-1", "-0.5", "1e15", "1e300", "true", "null", "[]", "{}"] {
            assert_eq!(read(json), None, "{json}");
        }
        for text in ["", ".5", "5.", "+5", "-5", "1e3", " 5", "$5", "1,5", "1.2.3", "\u{665}"] {
            assert_eq!(Usd::parse(text), None, "{text}");
        }
        // Too fine, and too large.
        for text in ["0.0000000000001", "1000000000000000"] {
            assert_eq!(Usd::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_refusal_does_not_repeat_the_text() {
        let error = serde_json::from_str::<Usd>("\"sk-needle\"").unwrap_err().to_string();
        assert!(error.contains("expected an amount in USD"), "{error}");
        assert!(!error.contains("needle"), "{error}");
    }

    proptest! {
        #[test]
        fn an_amount_survives_its_own_text(pico in 0..1_000_000_000_000_000_000_000_000_000_u128) {
            let usd = Usd::from_pico(pico);
            prop_assert_eq!(Usd::parse(&usd.to_string()), Some(usd));
            let json = serde_json::to_string(&usd).unwrap();
            prop_assert_eq!(serde_json::from_str::<Usd>(&json).unwrap(), usd);
        }

        #[test]
        fn a_number_with_cents_is_exact(cents in 0..100_000_000_u32) {
            let json = format!("{}.{:02}", cents / 100, cents % 100);
            prop_assert_eq!(read(&json), Some(u128::from(cents) * 10_000_000_000));
        }

        #[test]
        fn any_text_may_be_read(text in any::<String>()) {
            if let Some(usd) = Usd::parse(&text) {
                prop_assert!(Usd::parse(&usd.to_string()) == Some(usd));
            }
        }
    }
}
