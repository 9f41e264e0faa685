//! Many operators at once, and changes while requests are served.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::support::{
    ADMIN_TOKEN, Answer, Home, Server, Upstream, all_ready, alone, body_of, chat, json_body,
    provider, request, try_send, with, within,
};

/// One who works on the admin API, over one connection.
struct Operator {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Operator {
    async fn connect(addr: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(addr)).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, host: addr.to_string() }
    }

    /// One call with one header more; `null` is no body.
    async fn ask(
        &mut self,
        method: &str,
        path: &str,
        (name, value): (&str, &str),
        body: Value,
    ) -> Answer {
        let asked = request(method, &format!("/api/admin{path}"))
            .header("host", &self.host)
            .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
            .header(name, value);
        let body = if body.is_null() { Full::default() } else { json_body(&body) };
        self.sender.ready().await.unwrap();
        let sent = self.sender.send_request(asked.body(body).unwrap());
        let (head, mut incoming) = within("an answer", sent).await.unwrap().into_parts();
        let (body, cut) = body_of(&mut incoming).await;
        Answer { status: head.status.as_u16(), headers: head.headers, body, cut }
    }

    async fn get(&mut self, path: &str) -> Answer {
        let answer = self.ask("GET", path, PLAIN, Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.whole());
        answer
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_increment_of_a_hundred_operators_is_lost() {
    let _alone = alone().await;
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let mut server = home.start().await;
    server
        .add(with(provider("one", &upstream.base_url()), json!({"metadata": {"count": 0}})))
        .await;
    let mut operators = JoinSet::new();
    for _ in 0..OPERATORS {
        operators.spawn(increment(server.addr()));
    }
    let tries = within("all increments", operators.join_all()).await;
    // Otherwise this shows nothing.
    assert!(tries.iter().sum::<usize>() > OPERATORS, "nobody was in another's way");
    let before = Operator::connect(server.addr()).await.get(ONE).await;
    assert_eq!(before.json()["metadata"], json!({"count": OPERATORS}));
    server.process().kill();

    let server = home.start().await;
    let after = Operator::connect(server.addr()).await.get(ONE).await;
    assert_eq!(after.json()["metadata"], json!({"count": OPERATORS}));
    assert_eq!(after.header("etag"), before.header("etag"));
}

/// Reads, adds one and writes, again and again until nobody else has written in between; how often.
async fn increment(addr: SocketAddr) -> usize {
    let mut operator = Operator::connect(addr).await;
    let mut tries = 0;
    loop {
        tries += 1;
        let read = operator.get(ONE).await;
        let count = read.json()["metadata"]["count"].as_u64().unwrap();
        let change = json!({"metadata": {"count": count + 1}});
        let written = operator.ask("PUT", ONE, ("if-match", read.header("etag")), change).await;
        if written.status == 200 {
            return tries;
        }
        assert_eq!(written.status, 412, "{}", written.whole());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_changes_of_different_fields_are_all_there() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let mut server = home.start().await;
    let names: Vec<String> = (0..10).map(|number| format!("provider-{number}")).collect();
    for name in &names {
        server.add(provider(name, &upstream.base_url())).await;
    }
    let changes = changes();
    let mut operators = JoinSet::new();
    for (name, (field, value)) in
        names.iter().flat_map(|name| changes.iter().map(move |c| (name, c)))
    {
        let (addr, path) = (server.addr(), format!("/backends/{name}"));
        let change = json!({field.as_str(): value});
        operators.spawn(async move {
            let answer = Operator::connect(addr).await.ask("PUT", &path, PLAIN, change).await;
            assert_eq!(answer.status, 200, "{}", answer.whole());
        });
    }
    assert_eq!(operators.len(), OPERATORS);
    within("all changes", operators.join_all()).await;
    assert_all_there(&server, &names, &changes).await;
    server.process().kill();
    assert_all_there(&home.start().await, &names, &changes).await;
}

/// Ten fields of a provider, each with another value than it has at first.
fn changes() -> Vec<(String, Value)> {
    let changes = json!({
        "label": "changed",
        "timeout_seconds": 61,
        "first_token_timeout_seconds": 62,
        "idle_timeout_seconds": 63,
        "rpm_limit": 64,
        "limit_shape": "smooth",
        "burst": 5,
        "account": "shared",
        "pool": "fallback",
        "metadata": {"changed": true},
    });
    changes.as_object().unwrap().clone().into_iter().collect()
}

async fn assert_all_there(server: &Server, names: &[String], changes: &[(String, Value)]) {
    let providers = server.providers().await;
    assert_eq!(providers.len(), names.len());
    for provider in providers {
        for (field, value) in changes {
            assert_eq!(&provider[field], value, "{field} of {}", provider["name"]);
        }
    }
}

/// A change gives a provider another name, another native model and another pool at once, so that
/// every answer tells which of the changes its request has seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_explained_by_one_revision_while_a_thousand_changes_are_made() {
    let _alone = alone().await;
    let (home, upstreams) = (Home::new(), [Upstream::start().await, Upstream::start().await]);
    let server = home.start().await;
    let mut ids = Vec::new();
    for (side, upstream) in SIDES.iter().zip(&upstreams) {
        let config = with(provider(side, &upstream.base_url()), config(side, 0));
        let added = server.add(with(config, json!({"rpm_limit": 1_000_000}))).await;
        ids.push(added["id"].as_str().unwrap().to_owned());
    }
    all_ready(&server).await;
    let addr = server.addr();
    let before = revision(&Operator::connect(addr).await.get("/pools").await);

    let changing = tokio::spawn(change_all(addr, ids));
    let (mut asking, mut ticks) = (JoinSet::new(), interval(TICK));
    while !changing.is_finished() {
        ticks.tick().await;
        asking.spawn(async move {
            let asked = request("POST", "/v1/chat/completions");
            try_send(addr, asked.body(json_body(&chat("llama"))).unwrap()).await.unwrap()
        });
    }
    changing.await.unwrap();
    let answers = within("all answers", asking.join_all()).await;

    // What was refused has made no revision of its own, in whole or in part.
    let after = revision(&Operator::connect(addr).await.get("/pools").await);
    assert_eq!(after, before + CHANGES);
    let (mut revisions, mut sides) = (BTreeSet::new(), BTreeSet::new());
    for answer in &answers {
        assert_eq!((answer.status, answer.cut), (200, false), "{}", answer.whole());
        let number = revision(answer) - before;
        let name = answer.header("x-sidecar-provider");
        let side = usize::from(name.starts_with(SIDES[1]));
        // The last change of its side that this revision has.
        let last = number.saturating_sub((number + side as u64) % 2);
        assert_eq!(name, name_of(SIDES[side], last), "{number}: {}", answer.whole());
        assert_eq!(answer.json()["model"], native_of(name), "{number}: {}", answer.whole());
        assert_eq!(answer.header("x-sidecar-attempts"), "1", "{}", answer.whole());
        revisions.insert(number);
        sides.insert(side);
    }
    // Otherwise this shows nothing.
    let (answers, revisions) = (answers.len(), revisions.len());
    assert!(answers >= 500 && revisions >= 100, "{answers} answers of {revisions} revisions");
    assert_eq!(sides.len(), SIDES.len());
}

/// Makes all changes, one after the other: those with an even number to the first of `ids`, the
/// others to the second. Now and then one comes in between that must be refused.
async fn change_all(addr: SocketAddr, ids: Vec<String>) {
    let (mut operator, mut ticks) = (Operator::connect(addr).await, interval(TICK));
    for number in 1..=CHANGES {
        ticks.tick().await;
        let side = usize::from(number % 2 == 1);
        let path = format!("/backends/{}", ids[side]);
        if number % 10 == 0 {
            let wrong = with(config("never", number), json!({"rpm_limit": 0}));
            let answer = operator.ask("PUT", &path, PLAIN, wrong).await;
            assert_eq!((answer.status, &answer.json()["field"]), (400, &json!("rpm_limit")));
        }
        let answer = operator.ask("PUT", &path, PLAIN, config(SIDES[side], number)).await;
        assert_eq!(answer.status, 200, "{}", answer.whole());
    }
}

fn config(side: &str, number: u64) -> Value {
    let name = name_of(side, number);
    json!({
        "name": name,
        "pool": if (number / 2).is_multiple_of(2) { "primary" } else { "fallback" },
        "model_mappings": {"llama": {"native_id": native_of(&name)}},
    })
}

fn name_of(side: &str, number: u64) -> String {
    format!("{side}-{number}")
}

fn native_of(name: &str) -> String {
    format!("llama-of-{name}")
}

fn revision(answer: &Answer) -> u64 {
    answer.header("x-sidecar-rev").parse().unwrap()
}

#[tokio::test]
async fn a_change_can_depend_on_what_was_read() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    let added = server.admin("POST", "/backends", provider("one", &upstream.base_url())).await;
    assert_eq!(added.status, 201, "{}", added.whole());
    let caller = server.admin("POST", "/callers", json!({"name": "agents"})).await;
    assert_eq!(caller.status, 201, "{}", caller.whole());
    for (path, added, change) in [
        (ONE, Some(added), json!({"label": "changed"})),
        ("/callers/agents", Some(caller), json!({"label": "changed"})),
        ("/config/rate_rpm", None, json!({"value": 33})),
    ] {
        let mut operator = Operator::connect(server.addr()).await;
        let read = operator.get(path).await.header("etag").to_owned();
        assert!(read.len() == 18 && read.starts_with('"') && read.ends_with('"'), "{path} {read}");
        if let Some(added) = added {
            assert_eq!(added.header("etag"), read, "{path}");
        }
        let known = operator.ask("GET", path, ("if-none-match", &read), Value::Null).await;
        assert_eq!((known.status, known.body.len()), (304, 0), "{}", known.whole());
        assert_eq!(known.header("etag"), read);

        let weak = format!("W/{read}");
        for (tag, status) in [(FOREIGN, 412), (weak.as_str(), 412), ("changed", 400)] {
            let answer = operator.ask("PUT", path, ("if-match", tag), change.clone()).await;
            assert_eq!(answer.status, status, "{path} {tag}: {}", answer.whole());
            assert_eq!(answer.json()["field"], Value::Null);
        }
        let either = format!("{FOREIGN}, {read}");
        let changed = operator.ask("PUT", path, ("if-match", &either), change.clone()).await;
        assert_eq!(changed.status, 200, "{}", changed.whole());
        let tag = changed.header("etag").to_owned();
        assert_ne!(tag, read, "{path}");
        let shown = operator.ask("GET", path, ("if-none-match", &read), Value::Null).await;
        assert_eq!((shown.status, shown.header("etag")), (200, tag.as_str()), "{path}");

        for method in ["PUT", "DELETE"] {
            let body = if method == "PUT" { change.clone() } else { Value::Null };
            let late = operator.ask(method, path, ("if-match", &read), body).await;
            let detail = late.json()["detail"].as_str().unwrap().to_owned();
            assert_eq!(late.status, 412, "{}", late.whole());
            assert!(detail.ends_with("was changed meanwhile; read it again and send its new ETag"));
        }
        let changed = operator.ask("PUT", path, ("if-match", "*"), change).await;
        assert_eq!(changed.status, 200, "{}", changed.whole());
        let tag = changed.header("etag").to_owned();
        let removed = operator.ask("DELETE", path, ("if-match", &tag), Value::Null).await;
        assert!(matches!(removed.status, 200 | 204), "{path}: {}", removed.whole());
    }
}

