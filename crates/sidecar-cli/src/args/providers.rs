//! The part of the command line about providers.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, value_parser};

#[derive(Debug, Subcommand)]
pub(crate) enum ProvidersCommand {
    /// List the providers with their state.
    List,
    /// Show everything about one provider but its key.
    Show(Target),
    /// Add a provider; its key comes from a file, standard input or a prompt.
    #[command(after_help = ADD_HELP)]
    Add(Box<Add>),
    /// Change a provider; what is not given stays as it is.
    #[command(after_help = SET_HELP)]
    Set(Box<Set>),
    /// Use a provider again.
    Enable(Target),
    /// Stop using a provider, without forgetting it.
    Disable(Target),
    /// Forget a provider and its key; its usage stays on the books.
    Remove(Target),
    /// Send one cheap real request to a provider and say what came of it.
    Test {
        #[command(flatten)]
        target: Target,
        /// The model to ask for; one of the provider's own if it is left out.
        #[arg(long, value_name = "CANONICAL")]
        model: Option<String>,
    },
    /// Clear the cooldowns of a provider and enable it.
    Reset(Target),
    /// Create or update providers from a file, by name.
    ///
    /// The file holds JSON as `providers export` or the admin API writes it: an object with
    /// `providers` or `backends`, a list, or a single provider. A key comes from the field
    /// `api_key`, or is asked for if the provider is new. A provider that is refused does not stop
    /// the others; the exit code is then 1.
    #[command(after_help = IMPORT_HELP)]
    Import {
        /// The file to read.
        file: PathBuf,
    },
    /// Write the providers as JSON, without their keys.
    ///
    /// A provider that comes from the server's environment is left out: it belongs there.
    #[command(after_help = EXPORT_HELP)]
    Export {
        /// Write to FILE in place of standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// The provider that a command is about.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The provider's name or id.
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) provider: String,
}

/// A provider to add.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// What to call the provider: unique, 1 to 64 characters.
    #[arg(
        value_name = "NAME",
        value_parser = NonEmptyStringValueParser::new(),
        conflicts_with = "name",
        required_unless_present_any = ["name", "json_file"]
    )]
    pub(crate) provider: Option<String>,
    /// Do not use it yet.
    #[arg(long)]
    pub(crate) disabled: bool,
    #[command(flatten)]
    pub(crate) fields: Fields,
    #[command(flatten)]
    pub(crate) key: KeyOptions,
}

/// A change to a provider.
#[derive(Debug, Args)]
pub(crate) struct Set {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) fields: Fields,
    /// Stop serving a model; may be repeated.
    #[arg(long, value_name = "CANONICAL")]
    pub(crate) remove_model: Vec<String>,
    /// Take a field back to its default; may be repeated.
    #[arg(long, value_name = "FIELD", value_parser = ["label", "account", "rpm", "burst"])]
    pub(crate) unset: Vec<String>,
    #[command(flatten)]
    pub(crate) key: KeyOptions,
}

/// What a provider may be given.
#[derive(Debug, Default, Args)]
pub(crate) struct Fields {
    /// The name of the provider; with `set`, its new name.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: Option<String>,
    /// Where the provider is; a new host needs the key again.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Serve the model CANONICAL, which the provider calls NATIVE; may be repeated.
    ///
    /// Without NATIVE both names are the same. '*' serves every model by its own name. A mapping
    /// of the same name is replaced as a whole, with its prices.
    #[arg(long = "model", value_name = "CANONICAL[=NATIVE]", value_parser = model_pair)]
    pub(crate) models: Vec<ModelPair>,
    /// The mappings as a JSON object of model names, with prices, windows and quirks.
    ///
    /// It takes the place of all mappings; each --model comes on top of it.
    #[arg(long, value_name = "FILE")]
    pub(crate) mapping_file: Option<PathBuf>,
    /// The pool the provider belongs to (default: primary).
    #[arg(long, value_parser = ["primary", "fallback"])]
    pub(crate) pool: Option<String>,
    /// Requests per minute that its vendor allows (default: the setting rate_rpm).
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rpm: Option<u32>,
    /// How its vendor counts: any 60 seconds, or evenly spaced (default: window).
    #[arg(long, value_parser = ["window", "smooth"])]
    pub(crate) limit_shape: Option<String>,
    /// How many requests may go out at once under --limit-shape smooth.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(crate) burst: Option<u32>,
    /// The vendor's account; providers of one account share limits and cooldowns.
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// The protocol the provider speaks (default: openai-completions).
    #[arg(long, value_parser = APIS)]
    pub(crate) api: Option<String>,
    /// A text for people.
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// The longest wait for an answer (default: 600).
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u32).range(1..=3600))]
    pub(crate) timeout: Option<u32>,
    /// The longest wait for the first event of a stream (default: 60).
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u32).range(1..=3600))]
    pub(crate) first_token_timeout: Option<u32>,
    /// The longest silence inside a stream (default: 60).
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u32).range(1..=3600))]
    pub(crate) idle_timeout: Option<u32>,
    /// Read an answer on that its caller leaves, so that it is billed exactly (default: false).
    #[arg(long, value_name = "BOOL")]
    pub(crate) drain: Option<bool>,
    /// Speak HTTP/2 to the provider if it can, over https (default: false).
    #[arg(long, value_name = "BOOL")]
    pub(crate) http2: Option<bool>,
    /// Start from a provider as the admin API takes it, in JSON; other flags win over it.
    #[arg(long, value_name = "FILE")]
    pub(crate) json_file: Option<PathBuf>,
}

/// Where the provider's API key comes from. Never an argument: other users can see those.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct KeyOptions {
    /// Read the API key from a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Read the API key from the first line of standard input.
    #[arg(long)]
    pub(crate) key_stdin: bool,
    /// Ask for the API key at the terminal.
    #[arg(long)]
    pub(crate) key_prompt: bool,
}

