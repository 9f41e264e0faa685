//! What an earlier run has left of the live state.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::cooldown::SavedRest;
use crate::rate_limit::WindowRecord;

/// What an earlier run has left, by the text of its key. Each is taken once, when the cell or the
/// limit it belongs to is made.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    pub(crate) cells: HashMap<String, (SavedRest, Duration)>,
    pub(crate) windows: HashMap<String, (WindowRecord, Duration)>,
}

/// A cell as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredCell {
    until: Timestamp,
    rest: SavedRest,
}

/// A window as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredWindow {
    at: Timestamp,
    window: WindowRecord,
}

impl Restored {
    /// Reads a stored cell at `now`. No clock that has jumped makes a rest longer than it was.
    pub(crate) fn add_cell(&mut self, key: &str, bytes: &[u8], now: Timestamp) {
        if let Some(StoredCell { until, rest }) = from_bytes(bytes) {
            let remaining = until.saturating_since(now).min(rest.length);
            self.cells.insert(key.to_owned(), (rest, remaining));
        }
    }

    /// Reads a stored window at `now`.
    pub(crate) fn add_window(&mut self, key: &str, bytes: &[u8], now: Timestamp) {
        if let Some(StoredWindow { at, window }) = from_bytes(bytes) {
            self.windows.insert(key.to_owned(), (window, now.saturating_since(at)));
        }
    }
}

/// `rest` as it is stored at `now`: a version, then JSON.
pub(crate) fn cell_to_bytes(rest: SavedRest, now: Timestamp) -> Vec<u8> {
    to_bytes(&StoredCell { until: now + rest.remaining, rest })
}

/// `window` as it is stored, taken at `at`.
pub(crate) fn window_to_bytes(window: WindowRecord, at: Timestamp) -> Vec<u8> {
    to_bytes(&StoredWindow { at, window })
}

fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, value).expect("plain data has a JSON form");
    bytes
}

fn from_bytes<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<T> {
    match bytes.split_first() {
        Some((&VERSION, json)) => serde_json::from_slice(json).ok(),
        _ => None,
    }
}

const VERSION: u8 = 1;
