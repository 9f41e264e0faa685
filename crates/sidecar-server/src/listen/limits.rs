//! [`Limits`].

use std::time::Duration;

/// What a client may use, and for how long. Change single fields of the default:
///
/// ```
/// use std::time::Duration;
/// use sidecar_server::listen::Limits;
///
/// let limits = Limits { drain: Duration::from_secs(5), ..Limits::default() };
/// assert_eq!(limits.max_headers, 64);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many connections are open at most; further ones wait in the backlog. By default half
    /// the file descriptors the process may open (its soft limit at the time), and 4096 at most.
    /// The other half is for upstream connections, the store and the like. At least 1.
    pub connections: usize,
    /// How long a request head may take, in all: from the connection's start for the first one,
    /// from its first byte for later ones. 10 s by default.
    pub header_timeout: Duration,
    /// How long a connection may stay idle between two requests. 75 s by default.
    pub idle_timeout: Duration,
    /// How long the client may take to accept anything of what is there to be sent. 60 s by
    /// default.
    pub write_stall: Duration,
    /// How many headers a request may have; with more it is answered 431. 64 by default.
    pub max_headers: usize,
    /// How many bytes a request head may have, and the trailers of a chunked body; a longer head
    /// is answered 431. 32 KiB by default.
    pub max_header_size: usize,
    /// How many bytes are buffered of a request, and how many of a response, before its source is
    /// made to wait; one more frame of the response may come on top. 64 KiB by default, 8 KiB at
    /// least; a buffer smaller than [`Limits::max_header_size`] limits the head too.
    pub buffer: usize,
    /// How many bytes of a response the kernel is asked to buffer; Linux doubles this for its own
    /// use. Left alone it would take over 4 MB for each client that does not read. 64 KiB by
    /// default.
    pub send_buffer: usize,
    /// How long a client that was answered before its whole request was read is listened to, so
    /// that it comes to read the answer. 2 s by default.
    pub linger: Duration,
    /// How long running requests may go on after shutdown began. 30 s by default.
    pub drain: Duration,
}

impl Default for Limits {
    /// Reads the limit on file descriptors from the system.
    fn default() -> Self {
        Self {
            connections: (soft_file_limit() / 2).min(MAX_CONNECTIONS),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_stall: Duration::from_secs(60),
            max_headers: 64,
            max_header_size: 32 * 1024,
            buffer: 64 * 1024,
            send_buffer: 64 * 1024,
            linger: Duration::from_secs(2),
            drain: Duration::from_secs(30),
        }
    }
}

/// How many files the process may have open, or what most systems allow if that cannot be read.
fn soft_file_limit() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").ok();
    limits.and_then(|limits| parse_soft_file_limit(&limits)).unwrap_or(USUAL_FILE_LIMIT)
}

fn parse_soft_file_limit(limits: &str) -> Option<usize> {
    let columns = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match columns.split_whitespace().next()? {
        "unlimited" => Some(usize::MAX),
        soft => soft.parse().ok(),
    }
}

const MAX_CONNECTIONS: usize = 4096;

const USUAL_FILE_LIMIT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units
Max processes             7724                 7724                 processes
Max open files            1024                 524288               files
Max locked memory         8388608              8388608              bytes
";

    #[test]
    fn the_soft_limit_counts() {
        assert_eq!(parse_soft_file_limit(LIMITS), Some(1024));
    }

    #[test]
    fn no_limit_is_the_highest() {
        let limits = LIMITS.replace("1024  ", "unlimited");
        assert_eq!(parse_soft_file_limit(&limits), Some(usize::MAX));
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        assert_eq!(parse_soft_file_limit(""), None);
        assert_eq!(parse_soft_file_limit("Max open files"), None);
        assert_eq!(parse_soft_file_limit("Max open files            many"), None);
    }

    #[test]
    fn the_default_leaves_room_for_connections() {
        let connections = Limits::default().connections;
        assert!((1..=MAX_CONNECTIONS).contains(&connections), "{connections}");
    }
}
