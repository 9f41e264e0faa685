//! A provider that keeps books of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::answers::{self, Then};
use super::asked::{Asked, CHAT, CLAUDE, EMBED, Fate, Kind, names};
use super::sums::{Price, Sums};
use crate::support::{provider, with};

/// A provider on a socket of its own. It does with each request what is its fate, and writes down
/// what has to be on the books of it.
pub(super) struct Provider {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What a provider is entered as.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) name: &'static str,
    pub(super) api: &'static str,
    pub(super) pool: &'static str,
    pub(super) stream_usage: &'static str,
    pub(super) prices: Prices,
}

/// How prices are entered, and what the first model costs: pico-USD for a token of the prompt.
#[derive(Clone, Copy, Debug)]
pub(super) enum Prices {
    Unpriced,
    /// Without a price of their own for cached tokens.
    PerToken(u64),
    PerMtok(u64),
}

/// What a provider has written down.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    /// By model and caller.
    pub(super) rows: BTreeMap<(String, String), Sums>,
    /// Requests that were read, but are no attempts.
    pub(super) resent: u64,
}

/// How often each request has come, to whichever provider.
pub(super) type Reads = Arc<[AtomicU32]>;

struct Shared {
    offer: &'static Offer,
    reads: Reads,
    books: Mutex<Books>,
}

impl Provider {
    pub(super) async fn start(offer: &'static Offer, reads: Reads) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { offer, reads, books: Mutex::default() });
        let for_connections = shared.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, for_connections.clone()));
            }
        });
        Self { addr, shared, accepting }
    }

    pub(super) fn offer(&self) -> &'static Offer {
        self.shared.offer
    }

    /// What it is entered as.
    pub(super) fn entry(&self) -> Value {
        let offer = self.offer();
        let entry = json!({
            "api": offer.api,
            "pool": offer.pool,
            "rpm_limit": 1_000_000,
            "model_mappings": offer.mappings(),
        });
        with(provider(offer.name, &format!("http://{}/v1", self.addr)), entry)
    }

    pub(super) fn books(&self) -> Books {
        self.shared.books.lock().unwrap().clone()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Offer {
    fn mappings(&self) -> Map<String, Value> {
        let models: Vec<(String, u64)> = match self.api {
            "anthropic-messages" => names(CLAUDE).collect(),
            _ => names(CHAT).chain(names(EMBED)).collect(),
        };
        let mapping = |(name, index): (String, u64)| {
            let native_id = format!("vendor/{name}");
            let mapping = json!({"native_id": native_id, "stream_usage": self.stream_usage});
            (name, with(mapping, self.cost(index)))
        };
        models.into_iter().map(mapping).collect()
    }

    /// The prices of a model, as they are entered.
    fn cost(&self, index: u64) -> Value {
        let Some(price) = self.price(index) else { return json!({}) };
        let (field, unit) = match self.prices {
            Prices::PerMtok(_) => ("cost_per_mtok", 1e6),
            _ => ("cost", 1e12),
        };
        let usd = |pico: u64| pico as f64 / unit;
        let mut cost = json!({"input": usd(price.input), "output": usd(price.output)});
        if let Some((read, write)) = price.cache {
            cost = with(cost, json!({"cacheRead": usd(read), "cacheWrite": usd(write)}));
        }
        json!({field: cost})
    }

    fn price(&self, index: u64) -> Option<Price> {
        let (Prices::PerToken(first) | Prices::PerMtok(first)) = self.prices else { return None };
        let input = first + 1_037 * index;
        let has_cache = matches!(self.prices, Prices::PerMtok(_));
        let cache = has_cache.then_some((input / 10, input * 5 / 4));
        Some(Price { input, output: 4 * input + 11, cache })
    }

    /// What has to be on the books of an attempt.
    fn booked(&self, asked: &Asked, fails: bool, says_usage: bool) -> Sums {
        let price = self.price(asked.model_index());
        let attempt = Sums { requests: 1, unpriced: price.is_none().into(), ..Sums::default() };
        if fails {
            // With 429 a provider says that it has done nothing.
            let duplicates = (asked.fate != Fate::Limited).into();
            return Sums { errors: 1, duplicates, ..attempt };
        }
        if asked.fate == Fate::Fault {
            return attempt;
        }
        let is_told = says_usage && !matches!(asked.fate, Fate::CutEarly | Fate::Left);
        let tokens = if is_told { asked.tokens() } else { asked.estimate() };
        Sums {
            errors: asked.fate.cuts().into(),
            prompt: tokens.prompt,
            completion: tokens.completion,
            cached: tokens.cached,
            reasoning: tokens.reasoning,
            estimated: (!is_told).into(),
            cost: price.map_or(0, |price| price.of(&tokens)),
            ..attempt
        }
    }
}

impl Shared {
    /// What it does with a request. `is_kept` says that the connection has served before.
    fn answer(&self, request: &str, is_kept: bool) -> (String, Then) {
        let number = request.split_once("\"user\":\"").and_then(|(_, rest)| rest.split_once('"'));
        let number: u32 = number.expect("a number").0.parse().unwrap();
        let asked = Asked::of(number);
        let is_first = self.reads[number as usize].fetch_add(1, Ordering::Relaxed) == 0;
        let fails = asked.fate.fails_over() && is_first;
        let says_usage = match asked.kind {
            // Where it was not asked by the caller it may have been asked by the server.
            Kind::Stream | Kind::StreamAsked => request.contains("\"include_usage\":true"),
            _ => asked.fate != Fate::Silent,
        };
        let mut books = self.books.lock().unwrap();
        if fails && is_kept && asked.fate == Fate::Closed {
            // A kept connection that ends without a word had been given up: nobody has worked for
            // the request, and it is sent again within the same attempt.
            books.resent += 1;
        } else {
            let row = books.rows.entry((asked.model(), asked.caller())).or_default();
            *row += self.offer.booked(&asked, fails, says_usage);
        }
        drop(books);
        answers::answer(&asked, fails, says_usage)
    }
}

/// Serves one connection until one side has had enough of it.
async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    let mut is_kept = false;
    while let Some(request) = read_request(&mut stream, &mut buffer).await {
        let (answer, then) = shared.answer(&request, is_kept);
        // In one piece, so that all of it is read before anything of it is passed on.
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        match then {
            Then::Keep => is_kept = true,
            Then::Close => return,
            Then::Hold => {
                let _ = stream.read(&mut [0; 1]).await;
                return;
            }
        }
    }
}

/// The next request, head and body.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    let end = loop {
        match end_of_request(buffer) {
            Some(end) => break end,
            None if matches!(stream.read_buf(buffer).await, Ok(1..)) => {}
            None => return None,
        }
    };
    String::from_utf8(buffer.drain(..end).collect()).ok()
}

/// Where the request at the beginning of `bytes` ends, if it is whole.
fn end_of_request(bytes: &[u8]) -> Option<usize> {
    let (head, _) = std::str::from_utf8(bytes).ok()?.split_once("\r\n\r\n")?;
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, length) = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    let end = head.len() + 4 + length.trim().parse::<usize>().ok()?;
    (bytes.len() >= end).then_some(end)
}
