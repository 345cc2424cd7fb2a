//! The access point as a program: real sockets, a real store, a clock that the test turns.
//!
//! The test plays both sides: the service through the far end of the uplink, tags through UDP sockets of their own.
//! Each access point runs on a runtime of its own, so that it can be killed at any moment: every task is dropped where
//! it stands, and only what is on disk remains.

#![cfg(test)]

mod enrolment;
mod harness;
mod mqtt;
mod operations;
mod pages;
mod radio;
mod tag;
mod tasks;
mod uplink;
