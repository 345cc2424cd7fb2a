//! The pages. Everybody who is signed in sees all of them; what changes something is for admins.
//!
//! | path | |
//! |---|---|
//! | `/` | overview |
//! | `/instances`, `/instances/{instance}/…` | topics, groups, clients, tokens, devices, credentials, traces, statistics |
//! | `/signature`, `/audit`, `/users`, `/account` | |
//! | `/login`, `/logout`, `/setup` | |
//!
//! A page that is to come is a [`frame::Section`] and a route.

/// The own account.
mod account;
/// Style, script and icon.
mod assets;
/// Who did what.
mod audit;
/// Charts that follow second by second.
mod charts;
/// Clients.
mod clients;
/// Access keys.
mod credentials;
/// Credentials of single devices.
mod devices;
/// Under which URLs instances are reached.
mod endpoints;
/// What a form brings.
mod forms;
/// What all pages have around them.
mod frame;
/// Groups.
mod groups;
/// Instances.
mod instances;
/// The first page.
mod overview;
/// Every path of the console.
pub mod routes;
/// The first user.
mod setup;
/// Signing in and out.
mod sign_in;
/// The signature calculator.
mod signature;
/// Figures of an instance.
mod statistics;
/// Texts for people.
mod texts;
/// Tokens.
mod tokens;
/// Parent topics, and sending a test message.
mod topics;
/// Questions about traces, and their answers as rows.
mod trace_rows;
/// Traces of devices and messages.
mod traces;
/// Charts of the last hours and days.
mod trends;
/// Users.
mod users;
/// Who looks.
mod visitor;
/// The way of a message.
mod way;

pub use visitor::Visitor;
