use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tower::{Layer, ServiceExt, service_fn};

use crate::call::Call;
use crate::clock::Clock;
use crate::dispatch::Target;
use crate::error::Error;
use crate::ingest::IngestLayer;
use crate::provider::{Api, StreamUsage};
use crate::secret::Secret;
use crate::settings::Settings;
use crate::url::BaseUrl;

const CHAT: &str = "/v1/chat/completions";

/// The body that a provider gets for a caller's `body`.
fn sent(path: &str, body: &str, native: &str, stream_usage: StreamUsage) -> Bytes {
    async fn as_it_is(call: Call) -> Result<Call, Error> {
        Ok(call)
    }
    let base_url = BaseUrl::parse("https://a.example/v1").unwrap();
    let (api, key) = (Api::OpenaiCompletions, Secret::new("sk-0123456789"));
    let target = Target::new(base_url, api, &key, native, stream_usage).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(Full::<Bytes>::from(body.to_owned()))
            .unwrap();
        let ingest = IngestLayer::new(Settings::default(), Clock::simulated());
        let call = ingest.layer(service_fn(as_it_is)).oneshot(request).await.unwrap();
        target.request(&call).unwrap().into_body().collect().await.unwrap().to_bytes()
    })
}

#[track_caller]
fn check(stream_usage: StreamUsage, body: &str, expected: &str) {
    for path in [CHAT, "/v1/completions"] {
        assert_eq!(sent(path, body, "native", stream_usage), expected);
    }
}

#[test]
fn a_model_that_has_to_be_asked_is_asked() {
    for (body, expected) in [
        (
            r#"{"model":"m","stream":true}"#,
            r#"{"model":"native","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            "{\"stream\":true,\"model\":\"m\" }\n",
            "{\"stream\":true,\"model\":\"native\" ,\"stream_options\":{\"include_usage\":true}}\n",
        ),
        (
            r#"{"stream_options":null,"model":"m","stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"model":"native","stream":true}"#,
        ),
        (
            r#"{"stream_options":{ },"model":"m","stream":true}"#,
            r#"{"stream_options":{"include_usage":true },"model":"native","stream":true}"#,
        ),
        (
            r#"{"stream":true,"stream_options":{ "x" : 1 },"model":"m"}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true, "x" : 1 },"model":"native"}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{"x":"}","include_usage" : false }}"#,
            r#"{"model":"native","stream":true,"stream_options":{"x":"}","include_usage" : true }}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{"include\u005fusage":null,"x":[]}}"#,
            r#"{"model":"native","stream":true,"stream_options":{"include\u005fusage":true,"x":[]}}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{"x":{"include_usage":true}}}"#,
            r#"{"model":"native","stream":true,"stream_options":{"include_usage":true,"x":{"include_usage":true}}}"#,
        ),
    ] {
        check(StreamUsage::Inject, body, expected);
    }
}

#[test]
fn a_model_that_refuses_to_be_asked_is_not() {
    for (body, expected) in [
        (
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"model":"native","stream":true}"#,
        ),
        (
            r#"{"model":"m" , "stream_options" : {"x":"\"}"} , "stream":true}"#,
            r#"{"model":"native"  , "stream":true}"#,
        ),
        (
            "{\n  \"stream_options\": {},\n  \"model\": \"m\",\n  \"stream\": true\n}",
            "{\n  \n  \"model\": \"native\",\n  \"stream\": true\n}",
        ),
        (
            r#"{"model":"m","stream":true,"stream\u005foptions":null }"#,
            r#"{"model":"native","stream":true }"#,
        ),
        (r#"{"model":"m","stream":true}"#, r#"{"model":"native","stream":true}"#),
    ] {
        check(StreamUsage::Forbid, body, expected);
    }
}

