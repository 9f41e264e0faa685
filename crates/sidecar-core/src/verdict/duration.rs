//! Durations as vendors write them.
//!
//! Read by hand: the texts are hostile, and a number too large must become a long wait and not a
//! panic. Nothing here is longer than [`MOST`].

use std::time::Duration;

/// The longest wait that any text can ask for.
pub(super) const MOST: Duration = Duration::from_secs(31 * 86_400);

/// A decimal number without sign and exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    /// At most [`MOST_WHOLE`].
    pub(super) whole: u64,
    /// The fraction in billionths.
    billionths: u32,
}

impl Decimal {
    /// Reads a text that is nothing but a number.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, rest) = decimal(text.as_bytes())?;
        rest.is_empty().then_some(number)
    }

    pub(super) const fn is_zero(self) -> bool {
        self.whole == 0 && self.billionths == 0
    }

    /// This many of a unit of `nanos`.
    fn times(self, nanos: u64) -> Duration {
        // Fits: at most 1e15 * 1e9 * 8.64e13, a quarter of the range.
        let billionths = u128::from(self.whole) * BILLION + u128::from(self.billionths);
        let nanos = billionths * u128::from(nanos) / BILLION;
        u64::try_from(nanos).map_or(MOST, Duration::from_nanos).min(MOST)
    }

    pub(super) fn seconds(self) -> Duration {
        self.times(SECOND)
    }

    pub(super) fn millis(self) -> Duration {
        self.times(MILLI)
    }
}

/// A text that is nothing but numbers with units: `6m0s`, `17.39s`, `26ms`.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.as_bytes();
    let mut total = Duration::ZERO;
    loop {
        let (part, after) = number_and_unit(rest)?;
        total = total.saturating_add(part).min(MOST);
        if after.is_empty() {
            return Some(total);
        }
        rest = after;
    }
}

/// What a sentence goes on with: `9m38.016s.`, `12 seconds`, `1 minute and 3 seconds`. A number
/// that ends its sentence is one of seconds. The text is in lower case.
pub(super) fn parse_prose(text: &str) -> Option<Duration> {
    let mut rest = text.as_bytes().trim_ascii_start();
    let mut total: Option<Duration> = None;
    for _ in 0..MOST_PARTS {
        let Some((number, after)) = decimal(rest) else { break };
        if total.is_none() && ends_sentence(after) {
            return Some(number.seconds());
        }
        let Some((unit, after)) = unit(after.trim_ascii_start()) else { break };
        let sum = total.unwrap_or_default().saturating_add(number.times(unit));
        total = Some(sum.min(MOST));
        let after = after.trim_ascii_start();
        rest = after.strip_prefix(b"and ").unwrap_or(after).trim_ascii_start();
    }
    total
}

/// The whole number at the front of `text`.
pub(super) fn leading_number(text: &str) -> Option<u64> {
    decimal(text.as_bytes()).map(|(number, _)| number.whole)
}

fn number_and_unit(text: &[u8]) -> Option<(Duration, &[u8])> {
    let (number, rest) = decimal(text)?;
    let (unit, rest) = unit(rest)?;
    Some((number.times(unit), rest))
}

