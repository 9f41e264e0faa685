//! The programs that are measured, each a process of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{Failure, bare, provider};

/// What a process is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Answers.
    Provider,
    /// Passes on.
    Streaming,
    /// Does what any gateway does.
    Floor,
    /// Does everything.
    Sidecar,
}

/// A running process; it is ended when this is dropped.
pub(crate) struct Child {
    role: Role,
    process: std::process::Child,
    address: SocketAddr,
    key: String,
    _home: Option<tempfile::TempDir>,
}

impl Role {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Streaming => "streaming",
            Self::Floor => "floor",
            Self::Sidecar => "sidecar",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Provider, Self::Streaming, Self::Floor, Self::Sidecar]
            .into_iter()
            .find(|role| role.name() == name)
    }
}

impl Child {
    /// Starts this program again, as something else, and waits until it listens.
    pub(crate) fn start(role: Role, arguments: &[&str]) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ROLE_FLAG).arg(role.name()).args(arguments).stdout(Stdio::piped());
        // The log is written, as it would be, and read by nobody.
        command.stderr(Stdio::null());
        let home = match role {
            Role::Sidecar => {
                let home = tempfile::tempdir()?;
                command
                    .current_dir(home.path())
                    .env("SIDECAR_PORT", "0")
                    .env("SIDECAR_METRICS_PORT", "0")
                    .env("SIDECAR_ADMIN_TOKEN", ADMIN_TOKEN)
                    .env("SIDECAR_RATE_RPM", "1000000");
                Some(home)
            }
            _ => None,
        };
        let process = command.spawn()?;
        let (address, key) = (UNKNOWN, String::from(bare::KEY));
        let mut child = Self { role, process, address, key, _home: home };
        child.listens()?;
        if role == Role::Sidecar {
            let to = *arguments.first().ok_or("no provider is given")?;
            child.key = set_up(child.address, to)?;
            // How much it takes at a time is read at start.
            child.end();
            child.process = command.spawn()?;
            child.listens()?;
        }
        Ok(child)
    }

    /// Waits until it says where it listens.
    fn listens(&mut self) -> Result<(), Failure> {
        let stdout = self.process.stdout.take().ok_or("a child without output")?;
        let mut lines = BufReader::new(stdout).lines();
        self.address = loop {
            let line = lines.next().ok_or("a child ended before it listened")??;
            if let Some(address) = line.rsplit("http://").next().and_then(|at| at.parse().ok()) {
                break address;
            }
        };
        // Whatever else it says is let go, and nobody waits for it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(())
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a caller has to show.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The CPU time it has used so far, by the kernel's own account of its threads.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        let mut nanos = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let account = std::fs::read_to_string(task?.path().join("schedstat"))?;
            nanos += account.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// What it has in memory, in KiB.
    pub(crate) fn resident(&self) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|line| line.split_whitespace().next());
        Ok(kib.ok_or("a process without memory")?.parse()?)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs as the process that was asked for, until it is ended.
pub(crate) fn be(role: &str, arguments: &[String]) -> Result<(), Failure> {
    let role = Role::parse(role).ok_or("an unknown role")?;
    // Each as such a program has it: the server does with a thread for what belongs to no request.
    let mut runtime = match role {
        Role::Sidecar => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.enable_all().build()?;
    let to = || -> Result<SocketAddr, Failure> {
        Ok(arguments.first().ok_or("no provider is given")?.parse()?)
    };
    match role {
        Role::Provider => runtime.block_on(async { provider::run(listen().await?).await }),
        Role::Streaming => {
            runtime.block_on(async { bare::run(listen().await?, to()?, false).await })
        }
        Role::Floor => runtime.block_on(async { bare::run(listen().await?, to()?, true).await }),
        Role::Sidecar => {
            let env = |name: &str| std::env::var(name).ok();
            let _log = sidecar_server::logs::init(&sidecar_server::config::LogConfig::read(&env)?)?;
            let config = sidecar_server::config::Config::read(&env, true)?;
            Ok(runtime.block_on(sidecar_server::run::run(config))?)
        }
    }
}

/// The wall time in nanoseconds, which is the same for all processes.
pub(crate) fn now_nanos() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Listens, and says where.
async fn listen() -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "http://{}", listener.local_addr()?)?;
    stdout.flush()?;
    Ok(listener)
}

/// Makes room for a crowd, enters one provider three times and a caller; gives the caller's key.
fn set_up(server: SocketAddr, provider: &str) -> Result<String, Failure> {
    let work = async {
        admin(server, "PUT", "config/max_in_flight", &json!({"value": MOST_IN_FLIGHT})).await?;
        for name in ["one", "two", "three"] {
            let entry = json!({
                "name": name,
                "api_base_url": format!("http://{provider}/v1"),
                "api_key": "sk-0123456789abcdef",
                "model_mappings": {"model": {
                    "native_id": "vendor/model",
                    "cost_per_mtok": {"input": 1, "output": 2},
                }},
            });
            admin(server, "POST", "backends", &entry).await?;
        }
        let caller = admin(server, "POST", "callers", &json!({"name": "bench"})).await?;
        Ok(caller["key"].as_str().ok_or("a caller without a key")?.to_owned())
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(work)
        });
        thread.join().map_err(|_| "the set-up has failed")?
    })
}

async fn admin(
    server: SocketAddr,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<Value, Failure> {
    let stream = tokio::net::TcpStream::connect(server).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/admin/{path}"))
        .header("host", server.to_string())
        .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .header("content-type", "application/json")
        .body(Full::<bytes::Bytes>::from(body.to_string()))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        return Err(String::from_utf8_lossy(&body).into());
    }
    Ok(serde_json::from_slice(&body)?)
}

/// Before the name of a role.
pub(crate) const ROLE_FLAG: &str = "--role";
const ADMIN_TOKEN: &str = "admin-token-of-a-bench";
const MOST_IN_FLIGHT: u32 = 4_096;
/// Until a process has said where it listens.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
