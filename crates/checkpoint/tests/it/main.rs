//! A store as its users see it: opened, written, killed, damaged, taken over.
//!
//! Kills are simulated by dropping everything and opening again; that a real process survives SIGKILL is tested with the engine.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod commit;
mod damage;
mod fork;
mod garbage;
mod input_log;
mod inspect;
mod model;
mod reopen;
mod world;
mod zombie;
