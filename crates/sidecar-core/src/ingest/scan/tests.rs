//! What is read of a body, and what is refused.

use proptest::prelude::*;

use super::*;

fn model(body: &str) -> Result<Option<String>, ScanError> {
    let scan = scan(body.as_bytes())?.scan;
    if let Some(named) = &scan.model {
        let text: String = serde_json::from_str(&body[named.span.clone()]).unwrap();
        assert_eq!(text, named.name);
    }
    Ok(scan.model.map(|named| named.name.into_owned()))
}

fn found(name: &str) -> Result<Option<String>, ScanError> {
    Ok(Some(name.to_owned()))
}

#[test]
fn the_model_is_found_wherever_it_stands() {
    assert_eq!(model(r#"{"model":"a/b-1"}"#), found("a/b-1"));
    assert_eq!(model(r#"{"messages":[{"model":"no"}],"model" : "m" , "n":1}"#), found("m"));
    assert_eq!(model(" \r\n\t{\"\u{e9}\":\"\u{e9}\",\"model\":\"\u{e9}\"}\n"), found("\u{e9}"));
    assert_eq!(model(r#"{"mod\u0065l":"\u006d\"\\"}"#), found("m\"\\"));
    assert_eq!(model(r#"{"Model":"x","prompt":"\"model\":\"y\""}"#), Ok(None));
    assert_eq!(model("{}"), Ok(None));
}

#[test]
fn the_stream_flag_is_a_flag() {
    for (body, stream) in [
        (r#"{"stream":true}"#, Ok(true)),
        (r#"{"stream": false }"#, Ok(false)),
        (r#"{"stream":null}"#, Ok(false)),
        (r#"{"model":"m"}"#, Ok(false)),
        (r#"{"stream":"true"}"#, Err(ScanError::BadStream)),
        (r#"{"stream":1}"#, Err(ScanError::BadStream)),
        (r#"{"stream":{}}"#, Err(ScanError::BadStream)),
    ] {
        assert_eq!(scan(body.as_bytes()).map(|read| read.scan.stream), stream, "{body}");
    }
}

#[test]
fn usage_is_asked_for_by_a_flag_that_is_true() {
    for (value, asked) in [
        (r#"{"include_usage":true}"#, true),
        (r#"{ "x" : [1] , "include\u005fusage" : true }"#, true),
        (r#"{"include_usage":false}"#, false),
        (r#"{"include_usage":null}"#, false),
        (r#"{"include_usage":"true"}"#, false),
        (r#"{"x":{"include_usage":true}}"#, false),
        ("{}", false),
        ("null", false),
        ("[true]", false),
        ("\"include_usage\"", false),
    ] {
        let body = format!(" {{\"model\":\"a\",\"stream_options\" : {value} , \"n\":1}}\n ");
        let options = scan(body.as_bytes()).unwrap().options;
        assert_eq!(options.usage_asked, asked, "{body}");
        assert_eq!(&body[options.stream_options.unwrap()], value);
        assert_eq!(&body[options.body_end.unwrap()..], "}\n ");
    }
    let options = scan(br#"{"metadata":{"stream_options":{"include_usage":true}}}"#).unwrap();
    let nothing = Options { body_end: Some(53), ..Options::default() };
    assert_eq!(options.options, nothing);
}

#[test]
fn the_longest_answer_is_read_in_every_dialect() {
    for (members, tokens) in [
        (r#""max_tokens":8"#, Some(8)),
        (r#""max_completion_tokens": 4096 "#, Some(4_096)),
        (r#""max_output_tokens":1e3"#, Some(1_000)),
        (r#""max_tokens":16,"max_completion_tokens":32"#, Some(32)),
        (r#""generationConfig":{"temperature":0,"maxOutputTokens":64}"#, Some(64)),
        (r#""max_tokens":0"#, Some(0)),
        (r#""max_tokens":99999999999"#, Some(u32::MAX)),
        (r#""max_tokens":-1"#, None),
        (r#""max_tokens":null"#, None),
        (r#""max_tokens":"8""#, None),
        (r#""max_tokens":[8]"#, None),
        (r#""generationConfig":[64]"#, None),
        (r#""generationConfig":null"#, None),
        (r#""maxOutputTokens":64"#, None),
        (r#""metadata":{"max_tokens":8}"#, None),
    ] {
        let body = format!("{{\"model\":\"a\",{members}}}");
        let options = scan(body.as_bytes()).unwrap().options;
        assert_eq!(options.max_tokens, tokens, "{body}");
    }
}

#[test]
fn what_is_not_one_json_object_is_refused() {
    for (body, error) in [
        ("", ScanError::NotJson),
        ("{", ScanError::NotJson),
        ("nonsense", ScanError::NotJson),
        (r#"["model",true]"#, ScanError::NotAnObject),
        ("\"model\"", ScanError::NotAnObject),
        ("1", ScanError::NotAnObject),
        ("null", ScanError::NotAnObject),
        (r#"{"model":"a"}{"model":"b"}"#, ScanError::NotJson),
        (r#"{"model":"a"} x"#, ScanError::NotJson),
        (r#"{"model":"a",}"#, ScanError::NotJson),
        (r#"{"model":"a""#, ScanError::NotJson),
        (r#"{'model':'a'}"#, ScanError::NotJson),
        (r#"{model:"a"}"#, ScanError::NotJson),
        (r#"{"model":"a","n":01}"#, ScanError::NotJson),
        (r#"{"model":"a","n":NaN}"#, ScanError::NotJson),
        ("{\"model\":\"a\",\"t\":\"\n\"}", ScanError::NotJson),
        ("{\"t\n\":1}", ScanError::NotJson),
        ("\u{feff}{\"model\":\"a\"}", ScanError::NotJson),
    ] {
        assert_eq!(scan(body.as_bytes()), Err(error), "{body}");
        assert_eq!(error.code(), "invalid_body");
    }
}

#[test]
fn duplicates_are_refused_however_they_are_spelt() {
    for (body, name) in [
        (r#"{"model":"a","model":"a"}"#, "model"),
        (r#"{"model":"a","mod\u0065l":"b"}"#, "model"),
        (r#"{"\u006D\u006F\u0064\u0065\u006C":"a","model":"b"}"#, "model"),
        (r#"{"stream":true,"stream":false}"#, "stream"),
        (r#"{"stre\u0061m":true,"model":"a","stream":true}"#, "stream"),
        (r#"{"stream_options":{},"model":"a","stream_options":null}"#, "stream_options"),
        (r#"{"stream\u005foptions":{},"stream_options":{}}"#, "stream_options"),
        (
            r#"{"stream_options":{"include_usage":true,"include\u005fusage":false}}"#,
            "include_usage",
        ),
        (r#"{"max_tokens":1,"max_tok\u0065ns":9}"#, "max_tokens"),
        (r#"{"generationConfig":{"maxOutputTokens":1,"maxOutputTokens":9}}"#, "maxOutputTokens"),
    ] {
        assert_eq!(scan(body.as_bytes()), Err(ScanError::Duplicate(name)), "{body}");
    }
    assert_eq!(model(r#"{"n":1,"n":2,"model":"a"}"#), found("a"));
}

#[test]
fn a_model_is_a_short_text() {
    let long = format!(r#"{{"model":"{}"}}"#, "a".repeat(257));
    for body in [
        r#"{"model":""}"#,
        r#"{"model":null}"#,
        r#"{"model":1}"#,
        r#"{"model":["a"]}"#,
        r#"{"model":{"name":"a"}}"#,
        r#"{"model":"a\nb"}"#,
        r#"{"model":"a\u0000"}"#,
        r#"{"model":"\ud800"}"#,
        &long,
    ] {
        assert_eq!(model(body), Err(ScanError::BadModel), "{body}");
    }
    let longest = "a".repeat(256);
    assert_eq!(model(&format!(r#"{{"model":"{longest}"}}"#)), found(&longest));
    let escaped = "\\u0061".repeat(256);
    assert_eq!(model(&format!(r#"{{"model":"{escaped}"}}"#)), found(&longest));
}

#[test]
fn utf8_is_checked_in_what_is_skipped_too() {
    let body = b"{\"model\":\"a\",\"messages\":[\"\xff\"]}";
    assert_eq!(scan(body), Err(ScanError::NotUtf8));
    assert_eq!(scan(b"{\"model\":\"a\",\"t\":\"\xed\xa0\x80\"}"), Err(ScanError::NotUtf8));
}

#[test]
fn odd_but_legal_strings_pass() {
    let body = r#"{"t":"\u0000 \ud800 \udc00\ud83d","\ud800":1,"model":"a"}"#;
    assert_eq!(model(body), found("a"));
}

#[test]
fn depth_is_bounded_and_costs_no_stack() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"model":"a","t":"[[{{\"[","x":{open}{close}}}"#)
    };
    assert_eq!(model(&nested(127)), found("a"));
    assert_eq!(model(&nested(128)), Err(ScanError::TooDeep));
    assert_eq!(model(&nested(200_000)), Err(ScanError::TooDeep));
    assert_eq!(ScanError::TooDeep.code(), "invalid_body");
    let objects = format!("{}1{}", "{\"a\":".repeat(200_000), "}".repeat(200_000));
    assert_eq!(scan(objects.as_bytes()), Err(ScanError::TooDeep));
    // Side by side is not deep.
    let flat = format!(r#"{{"x":[{}[]],"model":"a"}}"#, "[],".repeat(1_000));
    assert_eq!(model(&flat), found("a"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
        let _ = scan(&bytes);
    }

    #[test]
    fn no_text_like_json_makes_it_panic(
        text in r#"\{("(model|stream|mod\\u0065l|x)":("a?"|true|[\[\]{}]{0,3}|"\\ud800"),?){0,4}\}?"#
    ) {
        let _ = scan(text.as_bytes());
    }

    #[test]
    fn it_accepts_only_what_serde_json_accepts(text in r#"[ -~\n]{0,24}"#) {
        if scan(text.as_bytes()).is_ok() {
            prop_assert!(serde_json::from_str::<IgnoredAny>(&text).is_ok());
        }
    }
}
