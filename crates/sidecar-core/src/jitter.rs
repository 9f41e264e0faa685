//! Random spread for rests and retries. Nothing here is a secret.

/// A number from 0 to 1; 0 if the machine has no randomness to give, which is merely less spread.
pub(crate) fn unit() -> f64 {
    getrandom::u32().map_or(0.0, |bits| f64::from(bits) / f64::from(u32::MAX))
}
