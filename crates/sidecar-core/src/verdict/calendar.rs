//! When days, weeks and months end where the vendors count them.

use jiff::civil::{Date, Weekday};
use jiff::tz::Offset;

use crate::clock::Timestamp;

/// The next midnight at `hours` east of UTC.
pub(super) fn next_midnight(now: Timestamp, hours: i64) -> Timestamp {
    let offset = hours * HOUR;
    let today = now.as_millis().saturating_add(offset).div_euclid(DAY);
    midnight(today.saturating_add(1), offset)
}

/// The next Monday, 00:00 UTC.
pub(super) fn next_monday(now: Timestamp) -> Timestamp {
    let today = now.as_millis().div_euclid(DAY);
    // The epoch was a Thursday.
    let since_monday = today.saturating_add(3).rem_euclid(7);
    midnight(today.saturating_add(7 - since_monday), 0)
}

/// The first of the next month, 00:00 UTC. `None` beyond the calendar.
pub(super) fn next_month(now: Timestamp) -> Option<Timestamp> {
    utc(utc_date(now)?.last_of_month().tomorrow().ok()?, 0)
}

/// The next midnight in Los Angeles. `None` beyond the calendar.
pub(super) fn next_pacific_midnight(now: Timestamp) -> Option<Timestamp> {
    let offset = pacific_offset(now)?;
    let guess = next_midnight(now, offset);
    // The clocks may change before that midnight, but never within an hour of it.
    let shift = offset - pacific_offset(guess)?;
    Some(Timestamp::from_millis(guess.as_millis().saturating_add(shift * HOUR)))
}

/// Hours east of UTC in Los Angeles, by the rule in force since 2007: daylight time runs from the
/// second Sunday of March to the first Sunday of November, both at 02:00 by the clock before the
/// change. There is no time zone database here to ask.
fn pacific_offset(at: Timestamp) -> Option<i64> {
    let year = utc_date(at)?.year();
    let sunday = |month, nth| {
        Date::new(year, month, 1).ok()?.nth_weekday_of_month(nth, Weekday::Sunday).ok()
    };
    let daylight = utc(sunday(3, 2)?, 10)?..utc(sunday(11, 1)?, 9)?;
    Some(if daylight.contains(&at) { -7 } else { -8 })
}

fn utc_date(at: Timestamp) -> Option<Date> {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).ok()?;
    Some(Offset::UTC.to_datetime(at).date())
}

fn utc(date: Date, hour: i8) -> Option<Timestamp> {
    let at = Offset::UTC.to_timestamp(date.at(hour, 0, 0, 0)).ok()?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

/// Midnight at the start of `day`, counted from the epoch, where clocks are `offset` ahead.
fn midnight(day: i64, offset: i64) -> Timestamp {
    Timestamp::from_millis(day.saturating_mul(DAY).saturating_sub(offset))
}

/// In milliseconds.
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let at: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_millis(at.as_millisecond())
    }

    #[test]
    fn a_day_in_los_angeles_ends_by_the_clock_of_the_season() {
        for (now, end) in [
            // Winter and summer.
            ("2026-01-15T12:00:00Z", "2026-01-16T08:00:00Z"),
            ("2026-07-15T12:00:00Z", "2026-07-16T07:00:00Z"),
            // Still yesterday there.
            ("2026-01-15T07:59:59Z", "2026-01-15T08:00:00Z"),
            ("2026-01-15T08:00:00Z", "2026-01-16T08:00:00Z"),
            // The 23 hours of the second Sunday of March.
            ("2026-03-08T07:00:00Z", "2026-03-08T08:00:00Z"),
            ("2026-03-08T08:00:00Z", "2026-03-09T07:00:00Z"),
            ("2026-03-08T09:59:59Z", "2026-03-09T07:00:00Z"),
            ("2026-03-08T10:00:00Z", "2026-03-09T07:00:00Z"),
            // The 25 hours of the first Sunday of November.
            ("2026-11-01T06:59:59Z", "2026-11-01T07:00:00Z"),
            ("2026-11-01T07:00:00Z", "2026-11-02T08:00:00Z"),
            ("2026-11-01T09:00:00Z", "2026-11-02T08:00:00Z"),
            // Over the year's end.
            ("2026-12-31T23:00:00Z", "2027-01-01T08:00:00Z"),
        ] {
            assert_eq!(next_pacific_midnight(at(now)), Some(at(end)), "{now}");
        }
    }

    #[test]
    fn a_day_elsewhere_ends_at_a_fixed_offset() {
        let now = at("2026-01-15T15:59:59Z");
        assert_eq!(next_midnight(now, 8), at("2026-01-15T16:00:00Z"));
        assert_eq!(next_midnight(at("2026-01-15T16:00:00Z"), 8), at("2026-01-16T16:00:00Z"));
        assert_eq!(next_midnight(now, 0), at("2026-01-16T00:00:00Z"));
    }

    #[test]
    fn weeks_and_months_end_in_utc() {
        assert_eq!(next_monday(at("2026-01-15T12:00:00Z")), at("2026-01-19T00:00:00Z"));
        assert_eq!(next_monday(at("2026-01-19T00:00:00Z")), at("2026-01-26T00:00:00Z"));
        assert_eq!(next_month(at("2026-01-15T12:00:00Z")), Some(at("2026-02-01T00:00:00Z")));
        assert_eq!(next_month(at("2028-02-29T23:59:59Z")), Some(at("2028-03-01T00:00:00Z")));
        assert_eq!(next_month(at("2026-12-31T00:00:00Z")), Some(at("2027-01-01T00:00:00Z")));
    }

    #[test]
    fn a_clock_out_of_all_bounds_does_no_harm() {
        for millis in [i64::MIN, -1, 0, i64::MAX] {
            let now = Timestamp::from_millis(millis);
            next_midnight(now, 8);
            next_monday(now);
            next_month(now);
            next_pacific_midnight(now);
        }
        assert_eq!(next_month(Timestamp::from_millis(i64::MAX)), None);
    }
}
