//! Headers of signed requests: what is a claim reads the same again, and exactly what was signed is signed. Input:
//! Authorization, date, nonce, method, path and query, a line each, and the body.
#![no_main]

use broker::api_signature::{Claim, SCHEME, Signed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(7, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (authorization, date, nonce) = (line(), line(), line());
    let Ok(claim) = Claim::read(authorization, date, nonce) else { return };
    assert!(!claim.access_key.is_empty() && !claim.access_key.contains(':') && claim.date.as_millis() >= 0);
    assert_eq!(claim.nonce, nonce);
    let again = format!("{SCHEME} {}:{}", claim.access_key, claim.signature);
    assert!(authorization.contains(&claim.signature) && again.len() <= authorization.len() + 1);

    let (method, path, query, body) = (line(), line(), line(), line().as_bytes());
    let request = Signed { method, path, query, body };
    let signature = claim.sign(&request, "secret");
    assert_eq!(claim.is_signed(&request, "secret"), claim.signature == signature);
    let signed = Claim { signature, ..claim };
    assert!(signed.is_signed(&request, "secret") && !signed.is_signed(&request, "secreT"));
    let longer = [body, b"x"].concat();
    assert!(!signed.is_signed(&Signed { body: &longer, ..request }, "secret"));
    let exchanged = Signed { path: query, query: path, ..request };
    assert_eq!(signed.is_signed(&exchanged, "secret"), path == query);
});
