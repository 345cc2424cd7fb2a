//! x
pub mod call;
pub mod policy;
pub mod switchboard;
