//! Refuses what would be too many requests at a time.
//!
//! A request counts until its answer's body has ended, because streams live in bodies. What is
//! over the limit is answered at once: a caller who is told to come back in a second is better off
//! than one who waits for nothing.

mod body;
mod future;
mod layer;
mod service;

pub use self::body::InFlightBody;
pub use self::future::ResponseFuture;
pub use self::layer::InFlightLayer;
pub use self::service::InFlight;

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use http_body_util::Empty;
    use sidecar_core::error::{BoxError, Error};
    use tower::{Layer as _, ServiceExt as _, service_fn};

    use super::*;

    #[tokio::test]
    async fn a_request_counts_until_its_body_is_gone() {
        let answer = async |_: Request<()>| Ok::<_, BoxError>(Response::new(Empty::<&[u8]>::new()));
        let service = InFlightLayer::new(1).layer(service_fn(answer));
        let call = || service.clone().oneshot(Request::new(()));
        let first = call().await.unwrap();
        let refused = call().await.unwrap_err();
        assert!(matches!(refused.downcast_ref(), Some(Error::Overloaded)));
        drop(first);
        call().await.unwrap();
    }
}
