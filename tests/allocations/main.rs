//! What is allocated, and what stays: by request, by chunk of a stream, by candidate, by booking.
//!
//! A binary of its own, because counting allocations takes the allocator of the process.

// `cfg(test)` tells the lints that the helpers are test code, too.
#[cfg(test)]
#[path = "../../benches/proxy/bare.rs"]
mod bare;
#[cfg(test)]
mod caller;
#[cfg(test)]
mod counting;
#[cfg(test)]
mod gateways;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod provider;
#[cfg(test)]
mod request;
#[cfg(test)]
mod skipped;
#[cfg(test)]
mod stream;

#[cfg(test)]
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;
