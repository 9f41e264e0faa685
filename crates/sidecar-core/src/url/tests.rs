use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<BaseUrl, UrlError> {
    BaseUrl::parse(text)
}

#[test]
fn a_url_is_written_in_one_way() {
    for (text, canonical) in [
        ("https://api.example.com/v1", "https://api.example.com/v1"),
        ("HTTPS://API.Example.COM:443/v1/", "https://api.example.com/v1"),
        ("http://api.example.com:80", "http://api.example.com"),
        ("http://api.example.com:443/", "http://api.example.com:443"),
        ("https://api.example.com./V1", "https://api.example.com/V1"),
        ("http://127.0.0.1.:8000", "http://127.0.0.1:8000"),
        ("http://[0:0::1]:8000/v1", "http://[::1]:8000/v1"),
        ("https://h/client/v4/accounts/a1/@cf:x", "https://h/client/v4/accounts/a1/@cf:x"),
        ("https://xn--mgba3a4f16a.example/%E4%BD%A0", "https://xn--mgba3a4f16a.example/%E4%BD%A0"),
        ("http://vllm_1:8000/v1", "http://vllm_1:8000/v1"),
    ] {
        assert_eq!(parse(text).unwrap().as_str(), canonical, "{text}");
    }
}

#[test]
fn the_parts_are_those_of_the_text() {
    let url = parse("https://Api.Example.com:8443/api/v3/").unwrap();
    assert_eq!(url.scheme(), "https");
    assert_eq!(url.authority(), "api.example.com:8443");
    assert_eq!(url.origin(), "https://api.example.com:8443");
    assert_eq!(url.path(), "/api/v3");
    assert_eq!(url.host_class(), HostClass::Public);
    assert_eq!(parse("http://h").unwrap().path(), "");
}

#[test]
fn bad_urls_are_refused_for_the_right_reason() {
    for (text, error) in [
        ("", UrlError::Scheme),
        ("api.example.com/v1", UrlError::Scheme),
        ("ftp://h", UrlError::Scheme),
        ("file:///etc/passwd", UrlError::Scheme),
        ("https:/h", UrlError::Scheme),
        (" https://h", UrlError::Characters),
        ("https://h\n", UrlError::Characters),
        ("https://h\0", UrlError::Characters),
        ("https://b\u{fc}cher.example", UrlError::Characters),
        ("https://user@h", UrlError::UserInfo),
        ("https://user:pass@h/v1", UrlError::UserInfo),
        ("https://good.example@evil.example", UrlError::UserInfo),
        ("https://h/v1?key=x", UrlError::QueryOrFragment),
        ("https://h?", UrlError::QueryOrFragment),
        ("https://h/#x", UrlError::QueryOrFragment),
        ("https://", UrlError::NoHost),
        ("https:///v1", UrlError::NoHost),
        ("https://:443", UrlError::NoHost),
        ("https://.", UrlError::NoHost),
        ("https://a..b", UrlError::Host),
        ("https://h..", UrlError::Host),
        ("https://-h", UrlError::Host),
        ("https://a%2eb", UrlError::Host),
        ("https://[::1", UrlError::Host),
        ("https://[fe80::1%25eth0]", UrlError::Host),
        ("https://[127.0.0.1]", UrlError::Host),
        ("https://::1", UrlError::Port),
        ("https://fc00::1", UrlError::Port),
        ("https://h:", UrlError::Port),
        ("https://h:0", UrlError::Port),
        ("https://h:080", UrlError::Port),
        ("https://h:+80", UrlError::Port),
        ("https://h:65536", UrlError::Port),
        ("https://h:80:80", UrlError::Port),
        ("https://[::1]x", UrlError::Port),
        ("https://h/a/../b", UrlError::Path),
        ("https://h/..", UrlError::Path),
        ("https://h/a//b", UrlError::Path),
        ("https://h//", UrlError::Path),
        ("https://h/a%2fb", UrlError::Path),
        ("https://h/%2E%2e/b", UrlError::Path),
        ("https://h/a%5Cb", UrlError::Path),
        ("https://h/a\\b", UrlError::Path),
        ("https://h\\@evil.example", UrlError::Path),
        ("https://h/%", UrlError::Path),
        ("https://h/%0a", UrlError::Path),
        ("https://h/\"x\"", UrlError::Path),
        ("http://0.0.0.0:1", UrlError::Unusable),
        ("http://[::]", UrlError::Unusable),
        ("http://[::ffff:0.0.0.0]", UrlError::Unusable),
        ("http://224.0.0.1", UrlError::Unusable),
        ("http://[ff02::1]", UrlError::Unusable),
        ("http://255.255.255.255", UrlError::Unusable),
    ] {
        assert_eq!(parse(text), Err(error), "{text}");
    }
    assert_eq!(parse(&format!("https://h/{}", "a".repeat(MAX_LEN))), Err(UrlError::TooLong));
}