#[test]
fn what_needs_no_change_or_makes_no_sense_stays() {
    use StreamUsage::{Forbid, Inject, Native};
    for (stream_usage, rest) in [
        (Native, r#""stream":true,"stream_options":{"include_usage":false}}"#),
        (Native, r#""stream":true}"#),
        (Inject, r#""stream":true,"stream_options":{"include_usage":true}}"#),
        (Inject, r#""stream":true,"stream_options":{"include_usage":"yes"}}"#),
        (Inject, r#""stream":true,"stream_options":[{}]}"#),
        (Inject, r#""stream":true,"stream_options":"include_usage"}"#),
        (Inject, r#""stream":false}"#),
        (Inject, r#""n":1}"#),
        (Forbid, r#""stream":false,"stream_options":{"include_usage":true}}"#),
    ] {
        let [body, expected] =
            ["m", "native"].map(|model| format!("{{\"model\":\"{model}\",{rest}"));
        check(stream_usage, &body, &expected);
    }
}

#[test]
fn only_chats_and_completions_have_such_a_chunk() {
    let body = r#"{"model":"m","stream":true,"stream_options":{"include_usage":false}}"#;
    let expected = body.replace("\"m\"", "\"n\"");
    for path in ["/v1/responses", "/v1/messages", "/v1/images/generations", "/v1/embeddings"] {
        for stream_usage in [StreamUsage::Inject, StreamUsage::Forbid] {
            assert_eq!(sent(path, body, "n", stream_usage), *expected);
        }
    }
}

/// Any JSON value, at a depth that serde_json's own `Value` can take.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// What may stand at `stream_options`.
fn any_options() -> impl Strategy<Value = Value> {
    let flag = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from)];
    let members = proptest::collection::vec((any::<String>(), any::<i64>()), 0..3);
    let object = (members, proptest::option::of(flag)).prop_map(|(members, flag)| {
        let mut object: Map<String, Value> =
            members.into_iter().map(|(name, value)| (name, value.into())).collect();
        object.remove(FLAG);
        object.extend(flag.map(|flag| (FLAG.to_owned(), flag)));
        Value::Object(object)
    });
    prop_oneof![1 => Just(Value::Null), 5 => object]
}

const FLAG: &str = "include_usage";

/// The text of `options` after the flag is set in it.
fn with_flag(text: &str, options: &Value, space: &str) -> String {
    let Some(object) = options.as_object() else {
        return r#"{"include_usage":true}"#.to_owned();
    };
    match object.get(FLAG) {
        Some(flag) => {
            let member = format!("\"include_usage\":{space}{flag}");
            text.replacen(&member, &format!("\"include_usage\":{space}true"), 1)
        }
        None => {
            let comma = if object.is_empty() { "" } else { "," };
            format!("{{\"include_usage\":true{comma}{}", &text[1..])
        }
    }
}

proptest! {
    #[test]
    fn nothing_but_the_model_and_the_options_changes(
        fields in proptest::collection::vec((any::<String>(), any_json()), 0..5),
        options in proptest::option::of(any_options()),
        is_pretty in any::<bool>(),
        name in prop_oneof![Just("stream_options"), Just("stre\\u0061m_options")],
        places in any::<[prop::sample::Index; 3]>(),
        native in "[a-z/\"\\\\\u{e9}]{1,12}",
        gap in "[ \t\r\n]{0,2}",
        stream_usage in prop_oneof![
            Just(StreamUsage::Native),
            Just(StreamUsage::Inject),
            Just(StreamUsage::Forbid),
        ],
    ) {
        let pair = |name: &str, value: &str| format!("\"{name}\"{gap}:{gap}{value}");
        let native_json = Value::from(native.as_str()).to_string();
        let mut pairs: Vec<String> = fields
            .iter()
            .filter(|(key, _)| !["model", "stream", "stream_options"].contains(&&**key))
            .map(|(key, value)| format!("{}{gap}:{gap}{value}", Value::from(key.as_str())))
            .collect();
        let options_text = options.as_ref().map(|options| match is_pretty {
            true => serde_json::to_string_pretty(options).unwrap(),
            false => options.to_string(),
        });
        let wanted = [
            Some(pair("model", "\"m\"")),
            Some(pair("stream", "true")),
            options_text.as_ref().map(|text| pair(name, text)),
        ];
        for (wanted, place) in wanted.iter().flatten().zip(places) {
            pairs.insert(place.index(pairs.len() + 1), wanted.clone());
        }
        let comma = format!("{gap},{gap}");
        let body = format!("{gap}{{{gap}{}{gap}}}{gap}", pairs.join(&comma));
        let got = sent(CHAT, &body, &native, stream_usage);

        // What it means.
        let mut meaning: Value = serde_json::from_str(&body).unwrap();
        meaning["model"] = Value::from(native.as_str());
        let was_asked = options.as_ref().is_some_and(|options| options[FLAG] == true);
        match stream_usage {
            StreamUsage::Native => {}
            StreamUsage::Inject => match &mut meaning["stream_options"] {
                Value::Object(object) => {
                    object.insert(FLAG.to_owned(), true.into());
                }
                nothing => *nothing = json!({ FLAG: true }),
            },
            StreamUsage::Forbid => {
                meaning.as_object_mut().unwrap().remove("stream_options");
            }
        }
        prop_assert_eq!(serde_json::from_slice::<Value>(&got).unwrap(), meaning);

        // How it is written.
        let model = pairs.iter().position(|text| Some(text) == wanted[0].as_ref()).unwrap();
        pairs[model] = pair("model", &native_json);
        let at = pairs.iter().position(|text| Some(text) == wanted[2].as_ref());
        let inside = match (stream_usage, at) {
            (StreamUsage::Inject, None) => {
                [&*pairs.join(&comma), &*gap, r#","stream_options":{"include_usage":true}"#].concat()
            }
            (StreamUsage::Inject, Some(at)) if !was_asked => {
                let (text, options) = (options_text.unwrap(), options.unwrap());
                let space = if is_pretty { " " } else { "" };
                pairs[at] = pair(name, &with_flag(&text, &options, space));
                pairs.join(&comma) + &gap
            }
            (StreamUsage::Forbid, Some(0)) => [&*gap, &*pairs[1..].join(&comma), &*gap].concat(),
            (StreamUsage::Forbid, Some(at)) => {
                let (before, behind) = (&pairs[..at], &pairs[at + 1..]);
                let mut inside = before.join(&comma) + &gap;
                if !behind.is_empty() {
                    inside += &(comma.clone() + &behind.join(&comma));
                }
                // The gap in front of the comma stays, the one behind it goes with the member.
                inside + &gap
            }
            _ => pairs.join(&comma) + &gap,
        };
        prop_assert_eq!(got, format!("{gap}{{{gap}{inside}}}{gap}"));
    }
}
