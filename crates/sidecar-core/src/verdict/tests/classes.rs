//! What a class stands for.

use std::collections::HashSet;

use crate::verdict::{Class, Scope, Verdict};

const ALL: [Class; 15] = [
    Class::Accept,
    Class::CallerFault,
    Class::ContextTooLong,
    Class::RateLimited,
    Class::QuotaSpent,
    Class::Concurrency,
    Class::Billing,
    Class::Auth,
    Class::Overloaded,
    Class::ServerError,
    Class::Transport,
    Class::Unreachable,
    Class::Timeout,
    Class::Lying,
    Class::ModelGone,
];

#[test]
fn labels_are_distinct_and_plain() {
    let kinds: HashSet<&str> = ALL.iter().map(|class| class.kind()).collect();
    assert_eq!(kinds.len(), ALL.len());
    let is_plain = |kind: &str| kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    assert!(kinds.into_iter().all(is_plain));
}

#[test]
fn exactly_the_failures_are_charged() {
    for class in ALL {
        assert_eq!(class.is_failure(), class.scope() != Scope::None, "{class:?}");
    }
}

#[test]
fn a_prompt_that_is_too_long_goes_on_without_a_failure() {
    for class in ALL {
        let is_long = class == Class::ContextTooLong;
        assert_eq!(class.fails_over(), class.is_failure() || is_long, "{class:?}");
    }
}

#[test]
fn the_short_verdicts_carry_no_hint() {
    assert_eq!(Verdict::ACCEPT, Verdict { class: Class::Accept, hint: None });
    assert_eq!(Verdict::timeout().class, Class::Timeout);
    assert_eq!(Verdict::transport().class, Class::Transport);
}
