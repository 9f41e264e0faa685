//! Connections to providers, made before the first request needs them.

use std::collections::BTreeSet;
use std::time::Duration;

use sidecar_core::Sidecar;
use sidecar_core::admin::ProviderView;
use sidecar_core::client::HttpsClient;
use sidecar_core::url::BaseUrl;
use tokio::task::JoinSet;

/// An origin, and whether it is to be spoken to by HTTP/2.
type Target = (String, bool);

/// Connects `client`, one of so many, to the origins of all enabled providers, at once and to those
/// that come later when they come. Never ends.
pub(crate) async fn run(sidecar: Sidecar, client: HttpsClient, clients: usize) {
    let clock = sidecar.pools().clock().clone();
    let (mut revision, mut known) = (None, BTreeSet::new());
    loop {
        let current = Some(sidecar.pools().revision());
        if revision != current {
            revision = current;
            let targets = targets(&sidecar.admin().providers());
            connect(&client, targets.difference(&known).take(MOST_TARGETS / clients).cloned())
                .await;
            known = targets;
        }
        clock.sleep_until(clock.now() + TICK).await;
    }
}

fn targets(providers: &[ProviderView]) -> BTreeSet<Target> {
    let enabled = providers.iter().filter(|provider| provider.enabled);
    enabled
        .filter_map(|provider| {
            let url = BaseUrl::parse(&provider.api_base_url).ok()?;
            Some((url.origin(), provider.http2))
        })
        .collect()
}

async fn connect(client: &HttpsClient, targets: impl Iterator<Item = Target>) {
    let mut connecting = JoinSet::new();
    for (origin, http2) in targets {
        if connecting.len() == AT_A_TIME {
            connecting.join_next().await;
        }
        let client = client.clone();
        connecting.spawn(async move {
            if let Ok(url) = BaseUrl::parse(&origin) {
                client.prewarm(&url, http2).await;
            }
        });
    }
    while connecting.join_next().await.is_some() {}
}

/// How often to look whether the configuration has changed.
const TICK: Duration = Duration::from_secs(1);
/// For all clients together; the others are left to their first requests.
const MOST_TARGETS: usize = 64;
/// What is started is busy enough with its first callers.
const AT_A_TIME: usize = 8;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    /// Reached only if something hangs.
    const PATIENCE: Duration = Duration::from_secs(10);

    async fn add(sidecar: &Sidecar, name: &str, url: &str, more: serde_json::Value) {
        let mut provider = json!({"name": name, "api_base_url": url, "api_key": "none"});
        for (field, value) in more.as_object().unwrap() {
            provider[field] = value.clone();
        }
        let patch = serde_json::from_value(provider).unwrap();
        sidecar.admin().add_provider(patch).await.unwrap();
    }

    #[tokio::test]
    async fn every_origin_of_an_enabled_provider_counts_once() {
        let sidecar = Sidecar::builder().open().await.unwrap();
        add(&sidecar, "one", "https://one.example/v1", json!({})).await;
        add(&sidecar, "two", "https://one.example/v2", json!({})).await;
        add(&sidecar, "three", "https://one.example/v1", json!({"http2": true})).await;
        add(&sidecar, "four", "https://four.example", json!({"enabled": false})).await;
        let expected = [false, true].map(|http2| ("https://one.example".to_owned(), http2));
        assert_eq!(targets(&sidecar.admin().providers()), expected.into());
        sidecar.close().await.unwrap();
    }

    #[tokio::test]
    async fn providers_are_connected_without_a_request() {
        let sidecar = Sidecar::builder().open().await.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        add(&sidecar, "one", &url, json!({})).await;
        let client = sidecar.https_client().unwrap();
        let running = tokio::spawn(run(sidecar.clone(), client, 1));
        timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        running.abort();
        sidecar.close().await.unwrap();
    }
}
