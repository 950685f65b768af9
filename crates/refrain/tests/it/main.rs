//! The facade from outside: statements through sessions, over stores in memory and on disk.

mod analyze;
mod as_of;
mod checkpoints;
mod copy;
mod crash;
mod deletion;
mod dml;
mod errors;
mod faces;
mod forms;
mod functions;
mod limits;
mod lookup;
mod maintained;
mod outage;
mod query;
mod recovery;
mod replay;
mod rows;
mod spilling;
mod subscribe;
mod temporal;
mod tpch;
mod transactions;
mod why;
