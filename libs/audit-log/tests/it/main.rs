//! The audit log as a program and an auditor see it, on real files.

#![cfg(test)]

mod child;
mod desk;
mod restart;
mod search;
mod tamper;
mod tool;