#[tokio::test]
async fn a_list_in_pages_has_everything_that_was_there_all_the_time() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    let mut operator = Operator::connect(server.addr()).await;
    for name in ["d", "a b/\u{fc}", "c", "b"] {
        // A key is no more than ASCII.
        let key = json!({"api_key": "sk-0123456789abcdef"});
        server.add(with(provider(name, &upstream.base_url()), key)).await;
        let caller = server.admin("POST", "/callers", json!({"name": name})).await;
        assert_eq!(caller.status, 201, "{}", caller.whole());
    }
    let whole = operator.get("/callers").await.json();
    assert!(whole.get("next").is_none(), "{whole}");
    let (names, next) = page(&operator.get("/providers?limit=2").await, "backends", "name");
    assert_eq!(names, ["a b/\u{fc}", "b"]);
    for name in ["a", "bb"] {
        server.add(provider(name, &upstream.base_url())).await;
    }
    assert_eq!(server.admin("DELETE", "/backends/b", Value::Null).await.status, 204);
    let path = format!("/backends?limit=2&after={}", next.unwrap());
    let (names, next) = page(&operator.get(&path).await, "backends", "name");
    assert_eq!(names, ["bb", "c"]);
    let path = format!("/backends?limit=2&after={}", next.unwrap());
    assert_eq!(page(&operator.get(&path).await, "backends", "name"), (vec!["d".to_owned()], None));

    for (path, list, name) in [("/callers", "callers", "name"), ("/config", "settings", "key")] {
        let (mut all, _) = page(&operator.get(path).await, list, name);
        all.sort();
        let (mut paged, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("{path}?limit=3&after={after}");
            let (names, next) = page(&operator.get(&path).await, list, name);
            assert!(names.len() <= 3, "{names:?}");
            paged.extend(names);
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(paged, all, "{path}");
    }
    for (path, field) in [
        ("/backends?limit=0", "limit"),
        ("/callers?limit=1001", "limit"),
        ("/config?after=!", "after"),
        ("/backends?offset=2", "offset"),
    ] {
        let answer = operator.ask("GET", path, PLAIN, Value::Null).await;
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!(field)), "{path}");
    }
}

/// The names in a list, and where the next page begins.
fn page(answer: &Answer, list: &str, name: &str) -> (Vec<String>, Option<String>) {
    let json = answer.json();
    let rows = json[list].as_array().unwrap();
    let names = rows.iter().map(|row| row[name].as_str().unwrap().to_owned()).collect();
    (names, json["next"].as_str().map(str::to_owned))
}

const OPERATORS: usize = 100;
const CHANGES: u64 = 1_000;
/// 200 a second.
const TICK: Duration = Duration::from_millis(5);
const SIDES: [&str; 2] = ["left", "right"];
const ONE: &str = "/backends/one";
/// No header of any meaning.
const PLAIN: (&str, &str) = ("x-plain", "1");
/// A tag that nothing has.
const FOREIGN: &str = "\"0000000000000000\"";
