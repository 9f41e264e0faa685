//! Every family of metrics: its name, what it is, and what it says.

/// One family of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Family {
    /// Its name, with the unit at the end.
    pub name: &'static str,
    /// How its samples behave.
    pub kind: Kind,
    /// What it says, in one sentence.
    pub help: &'static str,
}

/// How the samples of a family behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// They only rise, until a restart.
    Counter,
    /// They rise and fall.
    Gauge,
    /// They are counted by size.
    Histogram,
    /// Nothing is promised.
    Untyped,
}

impl Kind {
    /// Its name in the text that Prometheus reads.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Untyped => "untyped",
        }
    }
}

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, help }
}

const fn histogram(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Histogram, help }
}

// What happens to requests, counted as it happens.

/// By `provider` and `model`.
pub const REQUESTS: Family =
    counter("sidecar_requests_total", "Attempts sent to a provider that have ended.");
/// By `provider` and `model`.
pub const ERRORS: Family = counter(
    "sidecar_errors_total",
    "Attempts sent to a provider that did not end well, those included that a caller left early.",
);
/// By `provider` and `kind`: `prompt`, `completion`, `cached` (a part of the prompt) and
/// `reasoning` (a part of the completion).
pub const TOKENS: Family = counter("sidecar_tokens_total", "Tokens used at a provider.");
/// By `provider` and `verdict`, see [`crate::verdict::Class::kind`].
pub const ATTEMPTS: Family = counter(
    "sidecar_attempts_total",
    "Attempts by how the provider's answer was judged when it began.",
);
/// By `reason`, see [`crate::verdict::Class::kind`].
pub const FAILOVERS: Family = counter(
    "sidecar_failovers_total",
    "Requests sent on to another provider, by what the one before did.",
);
/// By `kind`, see [`crate::callers::CallerRefusal::kind`].
pub const CALLER_REFUSALS: Family = counter(
    "sidecar_caller_refusals_total",
    "Requests refused because of their caller's own limits, by the limit.",
);
/// Without labels.
pub const LOGIN_FAILURES: Family =
    counter("sidecar_login_failures_total", "Wrong credentials shown by people and by callers.");
/// By `provider`.
pub const REQUEST_DURATION: Family = histogram(
    "sidecar_request_duration_seconds",
    "Time from the dispatch of an attempt that went well to the end of its answer.",
);
/// By `provider`.
pub const FIRST_TOKEN: Family = histogram(
    "sidecar_first_token_seconds",
    "Time from the dispatch of an attempt to the first byte of a good answer's body.",
);
/// Without labels.
pub const OVERHEAD: Family = histogram(
    "sidecar_overhead_seconds",
    "Time spent here on an answered request until its answer began, without waiting for a slot \
     and without the providers' time.",
);
/// Without labels.
pub const QUEUE_WAIT: Family =
    histogram("sidecar_queue_wait_seconds", "Time that a request which had to queue has waited.");
/// Without labels.
pub const STORE_FLUSH: Family =
    histogram("sidecar_store_flush_seconds", "Time that writing a batch of usage has taken.");

// What can be read at any moment.

/// By `provider` and `model`.
pub const COST: Family =
    counter("sidecar_cost_total", "Cost in USD of the tokens used at providers with a price.");
/// By `pool` and `type`: `total`, `enabled`, `healthy`, `cooling`, `error` and `disabled`.
pub const POOL_PROVIDERS: Family =
    gauge("sidecar_pool_providers", "Providers of each pool, by how they are.");
/// Without labels.
pub const COOLDOWN_ACTIVE: Family =
    gauge("sidecar_cooldown_active", "Providers that rest as a whole.");
/// Without labels. The name is that of a part of a histogram and none may be declared a counter or
/// gauge under it; dashboards know it, so it stays and is declared nothing.
pub const EMERGENCY_COUNT: Family = Family {
    name: "sidecar_emergency_count",
    kind: Kind::Untyped,
    help: "Resting providers tried early since the start because nothing else was left.",
};
/// Without labels.
pub const QUEUE_DEPTH: Family = gauge("sidecar_queue_depth", "Requests that wait for a free slot.");
/// Without labels.
pub const QUEUE_LIMIT: Family =
    gauge("sidecar_queue_limit", "Requests that may wait for a free slot at most.");
/// By `provider`.
pub const IN_FLIGHT: Family = gauge("sidecar_in_flight", "Requests under way at a provider.");
/// By `provider`.
pub const LIMITER_HEADROOM: Family = gauge(
    "sidecar_limiter_headroom_ratio",
    "The part of a provider's requests per minute that is free, from 0 to 1.",
);
/// Without labels.
pub const STORE_UP: Family =
    gauge("sidecar_store_up", "Whether the last write to the store went well: 1 or 0.");
/// Without labels.
pub const STORE_FLUSH_LAG: Family = gauge(
    "sidecar_store_flush_lag_seconds",
    "Time since all usage was last in the store: that much of it is lost to a crash.",
);
/// Without labels.
pub const DB_SIZE: Family = gauge("sidecar_db_size_bytes", "Size of the store's file.");
/// Without labels.
pub const UPTIME: Family = gauge("sidecar_uptime_seconds", "Time since the start.");

// The health of agents, from what they send. All by `agent_name` and `agent_label`.

/// See its help.
pub const AGENT_HEARTBEAT: Family = gauge(
    "agent_heartbeat_status",
    "Whether the agent has sent a request in the last five minutes or has one under way: 1 or 0.",
);
/// See its help.
pub const AGENT_STAGNATION: Family = gauge(
    "agent_task_stagnation_seconds",
    "Time that the agent has been asking without a good answer; 0 if it has one or does not ask.",
);
/// See its help.
pub const AGENT_LIMITED: Family = gauge(
    "agent_429_error_rate",
    "The part of the agent's requests of the last five minutes answered with 429, from 0 to 1.",
);
/// See its help.
pub const AGENT_RESPONSE_TIME: Family = gauge(
    "agent_response_time_seconds",
    "The mean time to the end of an answer, of the agent's requests of the last five minutes; 0 \
     if there were none.",
);
/// See its help.
pub const AGENT_PENDING: Family =
    gauge("agent_workboard_pending", "Requests of the agent that wait or are under way.");

/// Those that go through the facade.
pub(super) const PUSHED: [Family; 12] = [
    REQUESTS,
    ERRORS,
    TOKENS,
    ATTEMPTS,
    FAILOVERS,
    CALLER_REFUSALS,
    LOGIN_FAILURES,
    REQUEST_DURATION,
    FIRST_TOKEN,
    OVERHEAD,
    QUEUE_WAIT,
    STORE_FLUSH,
];
