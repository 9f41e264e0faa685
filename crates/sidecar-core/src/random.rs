//! Numbers that are well spread and cheap. Nothing here is a secret: they spread rests and
//! retries, and make names that differ.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number from 0 to 1.
pub(crate) fn unit() -> f64 {
    // The upper half: all that an f64 keeps apart, and more than is needed.
    (next() >> 32) as f64 / f64::from(u32::MAX)
}

/// The next number, which no other call in this process gets again. Asking the operating system
/// for each would cost a system call for every request.
pub(crate) fn next() -> u64 {
    static SEED: LazyLock<u64> = LazyLock::new(|| {
        // A machine without randomness to give merely spreads less.
        getrandom::u64().unwrap_or_default()
    });
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    mix(SEED.wrapping_add(count.wrapping_mul(GOLDEN)))
}

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). It maps
/// no two numbers to the same one.
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// 2^64 divided by the golden ratio, and odd: its multiples are all different.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_are_spread_and_none_comes_twice() {
        let numbers: HashSet<u64> = (0..10_000).map(|_| next()).collect();
        assert_eq!(numbers.len(), 10_000);
        let units: Vec<f64> = (0..10_000).map(|_| unit()).collect();
        assert!(units.iter().all(|unit| (0.0..=1.0).contains(unit)));
        for tenth in 0..10 {
            let bounds = f64::from(tenth) / 10.0..f64::from(tenth + 1) / 10.0;
            let count = units.iter().filter(|unit| bounds.contains(unit)).count();
            assert!((800..1_200).contains(&count), "{count} in {bounds:?}");
        }
    }

    #[test]
    fn it_is_the_published_function() {
        // The first outputs of the reference for the seed 0, which adds before it mixes.
        assert_eq!(mix(GOLDEN), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(GOLDEN.wrapping_mul(2)), 0x6e78_9e6a_a1b9_65f4);
    }
}
