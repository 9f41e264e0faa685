//! Connections to providers, made before the first request needs them.

use std::collections::BTreeSet;
use std::iter;
use std::time::Duration;

use sidecar_core::Sidecar;
use sidecar_core::admin::ProviderView;
use sidecar_core::client::HttpsClient;
use sidecar_core::url::BaseUrl;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// An origin, and whether it is to be spoken to by HTTP/2.
type Target = (String, bool);

/// Connects `clients`, each on its runtime, to the origins of all enabled providers, at once and to
/// those that come later when they come. Never ends.
pub(crate) async fn run(sidecar: Sidecar, clients: Vec<(Handle, HttpsClient)>) {
    let clock = sidecar.pools().clock().clone();
    let (mut revision, mut known) = (None, BTreeSet::new());
    loop {
        let current = Some(sidecar.pools().revision());
        if revision != current {
            revision = current;
            let targets = targets(&sidecar.admin().providers());
            let new: Vec<_> = targets.difference(&known).collect();
            let mut connecting = JoinSet::new();
            for ((runtime, client), share) in clients.iter().zip(shares(&new, clients.len())) {
                connecting.spawn_on(connect(client.clone(), share), runtime);
            }
            while connecting.join_next().await.is_some() {}
            known = targets;
        }
        clock.sleep_until(clock.now() + TICK).await;
    }
}

/// What each of so many clients connects to. Every target has as many clients as all of them can
/// have, or one each until there are enough; every client has the same number of targets, give or
/// take one.
fn shares(targets: &[&Target], clients: usize) -> Vec<Vec<Target>> {
    let clients = clients.max(1);
    let copies = (MOST_CONNECTIONS / targets.len().max(1)).clamp(1, clients);
    let mut shares = vec![Vec::new(); clients];
    // The copies of a target are never more than the clients, so that no client gets two of them.
    let dealt = targets.iter().flat_map(|target| iter::repeat_n(target, copies));
    for (turn, target) in dealt.take(MOST_CONNECTIONS).enumerate() {
        shares[turn % clients].push(Target::clone(target));
    }
    shares
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

async fn connect(client: HttpsClient, share: Vec<Target>) {
    let mut connecting = JoinSet::new();
    for (origin, http2) in share {
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
const MOST_CONNECTIONS: usize = 64;
/// Of one client: what is started is busy enough with its first callers.
const AT_A_TIME: usize = 8;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde_json::json;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;
    use crate::listen::Workers;

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

    /// How many targets each client has, and how many clients each target that has any.
    fn dealt(targets: usize, clients: usize) -> (Vec<usize>, Vec<usize>) {
        let targets: Vec<Target> =
            (0..targets).map(|n| (format!("https://{n:03}.example"), false)).collect();
        let shares = shares(&targets.iter().collect::<Vec<_>>(), clients);
        let mut counts = BTreeMap::new();
        for share in &shares {
            assert_eq!(share.iter().collect::<BTreeSet<_>>().len(), share.len(), "one came twice");
            for target in share {
                *counts.entry(target).or_default() += 1;
            }
        }
        (shares.iter().map(Vec::len).collect(), counts.into_values().collect())
    }

    #[test]
    fn every_origin_has_a_client_and_more_if_there_is_room() {
        assert_eq!(dealt(0, 2), (vec![0; 2], vec![]));
        assert_eq!(dealt(5, 2), (vec![5; 2], vec![2; 5]));
        assert_eq!(dealt(32, 2), (vec![32; 2], vec![2; 32]));
        assert_eq!(dealt(33, 2), (vec![17, 16], vec![1; 33]));
        assert_eq!(dealt(9, 8), ([vec![8; 7], vec![7]].concat(), vec![7; 9]));
    }

    #[test]
    fn there_are_64_connections_at_most_however_many_origins_and_clients() {
        assert_eq!(dealt(100, 2), (vec![32; 2], vec![1; 64]));
        let ones = |count| [vec![1; count], vec![0; 65 - count]].concat();
        assert_eq!(dealt(1, 65), (ones(64), vec![64]));
        assert_eq!(dealt(3, 65), (ones(63), vec![21; 3]));
        assert_eq!(dealt(64, 65), (ones(64), vec![1; 64]));
        assert_eq!(dealt(100, 65), (ones(64), vec![1; 64]));
    }

    #[tokio::test]
    async fn providers_are_connected_without_a_request_on_every_runtime() {
        let sidecar = Sidecar::builder().open().await.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        add(&sidecar, "one", &url, json!({})).await;
        let workers = Workers::of(2).unwrap();
        let client = sidecar.https_client().unwrap();
        let client = |runtime: &Handle| (runtime.clone(), client.apart());
        let clients = workers.handles().iter().map(client).collect();
        let running = tokio::spawn(run(sidecar.clone(), clients));
        let _first = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        let _second = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        running.abort();
        workers.stop().await;
        sidecar.close().await.unwrap();
    }
}
