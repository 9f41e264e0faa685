//! The Sidecar proxy: an HTTP server that assembles [`sidecar_core`].
//!
//! [`app::Edge`] is what answers requests, with a service for each runtime, which [`listen`]
//! serves; [`app::edge`] is the same for one runtime. [`routes::ROUTES`] is the one list of what it
//! answers, and to whom. The binary reads a [`config::Config`] and calls [`run::run`], which opens
//! what it names and puts all of this together.

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
