//! A scripted vendor: it hides its limits, has its moods, and keeps its own books.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use sidecar_core::clock::{Clock, Instant, Timestamp};
use sidecar_core::error::BoxError;
use tokio::time::sleep;

use super::books::{Books, Fate, Seen};
use super::caller::Prompt;
use super::refused::refused;
use super::rng::Rng;
use super::{mins, ms};

/// What a vendor is like.
#[derive(Clone, Debug)]
pub(super) struct Nature {
    pub(super) name: &'static str,
    limit: Option<(usize, Per)>,
    day: Option<Day>,
    hint: Hint,
    mood: Mood,
    /// How long a good answer takes.
    thinks: Range<Duration>,
    /// How long a request is on its way.
    way: Range<Duration>,
}

/// Whose requests one hidden limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Per {
    Key,
    /// All keys are of one account.
    Account,
}

/// A limit over a day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Day {
    pub(super) cap: usize,
    /// The hour of the day, in UTC, at which the next one starts.
    pub(super) starts_at: i64,
    /// How the vendor says that it is spent.
    pub(super) words: &'static str,
}

/// The `Retry-After` of a 429.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hint {
    None,
    /// As long as it takes.
    Honest,
    /// So many seconds, whatever it takes.
    Says(u64),
}

/// How a vendor is just now.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mood {
    Well,
    /// Fails with 500 with this probability.
    Flaky(f64),
    /// Answers everything with this status.
    Answers(u16),
    /// Refuses connections.
    Refuses,
    /// Cuts connections.
    Cuts,
    /// Never answers.
    Hangs,
    /// Is well for the first time, and refuses connections for the second, over and over.
    Flaps(Duration, Duration),
}

/// A vendor at work.
#[derive(Debug)]
pub(super) struct Vendor {
    nature: Nature,
    clock: Clock,
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    books: Books,
    /// What arrived in the last minute, by whose limit it counts for.
    minutes: BTreeMap<String, VecDeque<Duration>>,
    /// What was served on which day.
    days: BTreeMap<String, (i64, usize)>,
    rng: Rng,
}

/// A request as the vendor reads it.
struct Asked {
    key: String,
    caller: String,
    prompt: Prompt,
}

/// What the vendor will do with it.
#[derive(Debug)]
struct Reply {
    fate: Fate,
    after: Duration,
    retry_after: Option<Duration>,
}

impl Nature {
    /// A good vendor without limits, 5 to 20 ms away.
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            limit: None,
            day: None,
            hint: Hint::None,
            mood: Mood::Well,
            thinks: ms(200)..ms(800),
            way: ms(5)..ms(20),
        }
    }

    /// At most `rpm` in any 60 seconds. Refused requests count, too.
    pub(super) fn limited(self, rpm: usize, per: Per) -> Self {
        Self { limit: Some((rpm, per)), ..self }
    }

    pub(super) fn day(self, day: Day) -> Self {
        Self { day: Some(day), ..self }
    }

    pub(super) fn hint(self, hint: Hint) -> Self {
        Self { hint, ..self }
    }

    pub(super) fn mood(self, mood: Mood) -> Self {
        Self { mood, ..self }
    }

    pub(super) fn thinks(self, thinks: Range<Duration>) -> Self {
        Self { thinks, ..self }
    }

    pub(super) fn way(self, way: Range<Duration>) -> Self {
        Self { way, ..self }
    }
}

impl Vendor {
    pub(super) fn new(nature: Nature, clock: Clock, rng: &Rng) -> Self {
        let state = State {
            mood: nature.mood,
            books: Books::default(),
            minutes: BTreeMap::new(),
            days: BTreeMap::new(),
            rng: rng.fork(nature.name),
        };
        let start = clock.now();
        Self { nature, clock, start, state: Mutex::new(state) }
    }

