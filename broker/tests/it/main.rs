//! The broker from outside: octets over sockets, real clients, and a process that is really killed.
//! One binary, since linking is what costs time. Tests are grouped by chapter of the standard and of docs/wire.md.
#![cfg(test)]

mod harness;

mod accept;
mod api;
mod bad_input;
mod connect;
mod durability;
mod kill;
mod log;
mod long_use;
mod mosquitto;
mod p2p;
mod pki;
mod proxy;
mod publish;
mod retained_and_wills;
mod subscribe;
mod tls;
mod websocket;
