//! [`Class`] and [`Scope`].

/// What happened to an attempt. The class decides the cell that is charged, whether the request
/// goes on to another provider, and how long the rest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// A good answer.
    Accept,
    /// The caller's own fault (400, 413, 415, 422, content policy): answered as it is, once, and
    /// charged to nobody.
    CallerFault,
    /// The prompt does not fit this model's window: goes on to larger windows only.
    ContextTooLong,
    /// 429: over a per-minute limit of this account and model.
    RateLimited,
    /// Over a per-day or per-month limit of this account and model.
    QuotaSpent,
    /// Too many requests of this account at a time.
    Concurrency,
    /// No money or no plan: the key is of no use until somebody pays.
    Billing,
    /// The key is wrong, expired or revoked.
    Auth,
    /// The model's workers are full, for every key (529, 503 overloaded, Cloudflare 52x).
    Overloaded,
    /// Any other 5xx.
    ServerError,
    /// Reset or cut before the first event.
    Transport,
    /// No connection could be made at all: refused, no route, unknown name, failed handshake.
    Unreachable,
    /// No head or no first event in time.
    Timeout,
    /// A 200 that is none (an error frame, an empty turn, an HTML page), or a redirect, which is
    /// never followed.
    Lying,
    /// The model is not there or not open to this account.
    ModelGone,
}

/// The cell that a failure is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nothing is charged.
    None,
    /// The credential, for every model.
    Key,
    /// The account and model.
    Quota,
    /// The origin and model, for every key.
    Endpoint,
    /// The origin, for every model and key.
    Origin,
}

impl Class {
    /// A label for metrics and logs, out of a bounded set.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::CallerFault => "caller_fault",
            Self::ContextTooLong => "context_too_long",
            Self::RateLimited => "rate_limited",
            Self::QuotaSpent => "quota_spent",
            Self::Concurrency => "concurrency",
            Self::Billing => "billing",
            Self::Auth => "auth",
            Self::Overloaded => "overloaded",
            Self::ServerError => "server_error",
            Self::Transport => "transport",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Lying => "lying",
            Self::ModelGone => "model_gone",
        }
    }

    /// Whether the provider failed. A caller's own fault is none.
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::Accept | Self::CallerFault | Self::ContextTooLong)
    }

    /// Whether another provider may do better.
    pub const fn fails_over(self) -> bool {
        self.is_failure() || matches!(self, Self::ContextTooLong)
    }

    /// Whether the provider works and only wants to be left alone for a while. When a broken one
    /// will work again nobody knows.
    pub const fn is_promising(self) -> bool {
        matches!(self, Self::RateLimited | Self::QuotaSpent | Self::Concurrency | Self::Overloaded)
    }

    /// The cell that is charged.
    pub const fn scope(self) -> Scope {
        match self {
            Self::Accept | Self::CallerFault | Self::ContextTooLong => Scope::None,
            Self::Auth | Self::Billing => Scope::Key,
            // A missing model too: "not found for account" says nothing about other accounts, and
            // where the model is gone for everybody, each account finds out with one request.
            Self::RateLimited | Self::QuotaSpent | Self::Concurrency | Self::ModelGone => {
                Scope::Quota
            }
            Self::Overloaded | Self::ServerError | Self::Timeout | Self::Lying => Scope::Endpoint,
            Self::Transport | Self::Unreachable => Scope::Origin,
        }
    }
}
