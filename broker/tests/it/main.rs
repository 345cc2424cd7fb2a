//! The broker from outside: octets over sockets, real clients, and a process that is really killed.
//! One binary, since linking is what costs time. Tests are grouped by chapter of the standard and of docs/wire.md.
#![cfg(test)]

mod harness;
mod signing;

mod accept;
mod api;
mod bad_input;
mod connect;
mod credential_codes;
mod device_credentials;
mod durability;
mod embedded;
mod kill;
mod log;
mod mosquitto;
mod p2p;
mod pki;
mod proxy;
mod publish;
mod retained_and_wills;
mod status_events;
mod subscribe;
mod tls;
mod tokens;
mod websocket;
