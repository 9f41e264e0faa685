//! Takes keys and addresses out of a provider's words.

/// `text` with `[key]` for what looks like an API key or an account, and `[url]` for addresses.
pub(super) fn redact(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    // How many words after one like "key" a long token is taken for the key.
    let mut suspicion = 0_u8;
    while let Some(start) = rest.find(is_token) {
        shown.push_str(&rest[..start]);
        rest = &rest[start..];
        let token = &rest[..token_length(rest)];
        if rest[token.len()..].starts_with("://") {
            shown.push_str("[url]");
            rest = &rest[url_length(rest)..];
            continue;
        }
        rest = &rest[token.len()..];
        let is_secret = is_key(token) || (suspicion > 0 && is_long(token));
        shown.push_str(if is_secret { "[key]" } else { token });
        suspicion = if is_key_word(token) { SUSPICION } else { suspicion.saturating_sub(1) };
    }
    shown.push_str(rest);
    shown
}

const fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '*')
}

/// The length of the token at the front. A JSON web token has dots inside.
fn token_length(text: &str) -> usize {
    let is_web_token = text.starts_with("eyJ");
    let is_part = |c: char| is_token(c) || (is_web_token && c == '.');
    text.find(|c: char| !is_part(c)).unwrap_or(text.len())
}

/// The length of the address at the front, without the punctuation that ends its sentence.
fn url_length(text: &str) -> usize {
    let is_end = |c: char| c.is_whitespace() || "\"'`<>()[]{}|\\".contains(c);
    let end = text.find(is_end).unwrap_or(text.len());
    text[..end].trim_end_matches(['.', ',', ';', ':', '!', '?']).len()
}

fn is_key(token: &str) -> bool {
    let is_over = |prefix: &&str, least: usize| {
        let head = token.get(..prefix.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(prefix))
            && token.len() >= prefix.len() + least
    };
    let has_digit = token.bytes().any(|byte| byte.is_ascii_digit());
    KEY_PREFIXES.iter().any(|prefix| is_over(prefix, 6))
        || (has_digit && ACCOUNT_PREFIXES.iter().any(|prefix| is_over(prefix, 10)))
        // Already masked, but not by us.
        || token.contains("***")
}

fn is_long(token: &str) -> bool {
    token.len() >= 20 && token.bytes().any(|byte| byte.is_ascii_digit())
}

fn is_key_word(token: &str) -> bool {
    KEY_WORDS.iter().any(|word| token.eq_ignore_ascii_case(word))
}

const KEY_PREFIXES: [&str; 7] = ["sk-", "sk_", "nvapi-", "AIza", "gsk_", "eyJ", "pplx-"];
/// Of keys and accounts whose prefixes are words, too.
const ACCOUNT_PREFIXES: [&str; 14] = [
    "xai-", "csk-", "tgp_", "hf_", "fw_", "rk-", "ghp_", "akia", "ya29", "org-", "org_", "proj_",
    "acct_", "user-",
];
const KEY_WORDS: [&str; 12] = [
    "key",
    "apikey",
    "api_key",
    "api-key",
    "x-api-key",
    "x-goog-api-key",
    "token",
    "bearer",
    "secret",
    "authorization",
    "credential",
    "password",
];
const SUSPICION: u8 = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_hidden() {
        for (text, shown) in [
            (
                "Incorrect API key provided: sk-proj-abcDEF123456. You can",
                "Incorrect API key provided: [key]. You can",
            ),
            (
                "Incorrect API key provided: sk-abc**********wxyz.",
                "Incorrect API key provided: [key].",
            ),
            ("key='nvapi-abcdefghijkl'", "key='[key]'"),
            ("bad AIzaSyA-1234567890_abc!", "bad [key]!"),
            ("Bearer abcdefghij0123456789", "Bearer [key]"),
            ("Authorization: Bearer eyJhbGciOi.eyJzdWIi.c2lnbmF0", "Authorization: Bearer [key]"),
            ("in organization `org_01jabcdefghij` on", "in organization `[key]` on"),
            ("Your api key: ****abcd is invalid", "Your api key: [key] is invalid"),
            ("SK-ABCDEFGH", "[key]"),
        ] {
            assert_eq!(redact(text), shown);
        }
    }

    #[test]
    fn addresses_are_hidden() {
        for (text, shown) in [
            ("see https://user:pw@host.internal:8443/v1?key=1.", "see [url]."),
            ("(http://10.0.0.1/x), then", "([url]), then"),
            ("ws://a b", "[url] b"),
            ("HTTPS://EXAMPLE.COM", "[url]"),
        ] {
            assert_eq!(redact(text), shown);
        }
    }

    #[test]
    fn names_and_numbers_stay() {
        for text in [
            "",
            "The model `claude-3-5-sonnet-20241022-v2` does not exist",
            "deepseek-ai/DeepSeek-V3.1 takes max_completion_tokens up to 163840",
            "import sk-learn, at 12:30 - or not",
            "\u{4f59}\u{989d}\u{4e0d}\u{8db3}: \u{1f600}",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    proptest! {
        #[test]
        fn a_key_is_hidden_wherever_it_stands(
            before in "[ -~]{0,40}",
            key in "[a-zA-Z0-9]{24}",
            after in "[ -~]{0,40}",
        ) {
            let text = format!("{before} sk-{key} {after}");
            prop_assert!(!redact(&text).contains(&key));
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            redact(&text);
        }
    }
}
