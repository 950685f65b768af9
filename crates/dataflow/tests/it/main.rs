//! Dataflows on hand-built plans: whatever the order, the cuts, the captures and the number of workers, a settled view equals
//! recomputation.

mod aggregate;
mod deletion;
mod general;
mod harness;
mod keyed;
mod plans;
mod recursion;
mod schedules;
mod temporal;