#[test]
fn odd_forms_of_an_address_are_refused() {
    for host in [
        "2130706433",
        "0177.0.0.1",
        "127.0.0.01",
        "127.1",
        "127.0.1",
        "0x7f000001",
        "0x7F.0.0.1",
        "127.0.0.0x1",
        "0x",
        "127.0.0.1.1",
        "256.0.0.1",
        "1.2.3.4.example.5",
    ] {
        assert_eq!(parse(&format!("http://{host}/")), Err(UrlError::NumericHost), "{host}");
        assert_eq!(parse(&format!("http://{host}./")), Err(UrlError::NumericHost), "{host}.");
    }
}

#[test]
fn link_local_and_metadata_hosts_are_always_refused() {
    for host in [
        "169.254.169.254",
        "169.254.0.1",
        "100.100.100.200",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "metadata.google.internal",
        "Metadata.Google.Internal.",
        "metadata",
        "instance-data",
    ] {
        assert_eq!(parse(&format!("http://{host}:80/v1")), Err(UrlError::Forbidden), "{host}");
    }
}

#[test]
fn an_error_says_nothing_of_the_url() {
    for text in ["ftp://needle", "https://needle@h", "https://h/needle?needle", "https://needle:x"]
    {
        let error = parse(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("needle"), "{text}");
    }
}

#[test]
fn a_url_survives_json_and_a_bad_one_is_refused_there() {
    let url = parse("https://api.example.com/v1").unwrap();
    let json = serde_json::to_string(&url).unwrap();
    assert_eq!(json, "\"https://api.example.com/v1\"");
    assert_eq!(serde_json::from_str::<BaseUrl>(&json).unwrap(), url);
    assert!(serde_json::from_str::<BaseUrl>("\"https://u@h\"").is_err());
}

#[test]
fn a_plain_path_has_nothing_to_interpret() {
    for path in ["/v1", "/v1/a.b/c:d", "/v1/..a", "/v1/a..", "/a%20b", "/v1/@x,y;z=1"] {
        assert!(is_plain_path(path), "{path}");
    }
    for path in [
        "", "v1", "/", "/v1/", "//v1", "/./a", "/a/..", "/..;x/a", "/.;", "/a b", "/a\u{e9}",
        "/a%2", "/a%zz", "/a%252e", "/a%00", "/a%7F", "/a?b", "/a#b", "/a[b]",
    ] {
        assert!(!is_plain_path(path), "{path}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = parse(&text);
        let _ = parse(&format!("https://{text}"));
    }

    #[test]
    fn a_parsed_url_parses_to_itself(
        text in "https?://[a-zA-Z0-9._\\[\\]:-]{0,24}(:[0-9]{1,5})?(/[a-zA-Z0-9.%;@-]{0,6}){0,3}"
    ) {
        if let Ok(url) = parse(&text) {
            prop_assert_eq!(parse(&url.to_string()), Ok(url));
        }
    }

    #[test]
    fn an_address_parses_to_its_own_class(bytes in any::<[u8; 16]>(), four in any::<[u8; 4]>()) {
        for ip in [std::net::IpAddr::from(bytes), std::net::IpAddr::from(four)] {
            let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
            if let Ok(url) = parse(&format!("http://{host}")) {
                prop_assert_eq!(url.host_class(), classify_ip(ip));
                prop_assert_eq!(parse(url.as_str()), Ok(url));
            }
        }
    }
}
