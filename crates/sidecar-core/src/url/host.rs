//! Where a host lies: in the open, behind the fence, or where nobody may go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::UrlError;

/// Where a host lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HostClass {
    /// On the internet, or a name that says nothing about where it leads.
    Public,
    /// In a private network, or in a range that is kept for something else.
    Private,
    /// This machine.
    Loopback,
    /// Addresses that only the own network segment has.
    LinkLocal,
    /// A service that hands out a machine's credentials.
    Metadata,
}

impl HostClass {
    /// Whether it is [`HostClass::Public`].
    pub const fn is_public(self) -> bool {
        matches!(self, Self::Public)
    }
}

/// Where `ip` lies. An IPv6 address that stands for an IPv4 address (mapped, NAT64, 6to4) lies
/// where that one does.
pub fn classify_ip(ip: IpAddr) -> HostClass {
    match ip {
        IpAddr::V4(ip) => classify_v4(ip),
        IpAddr::V6(ip) => classify_v6(ip),
    }
}

/// The canonical text of `host` (an address in brackets if it is IPv6) and where it lies.
pub(super) fn parse(host: &str) -> Result<(String, HostClass), UrlError> {
    let (text, class) = if let Some(inner) = host.strip_prefix('[') {
        let ip: Option<Ipv6Addr> = inner.strip_suffix(']').and_then(|ip| ip.parse().ok());
        let ip = ip.ok_or(UrlError::Host)?;
        (format!("[{ip}]"), classify_usable(ip.into())?)
    } else {
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let class = match name.parse::<Ipv4Addr>() {
            Ok(ip) => classify_usable(ip.into())?,
            Err(_) => classify_name(&name)?,
        };
        (name, class)
    };
    if matches!(class, HostClass::LinkLocal | HostClass::Metadata) {
        return Err(UrlError::Forbidden);
    }
    Ok((text, class))
}

fn classify_usable(ip: IpAddr) -> Result<HostClass, UrlError> {
    let seen = ip.to_canonical();
    let is_broadcast = matches!(seen, IpAddr::V4(ip) if ip.is_broadcast());
    if seen.is_unspecified() || seen.is_multicast() || is_broadcast {
        return Err(UrlError::Unusable);
    }
    Ok(classify_ip(ip))
}

fn classify_name(name: &str) -> Result<HostClass, UrlError> {
    if name.is_empty() {
        return Err(UrlError::NoHost);
    }
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(UrlError::Host);
    }
    if may_be_an_address(name) {
        return Err(UrlError::NumericHost);
    }
    Ok(if name == "localhost" || name.ends_with(".localhost") {
        HostClass::Loopback
    } else if METADATA_NAMES.contains(&name) {
        HostClass::Metadata
    } else {
        HostClass::Public
    })
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        // Underscores are not for host names, but container networks use them.
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether a resolver may take `name` for an IPv4 address: they accept decimal, octal and
/// hexadecimal numbers, and fewer than four of them.
fn may_be_an_address(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let is_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    last.bytes().all(|byte| byte.is_ascii_digit()) || last.strip_prefix("0x").is_some_and(is_hex)
}

fn classify_v4(ip: Ipv4Addr) -> HostClass {
    if METADATA_V4.contains(&ip) {
        return HostClass::Metadata;
    }
    match ip.octets() {
        [127, ..] => HostClass::Loopback,
        [169, 254, ..] => HostClass::LinkLocal,
        // This network, private use, shared address space.
        [0 | 10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => {
            HostClass::Private
        }
        // Protocol assignments, documentation, old 6to4 relays, benchmarks.
        [192, 0, 0 | 2, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..] => HostClass::Private,
        // Multicast, reserved, broadcast.
        [224..=255, ..] => HostClass::Private,
        _ => HostClass::Public,
    }
}

fn classify_v6(ip: Ipv6Addr) -> HostClass {
    if METADATA_V6.contains(&ip) {
        return HostClass::Metadata;
    }
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        classify_v4(Ipv4Addr::new(a, b, c, d))
    };
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => HostClass::Loopback,
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            embedded(high, low)
        }
        [0x2002, high, low, ..] => embedded(high, low),
        [0xfe80..=0xfebf, ..] => HostClass::LinkLocal,
        // Protocol assignments (Teredo among them) and documentation.
        [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => HostClass::Private,
        // The one range that is handed out; all else is private, reserved or multicast.
        [0x2000..=0x3fff, ..] => HostClass::Public,
        _ => HostClass::Private,
    }
}

