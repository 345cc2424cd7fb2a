//! `rtc-manager` as a program: real router, real SQLite, a manual clock; the test is broker and phones.
#![cfg(test)]

/// The harness.
mod app;
/// What operators and readers see.
mod operators;
/// What is refused.
mod refusals;
/// Users and phones.
mod registration;
/// What a restart keeps.
mod restart;
/// What is deleted when it is old.
mod retention;
/// What is written is what is read, on SQLite and PostgreSQL.
mod store;
/// Calls from invite to call detail record.
mod stories;
