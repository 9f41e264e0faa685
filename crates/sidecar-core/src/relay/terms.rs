//! [`Terms`]: what is known of an answer before it comes.

use http::header::CONTENT_LENGTH;
use http::{Extensions, Method, Response};

use super::RelayConfig;
use super::body::{Mode, RelayBody};
use super::events::Events;
use super::grammar::Grammar;
use super::view::View;
use super::watch::{OnCut, Watch};
use crate::call::Head;
use crate::callers::Delivery;
use crate::sse::is_event_stream;
use crate::usage::Report;

/// What is known of an answer before it comes.
#[derive(Debug)]
pub(super) struct Terms {
    grammar: Grammar,
    /// The answer to a request for the head alone has no body.
    has_body: bool,
    usage_asked: bool,
    /// Whether the request goes on to another provider if this answer is cut.
    is_sent_on: bool,
    config: RelayConfig,
    on_cut: Option<OnCut>,
}

impl Terms {
    pub(super) fn of(head: &Head, config: &RelayConfig, on_cut: Option<OnCut>) -> Self {
        Self {
            grammar: Grammar::of(head),
            has_body: head.method != Method::HEAD,
            usage_asked: head.usage_asked,
            is_sent_on: head.delivery == Delivery::Complete,
            config: config.clone(),
            on_cut,
        }
    }

    /// `response` with a body that is passed on by its kind.
    pub(super) fn apply<B>(&self, response: Response<B>) -> Response<RelayBody<B>> {
        let (mut head, body) = response.into_parts();
        let mode = if !self.has_body || !head.status.is_success() {
            Mode::Untouched
        } else if is_event_stream(&head.headers) {
            // What is left out and what is added change it.
            head.headers.remove(CONTENT_LENGTH);
            let view = View::of(self.grammar, self.config.stream_usage, self.usage_asked);
            let watch = self.watch(&mut head.extensions);
            Mode::events(Events::new(self.grammar, view), watch)
        } else {
            Mode::Document(self.watch(&mut head.extensions))
        };
        Response::from_parts(head, RelayBody::new(body, mode))
    }

    fn watch(&self, extensions: &mut Extensions) -> Watch {
        let report = extensions.remove::<Report>();
        let RelayConfig { idle_timeout, clock, .. } = &self.config;
        Watch::new(*idle_timeout, clock.clone(), self.on_cut.clone())
            .reporting(report, self.is_sent_on)
    }
}
