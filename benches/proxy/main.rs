//! What the gateway costs: a whole request over loopback, through the full server and through two
//! bare hyper proxies, in the same run. (Allocations are counted by `tests/allocations`.)
//!
//! Every program is a process of its own, so that its CPU time is its own: this one, which makes
//! the load, a provider, and in turn
//!
//! - `streaming`: a reverse proxy that passes bodies on as they come,
//! - `floor`: what any gateway has to do: check a bearer key, collect the body, read `model` and
//!   `stream`, choose a provider round robin,
//! - `sidecar`: the server with everything on: caller key, limits, cooldowns, usage, info logs.
//!
//! The three take turns, round after round, so that whatever else the machine does hits all of
//! them; the middle round counts. At the end come fresh ones, to see what memory they take with
//! many callers. `cargo bench --bench proxy` prints the tables;
//! `cargo bench --bench proxy -- --quick` is short and rough.

mod bare;
mod child;
mod load;
mod memory;
mod provider;
mod report;

use std::error::Error;

use self::child::{Child, Role};
use self::load::Shape;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == child::ROLE_FLAG) {
        return child::be(arguments.get(at + 1).map_or("", String::as_str), &arguments[at + 2..]);
    }
    // Under `cargo test` there is nothing to measure.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(quick))
}

async fn measure(quick: bool) -> Result<(), Failure> {
    let provider = Child::start(Role::Provider, &[])?;
    let to = provider.address().to_string();
    let gateways = [
        Child::start(Role::Streaming, &[&to])?,
        Child::start(Role::Floor, &[&to])?,
        Child::start(Role::Sidecar, &[&to])?,
    ];
    let (rounds, requests) = if quick { (3, 1_000) } else { (9, 6_000) };
    report::machine();
    for shape in Shape::ALL {
        let requests = requests / shape.weight();
        let mut table = report::Table::new(shape);
        for _ in 0..rounds {
            for gateway in &gateways {
                table.add(gateway.role(), load::closed(gateway, shape, requests).await?);
            }
        }
        table.print();
    }
    let mut table = report::Latency::default();
    for _ in 0..rounds {
        for gateway in &gateways {
            table.add(gateway.role(), load::open(gateway, if quick { 500 } else { 3_000 }).await?);
        }
    }
    table.print("2 KB, a thousand requests a second");
    let mut table = report::Latency::default();
    for _ in 0..rounds {
        for gateway in &gateways {
            table.add(gateway.role(), load::chunks(gateway, STREAMS).await?);
        }
    }
    table.print("an event of a stream, a hundred streams of a hundred events a second");
    let callers = memory::affordable(if quick { 200 } else { 1_000 });
    let mut rows = Vec::new();
    for gateway in &gateways {
        let role = gateway.role();
        let idle = memory::idle(role, &to, callers).await?;
        rows.push((role, idle, memory::live(role, &to, callers).await?));
    }
    report::memory(callers, &rows);
    Ok(())
}

const STREAMS: usize = 100;
