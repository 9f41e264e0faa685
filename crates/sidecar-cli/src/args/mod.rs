//! The command line, as clap reads it.

mod backup;
mod callers;
mod providers;
mod usage;

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};

pub(crate) use self::backup::{BackupCommand, Restore, Verify};
#[cfg(test)]
pub(crate) use self::callers::CallerTarget;
pub(crate) use self::callers::{CallerAdd, CallerFields, CallerSet, CallersCommand};
pub(crate) use self::providers::{Add, Fields, KeyOptions, ModelPair, ProvidersCommand, Set};
pub(crate) use self::usage::{By, CooldownsArgs, UsageArgs, View};

/// Manage the providers and settings of a running Sidecar.
#[derive(Debug, Parser)]
#[command(name = "sidecar-cli", version, after_help = AFTER_HELP)]
pub struct Cli {
    /// Print the JSON of the admin API in place of text for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Where Sidecar is.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "SIDECAR_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:9190"
    )]
    pub(crate) url: String,
    /// Send the admin token over plain http to another machine.
    ///
    /// Everybody on the way can then read the token and every provider key that is entered, so it
    /// is refused without this. On the same machine it is not needed.
    #[arg(long, global = true)]
    pub(crate) insecure_http: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Manage the providers: one API key at one base URL each.
    #[command(subcommand)]
    Providers(ProvidersCommand),
    /// Make master keys, change them, and check them.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Make backups of the store, check them, and put them back.
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Count the providers of each pool by their state.
    Pools,
    /// Manage the callers: who may use the proxy, and how much.
    #[command(subcommand)]
    Callers(CallersCommand),
    /// What was used, and what it cost.
    #[command(after_help = usage::USAGE_HELP)]
    Usage(UsageArgs),
    /// The rests that began, the newest first.
    Cooldowns(CooldownsArgs),
    /// Why a request for a model, made now, would go where it would go.
    #[command(after_help = EXPLAIN_HELP)]
    Explain(Explain),
    /// Look at the settings and change them; a change counts at once.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// What to explain.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The model, by the name that callers use.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) model: String,
    /// Who would ask.
    #[arg(long, value_name = "NAME")]
    pub(crate) caller: Option<String>,
    /// The protocol it would be asked by.
    #[arg(long, value_name = "API")]
    pub(crate) api: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a master key, the one that seals the provider keys in the store.
    ///
    /// It is printed once, alone on standard output; its id and what to do with it go to standard
    /// error.
    #[command(after_help = GENERATE_HELP)]
    Generate {
        /// Write the key to a new file that only its owner can read, and print nothing.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Have the server change over to a new master key, while it serves.
    ///
    /// The server reads its key file again and wraps its data keys with the primary key in it. The
    /// data keys themselves, and what they seal, stay as they are.
    #[command(after_help = ROTATE_HELP)]
    Rotate,
    /// Check that the master keys at hand open a store or a backup; needs no running server.
    #[command(after_help = KEYS_VERIFY_HELP)]
    Verify {
        /// The store, whose server must be stopped, or a backup.
        #[arg(
            value_name = "FILE",
            env = "SIDECAR_DB_PATH",
            hide_env_values = true,
            default_value = "data/sidecar.redb"
        )]
        file: PathBuf,
        /// The file with the master keys, in place of the one that the server would use.
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// List every setting: its value, where that comes from, and what it means.
    List,
    /// Print the value of one setting.
    Get {
        /// The setting, as `config list` names it.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        key: String,
    },
    /// Store a value for one setting.
    #[command(after_help = CONFIG_SET_HELP)]
    Set {
        /// The setting, as `config list` names it.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        key: String,
        /// The value: a number, true, false, or a text.
        #[arg(allow_negative_numbers = true)]
        value: String,
    },
    /// Forget the stored value of one setting, so that its default counts again.
    Unset {
        /// The setting, as `config list` names it.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        key: String,
    },
}

const AFTER_HELP: &str = "\
The admin token is never an argument. It is looked for in the variable SIDECAR_ADMIN_TOKEN, then
in the file that SIDECAR_ADMIN_TOKEN_FILE names, then in secrets/admin.token under the working
directory, where a server that made its own token has put it.

