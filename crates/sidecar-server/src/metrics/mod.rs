//! Metrics for Prometheus, on a port of their own.
//!
//! [`install`] makes this process count, and has to come before the [`sidecar_core::Sidecar`] is
//! opened; [`Exporter`] answers `GET /metrics`. What is counted is in [`sidecar_core::metrics`].

mod exporter;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use sidecar_core::metrics::{
    FIRST_TOKEN, Family, LOGIN_FAILURES, OVERHEAD, QUEUE_WAIT, REQUEST_DURATION, STORE_FLUSH,
    describe,
};

pub use self::exporter::Exporter;

/// The recorder of this process.
#[derive(Clone, Debug)]
pub struct Recorder(PrometheusHandle);

/// Makes this process count.
///
/// # Errors
///
/// It does already.
pub fn install() -> Result<Recorder, BuildError> {
    let handle = builder()?.install_recorder()?;
    describe();
    // So that the first failure is a rise, and not a series that comes from nowhere.
    ::metrics::counter!(LOGIN_FAILURES.name).increment(0);
    Ok(Recorder(handle))
}

/// Counts a wrong credential.
pub(crate) fn login_failed() {
    ::metrics::counter!(LOGIN_FAILURES.name).increment(1);
}

/// Without buckets a histogram would be shown as quantiles, which do not add up.
fn builder() -> Result<PrometheusBuilder, BuildError> {
    BUCKETS.iter().try_fold(PrometheusBuilder::new(), |builder, (family, buckets)| {
        builder.set_buckets_for_metric(Matcher::Full(family.name.to_owned()), buckets)
    })
}

/// In seconds. Those by provider are few, because each is a series of every provider.
const BUCKETS: [(Family, &[f64]); 5] = [
    (REQUEST_DURATION, &[0.005, 0.05, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0, 300.0]),
    (FIRST_TOKEN, &[0.01, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0]),
    (
        OVERHEAD,
        &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.1],
    ),
    (QUEUE_WAIT, &[0.001, 0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]),
    (STORE_FLUSH, &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 1.0, 10.0]),
];

#[cfg(test)]
mod tests {
    use sidecar_core::metrics::Kind;

    use super::*;

    #[test]
    fn the_buckets_are_of_histograms_and_rise() {
        assert!(builder().is_ok());
        for (family, buckets) in BUCKETS {
            assert_eq!(family.kind, Kind::Histogram, "{}", family.name);
            assert!(buckets.is_sorted_by(|one, next| one < next), "{}", family.name);
        }
    }
}