const METADATA_NAMES: &[&str] = &[
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
];

const METADATA_V4: &[Ipv4Addr] = &[
    // Nearly everybody.
    Ipv4Addr::new(169, 254, 169, 254),
    // Alibaba Cloud.
    Ipv4Addr::new(100, 100, 100, 200),
    // Oracle Cloud's older one.
    Ipv4Addr::new(192, 0, 0, 192),
    // Azure's host, which hands out a machine's certificates.
    Ipv4Addr::new(168, 63, 129, 16),
];

const METADATA_V6: &[Ipv6Addr] = &[
    // Amazon.
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    // Google.
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lie_where_the_registries_say() {
        for (ip, class) in [
            ("1.1.1.1", HostClass::Public),
            ("172.15.0.1", HostClass::Public),
            ("172.32.0.1", HostClass::Public),
            ("100.128.0.1", HostClass::Public),
            ("2606:4700::1111", HostClass::Public),
            ("2001:4860::8888", HostClass::Public),
            ("64:ff9b::1.1.1.1", HostClass::Public),
            ("10.0.0.1", HostClass::Private),
            ("172.16.0.1", HostClass::Private),
            ("172.31.255.255", HostClass::Private),
            ("192.168.1.1", HostClass::Private),
            ("100.64.0.1", HostClass::Private),
            ("0.0.0.0", HostClass::Private),
            ("0.1.2.3", HostClass::Private),
            ("192.0.2.1", HostClass::Private),
            ("198.18.0.1", HostClass::Private),
            ("203.0.113.9", HostClass::Private),
            ("224.0.0.1", HostClass::Private),
            ("240.0.0.1", HostClass::Private),
            ("255.255.255.255", HostClass::Private),
            ("::", HostClass::Private),
            ("::7f00:1", HostClass::Private),
            ("fc00::1", HostClass::Private),
            ("fec0::1", HostClass::Private),
            ("ff02::1", HostClass::Private),
            ("2001::1", HostClass::Private),
            ("2001:db8::1", HostClass::Private),
            ("3fff::1", HostClass::Private),
            ("100::1", HostClass::Private),
            ("::ffff:10.0.0.1", HostClass::Private),
            ("2002:a00:1::", HostClass::Private),
            ("127.0.0.1", HostClass::Loopback),
            ("127.255.0.1", HostClass::Loopback),
            ("::1", HostClass::Loopback),
            ("::ffff:127.0.0.1", HostClass::Loopback),
            ("64:ff9b::7f00:1", HostClass::Loopback),
            ("169.254.0.1", HostClass::LinkLocal),
            ("fe80::1", HostClass::LinkLocal),
            ("febf::1", HostClass::LinkLocal),
            ("::ffff:169.254.1.1", HostClass::LinkLocal),
            ("169.254.169.254", HostClass::Metadata),
            ("::ffff:169.254.169.254", HostClass::Metadata),
            ("2002:a9fe:a9fe::", HostClass::Metadata),
            ("100.100.100.200", HostClass::Metadata),
            ("fd00:ec2::254", HostClass::Metadata),
        ] {
            assert_eq!(classify_ip(ip.parse().unwrap()), class, "{ip}");
        }
    }

    #[test]
    fn names_lie_in_the_open_unless_they_say_otherwise() {
        for (name, class) in [
            ("api.example.com", HostClass::Public),
            ("notlocalhost", HostClass::Public),
            ("localhost", HostClass::Loopback),
            ("LocalHost.", HostClass::Loopback),
            ("a.localhost", HostClass::Loopback),
        ] {
            assert_eq!(parse(name).unwrap().1, class, "{name}");
        }
    }
}