/// The number at the front, and what follows. A dot without digits after it belongs to what
/// follows.
fn decimal(text: &[u8]) -> Option<(Decimal, &[u8])> {
    let (digits, rest) = digits(text);
    if digits.is_empty() {
        return None;
    }
    let whole = digits.iter().fold(0_u64, |whole, digit| {
        whole.saturating_mul(10).saturating_add(u64::from(digit - b'0')).min(MOST_WHOLE)
    });
    let (fraction, rest) = match rest.strip_prefix(b".").map(self::digits) {
        Some((fraction, after)) if !fraction.is_empty() => (fraction, after),
        _ => (&rest[..0], rest),
    };
    let (mut billionths, mut place) = (0, 100_000_000);
    for digit in fraction {
        billionths += u32::from(digit - b'0') * place;
        place /= 10;
    }
    Some((Decimal { whole, billionths }, rest))
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

/// The unit at the front in nanoseconds, and what follows.
fn unit(text: &[u8]) -> Option<(u64, &[u8])> {
    // Go writes the micro sign, which has two code points.
    for micro in ["\u{b5}s", "\u{3bc}s"] {
        if let Some(rest) = text.strip_prefix(micro.as_bytes()) {
            return Some((1_000, rest));
        }
    }
    let letters = text.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (word, rest) = text.split_at(letters);
    let nanos = match word {
        b"ns" => 1,
        b"us" => 1_000,
        b"ms" | b"msec" | b"msecs" | b"millisecond" | b"milliseconds" => MILLI,
        b"s" | b"sec" | b"secs" | b"second" | b"seconds" => SECOND,
        b"m" | b"min" | b"mins" | b"minute" | b"minutes" => 60 * SECOND,
        b"h" | b"hr" | b"hrs" | b"hour" | b"hours" => 3_600 * SECOND,
        b"d" | b"day" | b"days" => 86_400 * SECOND,
        _ => return None,
    };
    Some((nanos, rest))
}

fn ends_sentence(rest: &[u8]) -> bool {
    matches!(rest.first(), None | Some(b'.' | b',' | b';' | b')' | b'"' | b'\'' | b'\n'))
}

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const BILLION: u128 = 1_000_000_000;
/// Enough for milliseconds since the epoch, and small enough for the arithmetic.
const MOST_WHOLE: u64 = 1_000_000_000_000_000;
const MOST_PARTS: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_of_every_vendor_are_read() {
        for (text, millis) in [
            ("6m0s", 360_000),
            ("17.39s", 17_390),
            ("26ms", 26),
            ("2m59.56s", 179_560),
            ("0s", 0),
            ("1h2m3s", 3_723_000),
            ("1d", 86_400_000),
            ("1500us", 1),
            ("1500\u{b5}s", 1),
        ] {
            let read = parse(text).map(|wait| wait.as_millis());
            assert_eq!(read, Some(millis), "{text}");
        }
        assert_eq!(parse("17.399999999s"), Some(Duration::from_nanos(17_399_999_999)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "s", "5", "-5s", "+5s", "5x", "5 s", "1e3s", "NaNs", "inf", ".5s", "5s "] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn prose_is_read_up_to_where_the_duration_ends() {
        for (text, millis) in [
            ("9m38.016s.", 578_016),
            ("856.559356ms.", 856),
            ("12 seconds", 12_000),
            ("1 minute and 3 seconds, or so", 63_000),
            ("20s. visit us 3 days a week", 20_000),
            ("7", 7_000),
            ("7.", 7_000),
            (" 2 hours", 7_200_000),
        ] {
            let read = parse_prose(text).map(|wait| wait.as_millis());
            assert_eq!(read, Some(millis), "{text}");
        }
        for text in ["", "a while", "12 attempts", "2026-01-01t00:00:00z", "7/8", "-3 seconds"] {
            assert_eq!(parse_prose(text), None, "{text}");
        }
    }

    #[test]
    fn an_endless_number_is_a_long_wait() {
        let nines = "9".repeat(1 << 20);
        assert_eq!(parse(&format!("{nines}s")), Some(MOST));
        assert_eq!(parse(&format!("0.{nines}d")), Some(Duration::from_nanos(86_399_999_913_600)));
        assert_eq!(parse(&format!("{nines}ns")), Some(Duration::from_secs(1_000_000)));
        assert_eq!(parse(&"9999999999d".repeat(1_000)), Some(MOST));
        assert_eq!(Decimal::parse(&nines).map(Decimal::seconds), Some(MOST));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_wait_too_long(
            parts in proptest::collection::vec((any::<u64>(), any::<u64>(), 0..8_usize), 0..6),
            noise in any::<String>(),
        ) {
            let units = ["s", "ms", " days", "m", "h", "\u{b5}s", "", " and "];
            let text: String = parts
                .iter()
                .map(|(whole, fraction, unit)| format!("{whole}.{fraction}{}", units[*unit]))
                .chain([noise])
                .collect();
            for wait in [parse(&text), parse_prose(&text)].into_iter().flatten() {
                prop_assert!(wait <= MOST);
            }
        }
    }
}
