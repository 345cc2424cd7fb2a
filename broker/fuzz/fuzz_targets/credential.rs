//! Usernames, client IDs, passwords of tokens and uploads of tokens: what parses reads the same again.
#![no_main]

use broker::system::read_upload;
use broker::tokens::read_password;
use libfuzzer_sys::fuzz_target;
use wire::ClientId;
use wire::credential::{Username, signature_password};

fuzz_target!(|text: &str| {
    if let Ok(username) = text.parse::<Username>() {
        assert_eq!(username.to_string(), text);
    }
    if let Ok(client_id) = text.parse::<ClientId>() {
        assert_eq!(client_id.to_string(), text);
        assert_eq!(format!("{}@@@{}", client_id.group(), client_id.device()), text);
    }
    if let Some(tokens) = read_password(text) {
        let fields = tokens.iter().map(|(actions, token)| format!("{actions:?}|{token}"));
        assert_eq!(fields.collect::<Vec<_>>().join("|"), text);
    }
    let _ = read_upload(text.as_bytes());
    assert_eq!(signature_password("secret", text).len(), 28);
});
