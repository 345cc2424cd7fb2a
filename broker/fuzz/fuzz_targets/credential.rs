//! Usernames and client IDs: what parses reads the same again.
#![no_main]

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
    assert_eq!(signature_password("secret", text).len(), 28);
});
