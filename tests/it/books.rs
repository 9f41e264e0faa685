//! Everything that was used is on the books once, also if it went wrong, and across restarts.

mod answers;
mod asked;
mod caller;
mod provider;
mod sums;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use sidecar_core::callers::Usd;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::asked::Asked;
use self::caller::{Address, Caller};
use self::provider::{Offer, Prices, Provider, Reads};
use self::sums::Sums;
use crate::support::{ADMIN_TOKEN, Answer, Home, Process, Server, alone, eventually, program};

/// Requests of every family, stream or not, whose fates are mixed: they are answered, refused,
/// failed over, cut or left. Half way the server is asked to end, under load, and started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_mixed_requests_are_booked_as_their_providers_have_done() {
    let _alone = alone().await;
    let home = Home::new();
    let mut server = home.start().await;
    let reads: Reads = (0..REQUESTS).map(|_| AtomicU32::new(0)).collect();
    let mut providers = Vec::new();
    for offer in &OFFERS {
        let provider = Provider::start(offer, reads.clone()).await;
        server.add(provider.entry()).await;
        providers.push(provider);
    }

    let (address, addresses) = watch::channel(Address { run: 0, addr: server.addr() });
    let (done, mut progress) = watch::channel(0);
    let mut load = JoinSet::new();
    for first in 0..CALLERS {
        let (mut caller, done) = (Caller::new(addresses.clone()), done.clone());
        load.spawn(async move {
            for number in (first..REQUESTS).step_by(CALLERS as usize) {
                caller.ask(&Asked::of(number)).await;
                done.send_modify(|done| *done += 1);
            }
            caller.unanswered
        });
    }
    let half = timeout(PATIENCE, progress.wait_for(|done| *done >= REQUESTS / 2)).await;
    assert!(half.is_ok_and(|half| half.is_ok()), "half of it in time");
    server = again(&home, server).await;
    address.send_replace(Address { run: 1, addr: server.addr() });
    let unanswered = timeout(PATIENCE, load.join_all()).await.expect("an end of the load");
    // At the end of a run a connection may be closed in the face of a request.
    assert!(unanswered.iter().all(|count| *count <= 1), "{unanswered:?}");

    let expected = Expected::of(&providers);
    let total = expected.total();
    // Each request that was read is an attempt, but for those that were sent again within one.
    let read: u64 = reads.iter().map(|count| u64::from(count.load(Ordering::Relaxed))).sum();
    assert_eq!(read, total.requests + expected.resent);
    // Who leaves is noticed a little later.
    eventually("all attempts on the books", async || {
        let booked = stats(&server, "total").await.number("total_requests");
        (booked >= total.requests).then_some(())
    })
    .await;
    expected.compare(&home, &server).await;
    server = again(&home, server).await;
    expected.compare(&home, &server).await;
    assert!(expected.covers_everything(), "{expected:?}");
}

/// The next run of a server, after an orderly end of this one.
async fn again(home: &Home, server: Server) -> Server {
    let exit = server.stop().await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    home.start().await
}

/// What has to be on the books.
#[derive(Debug)]
struct Expected {
    /// By provider, model and caller.
    rows: BTreeMap<[String; 3], Sums>,
    /// Requests that were read twice within one attempt.
    resent: u64,
}

impl Expected {
    fn of(providers: &[Provider]) -> Self {
        let mut expected = Self { rows: BTreeMap::new(), resent: 0 };
        for provider in providers {
            let books = provider.books();
            expected.resent += books.resent;
            let name = provider.offer().name;
            expected.rows.extend(
                books
                    .rows
                    .into_iter()
                    .map(|((model, caller), sums)| ([name.to_owned(), model, caller], sums)),
            );
        }
        expected
    }

    fn total(&self) -> Sums {
        sum(self.rows.values())
    }

    /// Otherwise this shows less than it seems to.
    fn covers_everything(&self) -> bool {
        let total = self.total();
        let used = |offer: &Offer| self.rows.keys().any(|[name, ..]| name == offer.name);
        OFFERS.iter().all(used)
            && self.resent > 0
            && [
                total.errors,
                total.cached,
                total.reasoning,
                total.estimated,
                total.unpriced,
                total.duplicates,
            ]
            .iter()
            .all(|count| *count > 20)
    }

    /// Everything that is said of the usage, in whichever sums.
    async fn compare(&self, home: &Home, server: &Server) {
        self.compare_total(&stats(server, "total").await);
        self.compare_total(&Row::of(&usage_by_command(home, server).await));
        self.compare_hourly(server).await;
        self.compare_daily(server).await;
    }

    fn compare_total(&self, row: &Row) {
        let booked = Sums {
            requests: row.number("total_requests"),
            errors: row.number("total_errors"),
            prompt: row.number("total_prompt_tokens"),
            completion: row.number("total_completion_tokens"),
            cached: row.number("total_cached_tokens"),
            reasoning: row.number("total_reasoning_tokens"),
            estimated: row.number("estimated_requests"),
            unpriced: row.number("unpriced_requests"),
            duplicates: row.number("possible_duplicates"),
            cost: row.pico_usd("total_cost"),
        };
        assert_eq!(booked, self.total());
        assert_eq!(row.number("total_tokens"), booked.tokens());
        assert_eq!((row.number("suspect_requests"), row.pico_usd("provider_cost")), (0, 0));
    }

