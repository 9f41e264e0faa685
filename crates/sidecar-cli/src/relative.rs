//! Points in time as people think of them: how long until then.

use std::time::Duration;

use serde::Deserialize as _;
use serde_json::Value;
use sidecar_core::clock::Timestamp;

/// How long from `now` until the time in `value`, an RFC 3339 text; `None` if it has passed or is
/// no time.
pub(crate) fn until(value: &Value, now: Timestamp) -> Option<String> {
    let left = Timestamp::deserialize(value).ok()?.saturating_since(now);
    (!left.is_zero()).then(|| short(left))
}

/// The two largest units of `duration`, rounded up to whole seconds.
fn short(duration: Duration) -> String {
    let seconds = duration.as_millis().div_ceil(1_000);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_duration_is_shown_by_its_two_largest_units() {
        for (millis, shown) in [
            (1, "1s"),
            (59_001, "1m 00s"),
            (250_000, "4m 10s"),
            (3_600_000, "1h 00m"),
            (86_399_000, "23h 59m"),
            (180_000_000, "2d 02h"),
        ] {
            assert_eq!(short(Duration::from_millis(millis)), shown);
        }
    }

    #[test]
    fn only_a_time_to_come_is_shown() {
        // 2026-01-01T00:00:00Z
        let now = Timestamp::from_millis(1_767_225_600_000);
        let ahead = json!("2026-01-01T00:04:10Z");
        assert_eq!(until(&ahead, now).as_deref(), Some("4m 10s"));
        for value in [json!("2026-01-01T00:00:00Z"), json!(null), json!("soon"), json!(1)] {
            assert_eq!(until(&value, now), None, "{value}");
        }
    }
}
