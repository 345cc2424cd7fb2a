//! The program with a real router, a real database and a manual clock; the tests play access points and tills.
//!
//! One binary, because linking is what takes long.
#![cfg(test)]

/// What the audit log holds, and what happens without it.
mod audit;
/// What tags do besides showing their face.
mod operations;
/// What people see.
mod pages;
/// Changes that wait.
mod planning;
/// Prices move in the safe order.
mod prices;
/// What is refused.
mod problems;
/// Losses, restarts, silence.
mod recovery;
/// What is not believed.
mod reports;
/// The harness.
mod shop;