Exit code: 0, 1 if the command was refused or failed, 2 if it was used wrongly.

Examples:
  sidecar-cli providers add nim --base-url https://integrate.api.nvidia.com/v1 --model '*'
  sidecar-cli providers list
  sidecar-cli providers test nim
  sidecar-cli pools --json
  sidecar-cli config set rate_rpm 35";

const EXPLAIN_HELP: &str = "\
Examples:
  sidecar-cli explain llama
  sidecar-cli explain claude --api anthropic-messages";

const GENERATE_HELP: &str = "\
Examples:
  sidecar-cli keys generate --out secrets/master.key
  SIDECAR_ENCRYPTION_KEY_FILE=secrets/master.key sidecar-server";

const ROTATE_HELP: &str = "\
Before it, make the new key the primary one and let the old one decrypt:
  1. sidecar-cli backup create
  2. sidecar-cli keys generate --out new.key
  3. write into the key file of the server (secrets/master.key, or what
     SIDECAR_ENCRYPTION_KEY_FILE names), instead of what it holds:
       primary NEW
       decrypt OLD
  4. sidecar-cli keys rotate
A key in the variable SIDECAR_ENCRYPTION_KEY takes a restart in place of step 3: the new one there,
the old one in SIDECAR_ENCRYPTION_KEYS_OLD.

Examples:
  sidecar-cli keys rotate
  sidecar-cli keys rotate --json";

const KEYS_VERIFY_HELP: &str = "\
The master keys are looked for where the server looks: in SIDECAR_ENCRYPTION_KEY, then in the file
that SIDECAR_ENCRYPTION_KEY_FILE names, then in secrets/master.key under the working directory; and
in SIDECAR_ENCRYPTION_KEYS_OLD besides.

Examples:
  sidecar-cli keys verify
  sidecar-cli keys verify data/backups/sidecar-20260131T040000Z.redb --key-file new.key";

const CONFIG_SET_HELP: &str = "\
A setting that the server's environment pins cannot be changed here.

Examples:
  sidecar-cli config set rate_rpm 35
  sidecar-cli config set upstream_private false";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    fn refusal(args: &[&str]) -> ErrorKind {
        let args = std::iter::once("sidecar-cli").chain(args.iter().copied());
        Cli::try_parse_from(args).unwrap_err().kind()
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_says_what_it_is() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path}");
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{path} {}", arg.get_id());
            }
            command.get_subcommands().for_each(|command| check(command, &path));
        }
        check(&Cli::command(), "");
    }

    #[test]
    fn global_flags_are_taken_after_the_command_too() {
        let args = ["sidecar-cli", "pools", "--json", "--url", "http://localhost:1"];
        let cli = Cli::try_parse_from(args).unwrap();
        assert!(cli.json);
        assert_eq!(cli.url, "http://localhost:1");
    }

    #[test]
    fn no_secret_is_taken_as_an_argument() {
        assert_eq!(refusal(&["--token", "t", "pools"]), ErrorKind::UnknownArgument);
        assert_eq!(refusal(&["--admin-token", "t", "pools"]), ErrorKind::UnknownArgument);
        let add = ["providers", "add", "a", "--base-url", "https://h", "--key", "k"];
        assert_eq!(refusal(&add), ErrorKind::UnknownArgument);
        let add = ["providers", "add", "a", "--base-url", "https://h", "--api-key", "k"];
        assert_eq!(refusal(&add), ErrorKind::UnknownArgument);
    }

    #[test]
    fn a_negative_value_reaches_the_setting() {
        let args = ["sidecar-cli", "config", "set", "queue_max_depth", "-1"];
        match Cli::try_parse_from(args).unwrap().command {
            Command::Config(ConfigCommand::Set { value, .. }) => assert_eq!(value, "-1"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_empty_name_is_a_usage_error() {
        assert_eq!(refusal(&["providers", "remove", ""]), ErrorKind::InvalidValue);
        assert_eq!(refusal(&["config", "unset", ""]), ErrorKind::InvalidValue);
    }
}
