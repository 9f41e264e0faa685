//! What a caller has spent today and this month, and what its requests under way may still cost.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::Offset;

use super::Usd;
use crate::clock::Timestamp;

/// A caller's spending, in pico-USD. Days and months are those of UTC.
///
/// A reservation is no part of a day or month: it counts in whichever it is paid.
#[derive(Debug)]
pub(super) struct Spending {
    /// What the requests under way may still cost.
    reserved: u128,
    day: Window,
    month: Window,
}

/// What may be spent; `None` is without end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Budget {
    pub(super) daily: Option<Usd>,
    pub(super) monthly: Option<Usd>,
}

/// A stretch of time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Period {
    Day,
    Month,
}

/// What was spent in one day or month.
#[derive(Debug)]
struct Window {
    period: Period,
    starts: Timestamp,
    ends: Timestamp,
    spent: u128,
}

impl Spending {
    /// Whether `estimate` more stays within `budget`, whatever the requests under way cost of what
    /// they reserved. `Err` is when it may.
    pub(super) fn check(
        &mut self,
        budget: Budget,
        estimate: u128,
        wall: Timestamp,
    ) -> Result<(), Duration> {
        self.roll(wall);
        let mut wait: Option<Duration> = None;
        for (limit, window) in [(budget.daily, &self.day), (budget.monthly, &self.month)] {
            let Some(limit) = limit.map(Usd::pico) else { continue };
            // What is used up admits nothing, not even what costs nothing or has no price.
            let fits = |used: u128| used < limit && used.saturating_add(estimate) <= limit;
            if !fits(window.spent) {
                wait = wait.max(Some(window.ends.saturating_since(wall)));
            } else if !fits(window.spent.saturating_add(self.reserved)) {
                wait = wait.max(Some(RESERVED_WAIT));
            }
        }
        wait.map_or(Ok(()), Err)
    }

    pub(super) fn reserve(&mut self, amount: u128) {
        self.reserved = self.reserved.saturating_add(amount);
    }

    pub(super) fn release(&mut self, amount: u128) {
        self.reserved = self.reserved.saturating_sub(amount);
    }

    /// Counts what was paid at `wall`.
    pub(super) fn pay(&mut self, cost: u128, wall: Timestamp) {
        self.roll(wall);
        for window in [&mut self.day, &mut self.month] {
            window.spent = window.spent.saturating_add(cost);
        }
    }

    /// Counts what was paid at `wall` in an earlier run. The order does not matter.
    pub(super) fn pay_past(&mut self, cost: u128, wall: Timestamp) {
        for window in [&mut self.day, &mut self.month] {
            if wall >= window.ends {
                window.roll(wall);
            }
            if wall >= window.starts {
                window.spent = window.spent.saturating_add(cost);
            }
        }
    }

    /// What was spent today and this month, and what is reserved.
    pub(super) fn sums(&mut self, wall: Timestamp) -> (Usd, Usd, Usd) {
        self.roll(wall);
        let [day, month] = [self.day.spent, self.month.spent].map(Usd::from_pico);
        (day, month, Usd::from_pico(self.reserved))
    }

    fn roll(&mut self, wall: Timestamp) {
        self.day.roll(wall);
        self.month.roll(wall);
    }
}

impl Default for Spending {
    fn default() -> Self {
        Self { reserved: 0, day: Window::new(Period::Day), month: Window::new(Period::Month) }
    }
}

impl Window {
    /// One that has ended before anything began.
    fn new(period: Period) -> Self {
        let before = Timestamp::from_millis(i64::MIN);
        Self { period, starts: before, ends: before, spent: 0 }
    }

    fn roll(&mut self, wall: Timestamp) {
        if wall >= self.ends {
            self.spent = 0;
        } else if wall + SET_BACK >= self.starts {
            return;
        }
        // A clock that was set back far opens an earlier window, and gives no money back.
        (self.starts, self.ends) = self.period.around(wall);
    }
}

impl Period {
    /// The first instant of the period that `at` lies in, and that of the next one.
    pub(super) fn around(self, at: Timestamp) -> (Timestamp, Timestamp) {
        let today = at.as_millis().div_euclid(DAY);
        let midnight = |day: i64| Timestamp::from_millis(day.saturating_mul(DAY));
        let days = |count: i64| (midnight(today), midnight(today + count));
        match self {
            Self::Day => days(1),
            // Beyond the calendar any month will do.
            Self::Month => month_around(at).unwrap_or_else(|| days(30)),
        }
    }
}

/// `None` beyond the calendar.
fn month_around(at: Timestamp) -> Option<(Timestamp, Timestamp)> {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).ok()?;
    let date = Offset::UTC.to_datetime(at).date();
    let next = date.last_of_month().tomorrow().ok()?;
    Some((midnight(date.first_of_month())?, midnight(next)?))
}

