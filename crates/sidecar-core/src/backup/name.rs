//! The names of copies: `sidecar-YYYYMMDDTHHMMSSZ.redb`, in UTC.

use std::ops::Range;

use crate::clock::Timestamp;

/// The name of a copy made at `at`, and that time in whole seconds.
pub(super) fn name_of(at: Timestamp) -> (String, Timestamp) {
    (format!("{PREFIX}{}{SUFFIX}", stamp(at)), second_of(at))
}

/// `at` as it stands in names.
pub(super) fn stamp(at: Timestamp) -> String {
    second_of(at).to_string().chars().filter(|letter| !matches!(letter, '-' | ':')).collect()
}

/// When the copy called `name` was made; `None` if it is not the name of one.
pub(super) fn time_of(name: &str) -> Option<Timestamp> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let part = |range: Range<usize>| digits.get(range);
    let text = format!(
        "{}-{}-{}{}:{}:{}",
        part(0..4)?,
        part(4..6)?,
        part(6..9)?,
        part(9..11)?,
        part(11..13)?,
        part(13..digits.len())?,
    );
    let at: jiff::Timestamp = text.parse().ok()?;
    let at = Timestamp::from_millis(at.as_millisecond());
    // The one name of this time, and no other spelling of it.
    (name_of(at).0 == name).then_some(at)
}

/// Whether `name` is that of a copy that is not done.
pub(super) fn is_draft(name: &str) -> bool {
    name.strip_suffix(DRAFT).and_then(|name| name.strip_suffix('.')).and_then(time_of).is_some()
}

/// The second of `at`, or the nearest one that has a name.
fn second_of(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis().div_euclid(1_000).clamp(0, LAST) * 1_000)
}

/// What stands at the end of the name of a copy that is not done, after a point.
pub(super) const DRAFT: &str = "tmp";
const PREFIX: &str = "sidecar-";
const SUFFIX: &str = ".redb";
/// The last second of a year of four digits, or nearly so.
const LAST: i64 = 253_402_207_200;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_says_when() {
        let at = Timestamp::from_millis(1_767_225_661_999);
        let (name, second) = name_of(at);
        assert_eq!(name, "sidecar-20260101T000101Z.redb");
        assert_eq!(second.as_millis(), 1_767_225_661_000);
        assert_eq!(time_of(&name), Some(second));
    }

    #[test]
    fn what_is_not_ours_has_no_time() {
        for name in [
            "sidecar.redb",
            "sidecar-20260101T000101Z.redb.tmp",
            "sidecar-20260101T000101Z",
            "sidecar-20260132T000101Z.redb",
            "sidecar-20260101T240101Z.redb",
            "sidecar-20260101T000101.5Z.redb",
            "sidecar-20260101T000101z.redb",
            "sidecar-2026-01-01T00:01:01Z.redb",
            "sidecar-\u{e9}0260101T000101Z.redb",
            "other-20260101T000101Z.redb",
            "",
        ] {
            assert_eq!(time_of(name), None, "{name}");
        }
        assert!(is_draft("sidecar-20260101T000101Z.redb.tmp"));
        assert!(!is_draft("sidecar-20260101T000101Z.redb"));
        assert!(!is_draft("precious.tmp"));
    }

    proptest! {
        #[test]
        fn every_time_has_a_name_that_is_read_back(millis in any::<i64>()) {
            let (name, at) = name_of(Timestamp::from_millis(millis));
            prop_assert_eq!(name.len(), "sidecar-20260101T000101Z.redb".len());
            prop_assert_eq!(time_of(&name), Some(at));
        }

        #[test]
        fn no_name_makes_it_panic(name in any::<String>()) {
            let _ = time_of(&format!("sidecar-{name}.redb"));
            let _ = is_draft(&name);
        }
    }
}
