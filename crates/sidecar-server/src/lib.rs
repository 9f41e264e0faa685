//! The Sidecar proxy: an HTTP server that assembles [`sidecar_core`].
//!
//! [`app::edge`] is the whole of the server in one function; [`routes::ROUTES`] is the one list of
//! what it answers, and to whom. The binary reads a [`config::Config`], opens what it names and
//! calls [`run::run`].

pub mod access;
mod admin;
pub mod app;
pub mod auth;
mod backup;
pub mod banner;
mod caller;
pub mod config;
mod dashboard;
mod guess;
mod handler;
pub mod hosts;
pub mod in_flight;
pub mod listen;
pub mod logs;
pub mod metrics;
mod models;
mod openapi;
mod prewarm;
mod respond;
pub mod routes;
pub mod run;
mod secrets;
mod session;
mod target;

pub use self::respond::EdgeBody;
