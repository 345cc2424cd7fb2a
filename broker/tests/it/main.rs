//! The broker from outside: octets over sockets, real clients, and a process that is really killed.
//! One binary, since linking is what costs time. Tests are grouped by chapter of the standard and of docs/wire.md.
#![cfg(test)]

mod harness;
mod signing;

mod accept;
mod api;
mod audit;
mod bad_input;
mod connect;
mod console;
mod console_browser;
mod console_endpoints;
mod console_traces;
mod console_trends;
mod credential_codes;
mod device_credentials;
mod durability;
mod embedded;
mod figures;
mod held_disk;
mod kill;
mod limits;
mod log;
mod long_use;
mod mosquitto;
mod normative;
mod p2p;
mod packet_limit;
mod paho;
mod pki;
mod promises;
mod proxy;
mod publish;
mod registry_bounds;
mod retained_and_wills;
mod signed;
mod standard_bounds;
mod standard_profile;
mod standard_profile_v5;
mod status_events;
mod subscribe;
mod threads;
mod tls;
mod tokens;
mod traces;
mod trends;
mod unread;
mod v5_connect;
mod v5_publish;
mod v5_session;
mod v5_subscribe;
mod v5_words;
mod vanished;
mod violations;
mod websocket;