    /// From now on it is in this mood.
    pub(super) fn turn(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// A copy of its books as they are now.
    pub(super) fn books(&self) -> Books {
        self.state().books.clone()
    }

    pub(super) fn tries(&self) -> usize {
        self.state().books.tries()
    }

    pub(super) fn count(&self, fate: Fate) -> usize {
        self.state().books.count(fate)
    }

    /// Answers, or does what else its mood says.
    pub(super) async fn serve(
        self: Arc<Self>,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, BoxError> {
        let asked = Asked::read(request).await;
        let prompt = asked.prompt;
        // What is on its way arrives, even if its caller has left meanwhile.
        let Reply { fate, after, retry_after } =
            tokio::spawn(self.clone().receive(asked)).await.unwrap();
        sleep(after).await;
        match fate {
            Fate::Served => Ok(answer(200, None, GOOD.into())),
            Fate::Limited => Ok(answer(429, retry_after, error("Too many requests"))),
            Fate::DaySpent => {
                let words = self.nature.day.map_or("", |day| day.words);
                Ok(answer(429, retry_after, error(words)))
            }
            Fate::Broken(status) => Ok(answer(status, None, error("oops"))),
            Fate::Faulted if prompt == Prompt::TooLong => Ok(answer(400, None, TOO_LONG.into())),
            Fate::Faulted => Ok(answer(400, None, NONSENSE.into())),
            Fate::Reset => Err("connection reset by peer".into()),
            Fate::Hung => pending().await,
            Fate::Unreached => Err(refused().await),
        }
    }

    async fn receive(self: Arc<Self>, asked: Asked) -> Reply {
        let way = self.state().rng.within(&self.nature.way);
        sleep(way).await;
        let (now, wall) = (self.clock.now() - self.start, self.clock.wall());
        let mut state = self.state();
        let fate = state.fate(&self.nature, &asked, now, wall);
        let Asked { key, caller, .. } = asked;
        let retry_after = match (fate, self.nature.hint) {
            (Fate::Limited | Fate::DaySpent, Hint::Says(seconds)) => {
                Some(Duration::from_secs(seconds))
            }
            (Fate::Limited, Hint::Honest) => state.until_free(&self.nature, &key, now),
            (Fate::DaySpent, Hint::Honest) => self.nature.day.map(|day| day.left(wall)),
            _ => None,
        };
        let thinks = if fate == Fate::Served { &self.nature.thinks } else { &AT_ONCE };
        let after = state.rng.within(thinks);
        state.books.write(Seen { at: now, key, caller, fate });
        Reply { fate, after, retry_after }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn fate(&mut self, nature: &Nature, asked: &Asked, now: Duration, wall: Timestamp) -> Fate {
        let mut flakiness = 0.0;
        match self.mood {
            Mood::Refuses => return Fate::Unreached,
            Mood::Flaps(up, down) if now.as_nanos() % (up + down).as_nanos() >= up.as_nanos() => {
                return Fate::Unreached;
            }
            Mood::Cuts => return Fate::Reset,
            Mood::Hangs => return Fate::Hung,
            Mood::Answers(429) => return Fate::Limited,
            Mood::Answers(status) => return Fate::Broken(status),
            Mood::Flaky(p) => flakiness = p,
            Mood::Well | Mood::Flaps(..) => {}
        }
        if let Some(day) = nature.day
            && !self.fits_the_day(day, &asked.key, wall)
        {
            return Fate::DaySpent;
        }
        if let Some((rpm, per)) = nature.limit
            && self.count_minute(per.whose(&asked.key), now) > rpm
        {
            return Fate::Limited;
        }
        match asked.prompt {
            Prompt::Nonsense | Prompt::TooLong => Fate::Faulted,
            Prompt::Endless => Fate::Hung,
            Prompt::Plain if self.rng.chance(flakiness) => Fate::Broken(500),
            Prompt::Plain => Fate::Served,
        }
    }

    /// How many arrived in the last minute, with this one.
    fn count_minute(&mut self, whose: &str, now: Duration) -> usize {
        let minute = self.minutes.entry(whose.to_owned()).or_default();
        while minute.front().is_some_and(|at| now - *at >= mins(1)) {
            minute.pop_front();
        }
        minute.push_back(now);
        minute.len()
    }

    /// How long until one more would be served.
    fn until_free(&self, nature: &Nature, key: &str, now: Duration) -> Option<Duration> {
        let (rpm, per) = nature.limit?;
        let minute = self.minutes.get(per.whose(key))?;
        let leaves = minute.get(minute.len().checked_sub(rpm)?)?;
        Some((*leaves + mins(1)).saturating_sub(now))
    }

    /// Takes one of the day's requests, if one is left.
    fn fits_the_day(&mut self, day: Day, key: &str, wall: Timestamp) -> bool {
        let today = day.number(wall);
        let (of, used) = self.days.entry(key.to_owned()).or_default();
        if *of != today {
            (*of, *used) = (today, 0);
        }
        let fits = *used < day.cap;
        *used += usize::from(fits);
        fits
    }
}

impl Asked {
    async fn read(request: Request<Full<Bytes>>) -> Self {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let key = head.headers[AUTHORIZATION].to_str().unwrap();
        Self {
            key: key.to_owned(),
            caller: body["user"].as_str().unwrap().to_owned(),
            prompt: Prompt::of(body["messages"][0]["content"].as_str().unwrap()),
        }
    }
}

impl Per {
    fn whose(self, key: &str) -> &str {
        match self {
            Self::Key => key,
            Self::Account => "",
        }
    }
}

impl Day {
    fn number(self, wall: Timestamp) -> i64 {
        self.since_start(wall).div_euclid(DAY_MILLIS)
    }

    fn left(self, wall: Timestamp) -> Duration {
        let passed = self.since_start(wall).rem_euclid(DAY_MILLIS);
        Duration::from_millis((DAY_MILLIS - passed).unsigned_abs())
    }

    fn since_start(self, wall: Timestamp) -> i64 {
        wall.as_millis() - self.starts_at * HOUR_MILLIS
    }
}

fn answer(status: u16, retry_after: Option<Duration>, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    if let Some(wait) = retry_after {
        // In whole seconds, and not too early.
        answer = answer.header(RETRY_AFTER, (wait + ms(999)).as_secs());
    }
    answer.body(Full::from(body)).unwrap()
}

fn error(message: &str) -> String {
    json!({"error": {"message": message}}).to_string()
}

/// How long anything but a good answer takes.
const AT_ONCE: Range<Duration> = ms(1)..ms(10);
const HOUR_MILLIS: i64 = 3_600_000;
const DAY_MILLIS: i64 = 24 * HOUR_MILLIS;
const GOOD: &str = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":1,"total_tokens":8}}"#;
const NONSENSE: &str = r#"{"error":{"message":"temperature is too high","type":"invalid_request_error","param":"temperature","code":"invalid_value"}}"#;
const TOO_LONG: &str = r#"{"error":{"message":"This model's maximum context length is 8192 tokens","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#;
