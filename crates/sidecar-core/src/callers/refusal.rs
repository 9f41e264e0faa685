//! [`CallerRefusal`].

use std::time::Duration;

use http::StatusCode;

/// Why a caller with a good key may not have this request. Nothing was sent and nothing counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallerRefusal {
    /// The operator does not want it to call.
    #[error("this caller is disabled")]
    Disabled,
    /// Its time is over.
    #[error("this caller key has expired")]
    Expired,
    /// The model is not on its list. Said as if the model did not exist, so that nobody finds out
    /// what others may use.
    #[error("the model does not exist or this caller may not use it")]
    Model,
    /// It has used up its requests per minute.
    #[error("this caller is over its requests per minute")]
    Rate {
        /// When the next one is due.
        retry_after: Duration,
    },
    /// It has as many requests under way as it may.
    #[error("this caller has too many requests under way")]
    Concurrency,
    /// Its budget is spent, or reserved by requests under way.
    #[error("the budget of this caller is used up")]
    Budget {
        /// When the day or month ends, or when to look again for what is only reserved.
        retry_after: Duration,
    },
    /// The task has had as many requests as it may.
    #[error("this task has used up its requests")]
    Rounds {
        /// When the task is forgotten, if it stays quiet until then.
        retry_after: Duration,
    },
}

impl CallerRefusal {
    /// The HTTP status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Disabled => StatusCode::FORBIDDEN,
            Self::Expired => StatusCode::UNAUTHORIZED,
            Self::Model => StatusCode::NOT_FOUND,
            _ => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// The `type` of the answer.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Disabled => "permission_error",
            Self::Expired => "authentication_error",
            Self::Model => "invalid_request_error",
            _ => "rate_limit_error",
        }
    }

    /// The `code` of the answer.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Disabled => "caller_disabled",
            Self::Expired => "invalid_api_key",
            Self::Model => "model_not_found",
            _ => "caller_limit",
        }
    }

    /// What refused, in one word: a label for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Model => "model",
            Self::Rate { .. } => "rate",
            Self::Concurrency => "concurrency",
            Self::Budget { .. } => "budget",
            Self::Rounds { .. } => "rounds",
        }
    }

    /// The `Retry-After` of the answer: whole seconds, never too early.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rate { retry_after }
            | Self::Budget { retry_after }
            | Self::Rounds { retry_after } => {
                let part = u64::from(retry_after.subsec_nanos() > 0);
                let seconds = retry_after.as_secs().saturating_add(part);
                Some(Duration::from_secs(seconds.max(1)))
            }
            Self::Concurrency => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// Whether it is worth trying again soon. What is not should be said so, or clients wait and
    /// try for nothing.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Rate { .. } | Self::Concurrency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        for (millis, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)] {
            let refusal = CallerRefusal::Rate { retry_after: Duration::from_millis(millis) };
            assert_eq!(refusal.retry_after(), Some(Duration::from_secs(seconds)), "{millis}");
        }
        let for_ever = CallerRefusal::Budget { retry_after: Duration::MAX };
        assert_eq!(for_ever.retry_after(), Some(Duration::from_secs(u64::MAX)));
    }

    #[test]
    fn every_429_says_when_to_come_again() {
        let retry_after = Duration::from_secs(9);
        for refusal in [
            CallerRefusal::Disabled,
            CallerRefusal::Expired,
            CallerRefusal::Model,
            CallerRefusal::Rate { retry_after },
            CallerRefusal::Concurrency,
            CallerRefusal::Budget { retry_after },
            CallerRefusal::Rounds { retry_after },
        ] {
            let limited = refusal.status() == StatusCode::TOO_MANY_REQUESTS;
            assert_eq!(refusal.retry_after().is_some(), limited, "{refusal}");
            assert_eq!(refusal.code() == "caller_limit", limited, "{refusal}");
            assert_eq!(refusal.error_type() == "rate_limit_error", limited, "{refusal}");
        }
    }
}