fn midnight(date: Date) -> Option<Timestamp> {
    let at = Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

/// In milliseconds.
const DAY: i64 = 86_400_000;
/// A clock that is corrected by less does not end a day.
const SET_BACK: Duration = Duration::from_secs(3_600);
/// When to look again for money that is only reserved.
const RESERVED_WAIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        let at: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_millis(at.as_millisecond())
    }

    fn budget(daily: u128, monthly: u128) -> Budget {
        Budget { daily: Some(Usd::from_pico(daily)), monthly: Some(Usd::from_pico(monthly)) }
    }

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3_600)
    }

    #[test]
    fn a_budget_is_new_every_day_and_every_month() {
        let mut spending = Spending::default();
        let evening = at("2026-01-30T22:00:00Z");
        spending.pay(10, evening);
        assert_eq!(spending.check(budget(10, 25), 0, evening), Err(hours(2)));
        let saturday = evening + hours(2);
        assert_eq!(spending.check(budget(10, 25), 10, saturday), Ok(()));
        spending.pay(10, saturday);
        spending.pay(5, saturday);
        assert_eq!(spending.check(budget(10, 25), 0, saturday), Err(hours(24)));
        let sunday = saturday + hours(24);
        assert_eq!(sunday, at("2026-02-01T00:00:00Z"));
        assert_eq!(spending.check(budget(10, 25), 10, sunday), Ok(()));
        assert_eq!(spending.sums(sunday).1, Usd::from_pico(0));
    }

    #[test]
    fn what_is_reserved_is_waited_for_and_not_the_whole_day() {
        let (mut spending, now) = (Spending::default(), at("2026-01-15T12:00:00Z"));
        spending.reserve(6);
        assert_eq!(spending.check(budget(10, 100), 5, now), Err(RESERVED_WAIT));
        assert_eq!(spending.check(budget(10, 100), 4, now), Ok(()));
        spending.release(6);
        assert_eq!(spending.check(budget(10, 100), 5, now), Ok(()));
    }

    #[test]
    fn a_budget_that_is_used_up_to_the_last_pico_admits_nothing() {
        let (mut spending, now) = (Spending::default(), at("2026-01-15T12:00:00Z"));
        spending.pay(9, now);
        assert_eq!(spending.check(budget(10, 100), 1, now), Ok(()));
        assert_eq!(spending.check(budget(10, 100), 2, now), Err(hours(12)));
        spending.pay(1, now);
        assert_eq!(spending.check(budget(10, 100), 0, now), Err(hours(12)));
    }

    #[test]
    fn a_reservation_counts_over_midnight() {
        let (mut spending, late) = (Spending::default(), at("2026-01-15T23:59:59Z"));
        spending.reserve(6);
        let early = late + Duration::from_secs(2);
        assert!(spending.check(budget(10, 100), 5, early).is_err());
        spending.release(6);
        spending.pay(6, early);
        assert_eq!(spending.sums(early).0, Usd::from_pico(6));
    }

    #[test]
    fn a_clock_that_is_set_back_gives_no_money_back() {
        let (mut spending, now) = (Spending::default(), at("2026-01-15T00:00:01Z"));
        spending.pay(10, now);
        // A correction, then a whole year.
        for wall in [at("2026-01-14T23:59:59Z"), now, at("2025-01-15T00:00:01Z")] {
            assert!(spending.check(budget(10, 100), 0, wall).is_err(), "{wall}");
        }
        // Yet the day ends when it ends by the clock there is.
        assert_eq!(spending.check(budget(10, 100), 0, at("2025-01-16T00:00:00Z")), Ok(()));
    }

    #[test]
    fn earlier_runs_count_in_any_order() {
        let rows = [
            ("2025-12-31T23:00:00Z", 100),
            ("2026-01-01T00:00:00Z", 1),
            ("2026-01-15T00:00:00Z", 2),
            ("2026-01-15T11:00:00Z", 4),
            ("2026-01-14T23:00:00Z", 8),
        ];
        let now = at("2026-01-15T12:00:00Z");
        for turn in 0..rows.len() {
            let mut spending = Spending::default();
            for (hour, cost) in rows.iter().cycle().skip(turn).take(rows.len()) {
                spending.pay_past(*cost, at(hour));
            }
            let sums = (Usd::from_pico(6), Usd::from_pico(15), Usd::default());
            assert_eq!(spending.sums(now), sums, "{turn}");
        }
    }

    #[test]
    fn a_period_holds_the_instant_it_was_asked_for() {
        for (text, first, next) in [
            ("2026-01-15T12:00:00Z", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
            ("2028-02-29T23:59:59Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            ("2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("1969-12-31T23:59:59Z", "1969-12-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(Period::Month.around(at(text)), (at(first), at(next)), "{text}");
        }
        let day = Period::Day.around(at("1969-12-31T23:59:59Z"));
        assert_eq!(day, (at("1969-12-31T00:00:00Z"), at("1970-01-01T00:00:00Z")));
    }

    proptest! {
        #[test]
        fn no_clock_does_harm(walls in proptest::collection::vec(any::<i64>(), 1..20)) {
            let mut spending = Spending::default();
            for wall in walls.into_iter().chain([i64::MIN, 0, i64::MAX]) {
                let wall = Timestamp::from_millis(wall);
                spending.pay_past(1, wall);
                spending.pay(u128::MAX, wall);
                prop_assert!(spending.check(budget(1, 1), u128::MAX, wall).is_err());
            }
        }
    }
}
