//! The whole of it from outside: the real server and command line as child processes, scripted
//! providers on real sockets.
//!
//! The programs must have been built, in the profile the tests run in: `cargo build --workspace`.

// `cfg(test)` tells the lints that the helpers are test code, too.
#[cfg(test)]
mod access;
#[cfg(test)]
mod admin_writes;
#[cfg(test)]
mod backup;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod books;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod dashboard;
#[cfg(test)]
mod edge;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod gone;
#[cfg(test)]
mod heart;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod needles;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod refused_start;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod support;
