//! What every request passes: each part alone, then the whole of the library without a socket.
//!
//! A part that cannot be called from outside is measured through the layer that it is in. Then its
//! group has a baseline, too: the same without that part. The difference is what the part takes.

mod cell;
mod choice;
mod ingest;
mod ledger;
mod limiter;
mod request;
mod scan;
mod splice;
mod support;
mod verdict;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    benches,
    choice::choice,
    cell::cell,
    limiter::limiter,
    ingest::ingest,
    splice::splice,
    scan::scan,
    verdict::verdict,
    ledger::ledger,
    request::request
);
criterion_main!(benches);
