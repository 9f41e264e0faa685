//! What a person sees at the start.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Says where the server is and what to do first. Secrets are told by their place only.
pub fn print(
    address: SocketAddr,
    metrics: Option<SocketAddr>,
    made: &[PathBuf],
    has_providers: bool,
) {
    // Nobody may be reading, and that is no reason not to serve.
    let _ = io::stdout().lock().write_all(text(address, metrics, made, has_providers).as_bytes());
}

fn text(
    address: SocketAddr,
    metrics: Option<SocketAddr>,
    made: &[PathBuf],
    has_providers: bool,
) -> String {
    let mut text = format!("sidecar {} at http://{address}\n", env!("CARGO_PKG_VERSION"));
    text.push_str(&format!("  dashboard at http://{address}/dashboard\n"));
    if let Some(metrics) = metrics {
        text.push_str(&format!("  metrics for Prometheus at http://{metrics}/metrics\n"));
    }
    for path in made {
        text.push_str(&format!("  made {}: keep a copy in a safe place\n", path.display()));
    }
    if !has_providers {
        text.push_str(&format!(
            "\nAdd a first provider (the key is asked for):\n\n  \
             cargo run --release -p sidecar-cli -- providers add nim \\\n    \
             --base-url https://integrate.api.nvidia.com/v1 \\\n    \
             --model llama=meta/llama-3.3-70b-instruct\n\n\
             Send a first request:\n\n  \
             curl http://{address}/v1/chat/completions -H 'content-type: application/json' \\\n    \
             -d '{{\"model\":\"llama\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]}}'\n\n",
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_start_says_what_was_made_and_what_to_do() {
        let address = SocketAddr::from(([127, 0, 0, 1], 9190));
        let first = text(address, None, &["secrets/master.key".into()], false);
        assert!(first.contains("secrets/master.key") && first.contains("providers add"));
        assert!(first.contains("http://127.0.0.1:9190/v1/chat/completions"));
        assert_eq!(text(address, None, &[], true).lines().count(), 2);
        let metrics = SocketAddr::from(([127, 0, 0, 1], 9191));
        let second = text(address, Some(metrics), &[], true);
        assert!(second.contains("http://127.0.0.1:9191/metrics"));
    }
}
