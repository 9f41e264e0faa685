//! Under which names the operator's side may be asked for.
//!
//! The page of an attacker can have its own name lead to this server, and then a browser takes the
//! server for a part of that page. It still says the name, in `Host`: what is no name of ours is
//! refused. An address cannot be made to lead elsewhere, a name can.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use http::HeaderMap;
use http::header::HOST;

/// The names and addresses under which the admin API and the dashboard answer.
///
/// ```
/// use sidecar_server::hosts::Hosts;
///
/// let hosts: Hosts = "sidecar.example, box:9190".parse()?;
/// assert!(hosts.admits("localhost:9190") && hosts.admits("sidecar.example"));
/// assert!(!hosts.admits("evil.example"));
/// # Ok::<(), sidecar_server::hosts::InvalidHosts>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    listening: Option<IpAddr>,
    allowed: Vec<Allowed>,
    any: bool,
}

/// A list of hosts is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a list of at most 64 host names or addresses, each with or without a port")]
pub struct InvalidHosts;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Allowed {
    host: Host,
    /// Any if there is none.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    /// In lower case.
    Name(String),
}

impl Hosts {
    /// Admits also the address that is listened on; if that is all addresses of the machine, any
    /// address.
    #[must_use]
    pub fn listening_on(mut self, ip: IpAddr) -> Self {
        self.listening = Some(ip.to_canonical());
        self
    }

    /// Whether `host`, with or without a port, is loopback, the address that is listened on, or
    /// one of the list.
    pub fn admits(&self, host: &str) -> bool {
        if self.any {
            return true;
        }
        let Some((host, port)) = parse(host) else { return false };
        let is_ours = match &host {
            Host::Ip(ip) => {
                let is_listened_on = |own: IpAddr| own == *ip || own.is_unspecified();
                ip.is_loopback() || self.listening.is_some_and(is_listened_on)
            }
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        };
        let fits = |allowed: &Allowed| {
            allowed.host == host && allowed.port.is_none_or(|wanted| port == Some(wanted))
        };
        is_ours || self.allowed.iter().any(fits)
    }

    /// The same for the `Host` of a request.
    pub(crate) fn admits_request(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        host.is_some_and(|host| self.admits(host))
    }
}

impl FromStr for Hosts {
    type Err = InvalidHosts;

    /// Reads hosts with commas between; `*` is any host.
    fn from_str(text: &str) -> Result<Self, InvalidHosts> {
        let mut hosts = Self::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            if item == "*" {
                hosts.any = true;
                continue;
            }
            let (host, port) = parse(item).ok_or(InvalidHosts)?;
            hosts.allowed.push(Allowed { host, port });
        }
        if hosts.allowed.len() > MOST { Err(InvalidHosts) } else { Ok(hosts) }
    }
}

/// A host and its port, if it has one.
fn parse(text: &str) -> Option<(Host, Option<u16>)> {
    let end = match text.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(end);
    let port = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        None if port.is_empty() => None,
        _ => return None,
    };
    Some((parse_host(host)?, port))
}

fn parse_host(text: &str) -> Option<Host> {
    if let Some(inner) = text.strip_prefix('[') {
        let ip: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(Host::Ip(IpAddr::from(ip).to_canonical()));
    }
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Some(Host::Ip(ip.into()));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_name = (1..=253).contains(&name.len()) && name.bytes().all(is_part);
    is_name.then(|| Host::Name(name.to_ascii_lowercase()))
}

const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(allowed: &str, listening: &str) -> Hosts {
        let hosts: Hosts = allowed.parse().unwrap();
        hosts.listening_on(listening.parse().unwrap())
    }

    #[test]
    fn loopback_is_always_ours_and_nothing_else_is_by_itself() {
        let own = hosts("", "127.0.0.1");
        for host in [
            "localhost",
            "LOCALHOST.:9190",
            "dev.localhost:1",
            "127.0.0.1",
            "127.0.0.1:9190",
            "127.9.9.9:80",
            "[::1]",
            "[::1]:9190",
            "[::ffff:127.0.0.1]:9190",
        ] {
            assert!(own.admits(host), "{host}");
        }
        for host in [
            "",
            ":9190",
            "evil.example",
            "evil.example:9190",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil-localhost",
            "0.0.0.0:9190",
            "192.168.1.2",
            "10.0.0.1:9190",
            "[::]:9190",
            "[fe80::1]",
            // What is not plain.
            "localhost:",
            "localhost:+1",
            "localhost:99999",
            "localhost:1:1",
            "localhost/",
            "a@localhost",
            "127.1:x",
            "[::1",
            "[::1]x",
            "::1",
            "[127.0.0.1]",
            "local host",
        ] {
            assert!(!own.admits(host), "{host}");
        }
    }

    #[test]
    fn the_address_listened_on_is_ours() {
        let own = hosts("", "192.168.1.2");
        assert!(own.admits("192.168.1.2:9190") && own.admits("127.0.0.1"));
        assert!(!own.admits("192.168.1.3:9190") && !own.admits("box:9190"));
        let own = hosts("", "::ffff:192.168.1.2");
        assert!(own.admits("192.168.1.2") && own.admits("[::ffff:192.168.1.2]:1"));
    }

    #[test]
    fn a_server_on_all_addresses_answers_under_every_address_and_no_name() {
        for all in ["0.0.0.0", "::"] {
            let own = hosts("", all);
            assert!(own.admits("192.168.1.2:9190") && own.admits("[2001:db8::1]"), "{all}");
            assert!(!own.admits("box") && !own.admits("evil.example:9190"), "{all}");
        }
    }

    #[test]
    fn the_list_adds_names_with_or_without_a_port() {
        let own = hosts(" Sidecar.example , box:9190,[2001:db8::1]:1,10.0.0.1,", "127.0.0.1");
        for host in [
            "sidecar.example",
            "SIDECAR.EXAMPLE:443",
            "sidecar.example.",
            "box:9190",
            "[2001:db8:0::1]:1",
            "10.0.0.1:7",
        ] {
            assert!(own.admits(host), "{host}");
        }
        for host in ["box", "box:9191", "[2001:db8::1]", "www.sidecar.example", "10.0.0.2"] {
            assert!(!own.admits(host), "{host}");
        }
    }

    #[test]
    fn a_star_switches_the_check_off() {
        assert!(hosts("*", "127.0.0.1").admits("evil.example"));
        assert!(hosts("a, *", "127.0.0.1").admits(""));
        assert!(!hosts("", "127.0.0.1").admits("*"));
    }

    #[test]
    fn a_list_that_is_none_is_refused() {
        for text in ["http://a", "a/b", "a b", "a:x", "*.example", "[::1", "a,b:99999", "\u{fc}"] {
            assert_eq!(text.parse::<Hosts>().unwrap_err(), InvalidHosts, "{text}");
        }
        assert!("a,".repeat(64).parse::<Hosts>().is_ok());
        assert!("a,".repeat(65).parse::<Hosts>().is_err());
    }
}