    async fn compare_hourly(&self, server: &Server) {
        let names: BTreeMap<String, String> = server
            .providers()
            .await
            .iter()
            .map(|provider| {
                ["id", "name"].map(|field| provider[field].as_str().unwrap().to_owned())
            })
            .map(|[id, name]| (id, name))
            .collect();
        let mut booked: BTreeMap<[String; 3], Sums> = BTreeMap::new();
        // The load may have begun in an earlier hour.
        for row in stats(server, "hourly?hours=24").await.rows("hourly") {
            let key =
                [names[&row.text("backend_id")].clone(), row.text("model"), row.text("caller")];
            let sums = Sums {
                requests: row.number("request_count"),
                errors: row.number("error_count"),
                prompt: row.number("prompt_tokens"),
                completion: row.number("completion_tokens"),
                estimated: row.number("estimated_requests"),
                unpriced: row.number("unpriced_requests"),
                duplicates: row.number("possible_duplicates"),
                cost: row.pico_usd("cost"),
                // Not told by the hour.
                cached: 0,
                reasoning: 0,
            };
            assert_eq!(row.number("total_tokens"), sums.tokens());
            *booked.entry(key).or_default() += sums;
        }
        for (key, sums) in &self.rows {
            let expected = Sums { cached: 0, reasoning: 0, ..*sums };
            assert_eq!(booked.remove(key), Some(expected), "{key:?}");
        }
        assert!(booked.is_empty(), "nobody has done {booked:?}");
    }

    async fn compare_daily(&self, server: &Server) {
        let mut booked: BTreeMap<String, Day> = BTreeMap::new();
        for row in stats(server, "daily?days=2").await.rows("daily") {
            let day = booked.entry(row.text("pool")).or_default();
            day.requests += row.number("total_requests");
            day.errors += row.number("total_errors");
            day.tokens += row.number("total_tokens");
            day.estimated += row.number("estimated_requests");
            day.unpriced += row.number("unpriced_requests");
            day.cost += row.pico_usd("total_cost");
        }
        let expected = ["fallback", "primary"].map(|pool| {
            let is_in = |name: &str| OFFERS.iter().any(|o| o.name == name && o.pool == pool);
            let rows = self.rows.iter().filter(|([name, ..], _)| is_in(name));
            (pool.to_owned(), Day::of(&sum(rows.map(|(_, sums)| sums))))
        });
        assert_eq!(booked, BTreeMap::from(expected));
    }
}

/// What is told by the day.
#[derive(Debug, Default, PartialEq, Eq)]
struct Day {
    requests: u64,
    errors: u64,
    tokens: u64,
    estimated: u64,
    unpriced: u64,
    cost: u128,
}

impl Day {
    fn of(sums: &Sums) -> Self {
        let Sums { requests, errors, estimated, unpriced, cost, .. } = *sums;
        Self { requests, errors, tokens: sums.tokens(), estimated, unpriced, cost }
    }
}

fn sum<'a>(all: impl Iterator<Item = &'a Sums>) -> Sums {
    all.fold(Sums::default(), |mut total, sums| {
        total += *sums;
        total
    })
}

/// A JSON object whose numbers are left as they are written.
struct Row(Fields);

type Fields = BTreeMap<String, Box<RawValue>>;

impl Row {
    fn of(json: &str) -> Self {
        Self(serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in {json}")))
    }

    /// The rows under `name`.
    fn rows(&self, name: &str) -> Vec<Self> {
        let rows: Vec<Fields> = serde_json::from_str(self.raw(name)).unwrap();
        rows.into_iter().map(Self).collect()
    }

    fn number(&self, name: &str) -> u64 {
        self.raw(name).parse().unwrap_or_else(|error| panic!("{error} in {name}"))
    }

    /// An amount of USD, read without a detour by binary fractions.
    fn pico_usd(&self, name: &str) -> u128 {
        let raw = self.raw(name);
        Usd::parse(raw).unwrap_or_else(|| panic!("{name} is {raw}")).pico()
    }

    fn text(&self, name: &str) -> String {
        serde_json::from_str(self.raw(name)).unwrap_or_else(|error| panic!("{error} in {name}"))
    }

    fn raw(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.0)).get()
    }
}

/// One of the statistics.
async fn stats(server: &Server, what: &str) -> Row {
    let answer: Answer = server.admin("GET", &format!("/stats/{what}"), Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.whole());
    Row::of(&answer.text())
}

/// What the command line prints of the sum of everything.
async fn usage_by_command(home: &Home, server: &Server) -> String {
    let mut command = Command::new(program("sidecar-cli"));
    command
        .args(["usage", "total", "--json"])
        .current_dir(home.path())
        .env_clear()
        .env("SIDECAR_URL", server.url())
        .env("SIDECAR_ADMIN_TOKEN", ADMIN_TOKEN);
    let exit = Process::start(&mut command, "").wait().await;
    assert_eq!(exit.code, Some(0), "{}", exit.output());
    exit.stdout
}

/// Prices entered in both ways and none, usage that is asked for and not, and a fallback.
static OFFERS: [Offer; 5] = [
    Offer {
        name: "asks",
        api: "openai-completions",
        pool: "primary",
        stream_usage: "inject",
        prices: Prices::PerMtok(150_000),
    },
    Offer {
        name: "plain",
        api: "openai-completions",
        pool: "primary",
        stream_usage: "native",
        prices: Prices::PerToken(90_007),
    },
    Offer {
        name: "unpriced",
        api: "openai-completions",
        pool: "primary",
        stream_usage: "native",
        prices: Prices::Unpriced,
    },
    Offer {
        name: "claude",
        api: "anthropic-messages",
        pool: "primary",
        stream_usage: "native",
        prices: Prices::PerMtok(300_000),
    },
    Offer {
        name: "reserve",
        api: "anthropic-messages",
        pool: "fallback",
        stream_usage: "native",
        prices: Prices::PerToken(270_001),
    },
];
const REQUESTS: u32 = 10_000;
const CALLERS: u32 = 32;
/// Far beyond what half of the load takes.
const PATIENCE: Duration = Duration::from_secs(120);
