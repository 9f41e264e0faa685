//! What must hold, one file for each promise.

mod accounts;
mod day_cap;
mod fairness;
mod herd;
mod hostile;
mod load;
mod outage;
mod patience;
mod strikes;
mod zoo;