/// A model: what callers call it, and what the provider calls it if that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelPair {
    pub(crate) canonical: String,
    pub(crate) native: Option<String>,
}

fn model_pair(text: &str) -> Result<ModelPair, &'static str> {
    let (canonical, native) = match text.split_once('=') {
        Some((canonical, native)) => (canonical, Some(native)),
        None => (text, None),
    };
    if canonical.is_empty() || native.is_some_and(str::is_empty) {
        return Err("a model is CANONICAL or CANONICAL=NATIVE, neither of them empty");
    }
    Ok(ModelPair { canonical: canonical.to_owned(), native: native.map(str::to_owned) })
}

const APIS: [&str; 4] =
    ["openai-completions", "openai-responses", "anthropic-messages", "google-generative-ai"];

const ADD_HELP: &str = "\
Without one of --key-file, --key-stdin and --key-prompt, the key is asked for at a terminal, or read
from the first line of standard input when that is no terminal.

Examples:
  sidecar-cli providers add nim --base-url https://integrate.api.nvidia.com/v1 \\
      --model llama=meta/llama-3.3-70b-instruct --rpm 40 --key-file nim.key
  pass show llm/groq | sidecar-cli providers add groq --base-url https://api.groq.com/openai/v1 \\
      --model '*' --pool fallback --key-stdin
  sidecar-cli providers add --json-file provider.json";

const SET_HELP: &str = "\
Examples:
  sidecar-cli providers set nim --rpm 35 --account team-a
  sidecar-cli providers set nim --model qwen=qwen/qwen3-coder --remove-model llama
  sidecar-cli providers set nim --key-prompt
  sidecar-cli providers set nim --unset rpm";

const IMPORT_HELP: &str = "\
Example:
  sidecar-cli providers import providers.json";

const EXPORT_HELP: &str = "\
Example:
  sidecar-cli providers export --out providers.json";

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use clap::error::ErrorKind;
    use proptest::prelude::*;

    use super::super::{Cli, Command};
    use super::*;

    fn parse(args: &[&str]) -> Result<ProvidersCommand, ErrorKind> {
        let args = ["sidecar-cli", "providers"].into_iter().chain(args.iter().copied());
        match Cli::try_parse_from(args).map_err(|error| error.kind())?.command {
            Command::Providers(command) => Ok(command),
            other => panic!("{other:?}"),
        }
    }

    fn pair(canonical: &str, native: Option<&str>) -> ModelPair {
        ModelPair { canonical: canonical.into(), native: native.map(Into::into) }
    }

    #[test]
    fn a_model_is_a_name_or_a_pair_of_names() {
        assert_eq!(model_pair("llama"), Ok(pair("llama", None)));
        assert_eq!(model_pair("llama=meta/llama"), Ok(pair("llama", Some("meta/llama"))));
        assert_eq!(model_pair("*"), Ok(pair("*", None)));
        for text in ["", "=", "llama=", "=meta/llama"] {
            assert!(model_pair(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn only_the_first_equals_sign_parts_a_pair(canonical in "[^=]+", native in ".+") {
            let parsed = model_pair(&format!("{canonical}={native}"));
            prop_assert_eq!(parsed, Ok(pair(&canonical, Some(&native))));
        }
    }

    #[test]
    fn a_provider_to_add_is_named_by_position_or_by_flag() {
        let args = ["add", "nim", "--base-url", "https://h", "--model", "a", "--model", "b=c"];
        let Ok(ProvidersCommand::Add(add)) = parse(&args) else { panic!("refused") };
        assert_eq!(add.provider.as_deref(), Some("nim"));
        assert_eq!(add.fields.models, [pair("a", None), pair("b", Some("c"))]);
        let args = ["add", "--name", "nim", "--base-url", "https://h", "--key-stdin"];
        let Ok(ProvidersCommand::Add(add)) = parse(&args) else { panic!("refused") };
        assert_eq!((add.provider.as_deref(), add.fields.name.as_deref()), (None, Some("nim")));
        assert!(add.key.key_stdin);
        assert!(parse(&["add", "--json-file", "provider.json"]).is_ok());
        assert_eq!(parse(&["add"]).unwrap_err(), ErrorKind::MissingRequiredArgument);
        let both = ["add", "nim", "--name", "nim"];
        assert_eq!(parse(&both).unwrap_err(), ErrorKind::ArgumentConflict);
    }

    #[test]
    fn a_key_has_one_source() {
        let args = ["set", "nim", "--key-stdin", "--key-file", "f"];
        assert_eq!(parse(&args).unwrap_err(), ErrorKind::ArgumentConflict);
    }

    #[test]
    fn values_out_of_range_are_usage_errors() {
        for (args, kind) in [
            (["set", "nim", "--rpm", "0"], ErrorKind::ValueValidation),
            (["set", "nim", "--rpm", "1000001"], ErrorKind::ValueValidation),
            (["set", "nim", "--model", "a="], ErrorKind::ValueValidation),
            (["set", "nim", "--pool", "third"], ErrorKind::InvalidValue),
            (["set", "nim", "--drain", "yes"], ErrorKind::InvalidValue),
            (["set", "nim", "--http2", "yes"], ErrorKind::InvalidValue),
            (["set", "nim", "--unset", "name"], ErrorKind::InvalidValue),
        ] {
            assert_eq!(parse(&args).unwrap_err(), kind, "{args:?}");
        }
    }

    #[test]
    fn the_names_of_the_apis_are_those_of_the_server() {
        for api in APIS {
            let json = serde_json::Value::from(api);
            assert!(serde_json::from_value::<sidecar_core::provider::Api>(json).is_ok(), "{api}");
        }
    }
}
