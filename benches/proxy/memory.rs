//! Memory: what a gateway has resident with many callers who ask for next to nothing.

use std::time::Duration;

use http_body_util::BodyExt as _;
use tokio::task::JoinSet;

use crate::child::{Child, Role};
use crate::load::{self, Shape};
use crate::{Failure, provider};

/// What a gateway has resident, in KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    pub(crate) at_start: u64,
    pub(crate) with_callers: u64,
}

/// As many of `wanted` callers as there are file descriptors for: a gateway takes two for each, one
/// to the caller and one to the provider.
pub(crate) fn affordable(wanted: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").ok();
    let files = limits.as_deref().and_then(soft_file_limit).unwrap_or(USUAL_FILES);
    wanted.min((files / 2).saturating_sub(OTHER_FILES))
}

/// With so many callers that have each made one request and keep their connections.
pub(crate) async fn idle(role: Role, to: &str, callers: usize) -> Result<Resident, Failure> {
    let gateway = Child::start(role, &[to])?;
    let at_start = gateway.resident()?;
    let body = Shape::Small.body();
    let mut senders = Vec::with_capacity(callers);
    for _ in 0..callers {
        let mut sender = load::connect(gateway.address()).await?;
        load::ask(&mut sender, &gateway, &body).await?;
        senders.push(sender);
    }
    tokio::time::sleep(SETTLING).await;
    let with_callers = gateway.resident()?;
    if senders.iter().any(|sender| sender.is_closed()) {
        return Err("a connection was not kept".into());
    }
    Ok(Resident { at_start, with_callers })
}

/// With so many callers that each read a stream of an event a second.
pub(crate) async fn live(role: Role, to: &str, streams: usize) -> Result<Resident, Failure> {
    let gateway = Child::start(role, &[to])?;
    let at_start = gateway.resident()?;
    let question = load::question(&format!("{},", provider::SLOW_PREFIX), 2 << 10);
    let mut reading = JoinSet::new();
    for _ in 0..streams {
        let mut sender = load::connect(gateway.address()).await?;
        let request = load::request(gateway.address(), gateway.key(), question.clone())?;
        let answer = sender.send_request(request).await?;
        if !answer.status().is_success() {
            return Err(format!("a stream was refused: {}", answer.status()).into());
        }
        let mut body = answer.into_body();
        reading.spawn(async move {
            while let Some(frame) = body.frame().await {
                frame?;
            }
            // Only now may the connection be closed.
            drop(sender);
            Ok::<_, Failure>(())
        });
    }
    tokio::time::sleep(SETTLING).await;
    let with_callers = gateway.resident()?;
    if reading.try_join_next().is_some() {
        return Err("a stream has ended too soon".into());
    }
    Ok(Resident { at_start, with_callers })
}

fn soft_file_limit(limits: &str) -> Option<usize> {
    let columns = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match columns.split_whitespace().next()? {
        "unlimited" => Some(usize::MAX),
        soft => soft.parse().ok(),
    }
}

/// What most systems allow.
const USUAL_FILES: usize = 1_024;
/// Beside the connections of callers and as many to providers.
const OTHER_FILES: usize = 64;
/// Every stream has some more events meanwhile.
const SETTLING: Duration = Duration::from_secs(3);
