//! The checks at CONNECT: what each mode takes, and what everybody else is told.

use std::time::Duration;

use super::*;
use crate::devices::Device;
use crate::message::Qos;
use crate::rules::Actions;
use crate::tokens::Token;

const BOUNDS: StandardBounds = StandardBounds { client_id_bytes_max: 1024, levels_max: 201 };
const ID: &str = "GID_RTC_APP@@@alice-1";
const SIGNATURE: &str = "Signature|AK1|mqtt-demo";
const TOKEN: &str = "Token|AK1|mqtt-demo";
const DEVICE: &str = "DeviceCredential|DC.1|mqtt-demo";

struct World {
    rules: Rules,
    tokens: Tokens,
    devices: Devices,
}

fn world() -> World {
    let credential = Credential {
        api: None,
        secret: Secret::new("s3cret"),
        groups: Some(["GID_RTC_APP".parse().unwrap(), "GID_GONE_X".parse().unwrap()].into()),
        allow: vec![Grant { topic: "rtc-up/{device}".parse().unwrap(), actions: Actions::W }],
    };
    let rules = Rules {
        hosts: crate::endpoints::Hosts::default(),
        groups: ["GID_RTC_APP".parse().unwrap(), "GID_OTHER".parse().unwrap()].into(),
        topics: ["rtc-up".parse().unwrap()].into(),
        credentials: [("AK1".to_owned(), credential.clone()), ("AK2".to_owned(), credential)].into(),
    };
    let mut tokens = Tokens::default();
    for (id, actions, topic) in [("r", Actions::R, "rtc-up/news"), ("w", Actions::W, "rtc-up/+")] {
        tokens.insert(
            id.to_owned(),
            Token {
                access_key: "AK1".to_owned(),
                digest: tokens::digest("t"),
                actions,
                topics: vec![topic.parse().unwrap()],
                issued: Timestamp::EPOCH,
                expires: Timestamp::EPOCH.plus(Duration::from_mins(1)),
                revoked: false,
            },
        );
    }
    let mut devices = Devices::default();
    let device = Device {
        access_key: "AK1".to_owned(),
        key_id: "DC.1".to_owned(),
        secret: Secret::new("DC.s"),
        created: Timestamp::EPOCH,
        updated: Timestamp::EPOCH,
    };
    devices.insert(ID.parse().unwrap(), device.clone());
    let orphan = Device { access_key: "AK9".to_owned(), key_id: "DC.2".to_owned(), ..device };
    devices.insert("GID_RTC_APP@@@orphan".parse().unwrap(), orphan);
    World { rules, tokens, devices }
}

fn connect(client_id: &str, username: &str, password: &str) -> Connect {
    Connect {
        client_id: client_id.to_owned(),
        clean_start: true,
        keep_alive: 60,
        username: Some(username.to_owned()),
        password: Some(password.to_owned()),
        ..Connect::default()
    }
}

fn admitted_at(connect: &Connect, secs: u64) -> Result<Admitted, Refusal> {
    let World { rules, tokens, devices } = world();
    let now = Timestamp::EPOCH.plus(Duration::from_secs(secs));
    admit(
        connect,
        Lengths::default(),
        Some(Ground { rules: &rules, tokens: &tokens, devices: &devices, now }),
    )
}

fn told(client_id: &str, username: &str, password: &str) -> String {
    outcome(&connect(client_id, username, password))
}

fn outcome(connect: &Connect) -> String {
    match admitted_at(connect, 0) {
        Ok(admitted) => format!("0 {}", admitted.client_id),
        Err(refusal) => format!("{} 0x{:X} {refusal}", refusal.code(), refusal.code_v5()),
    }
}

fn signed(client_id: &str, username: &str, secret: &str) -> String {
    told(client_id, username, &signature_password(secret, client_id))
}

#[test]
fn the_checks_and_their_codes() {
    let plain = |id: &str| signed(id, SIGNATURE, "s3cret");
    insta::assert_snapshot!(plain(ID), @"0 GID_RTC_APP@@@alice-1");
    insta::assert_snapshot!(plain("alice"), @"2 0x85 client ID: client ID `alice` is not <GroupID>@@@<DeviceID>");
    insta::assert_snapshot!(plain(""), @"2 0x85 client ID: client ID is empty");
    insta::assert_snapshot!(plain("GID_GONE_X@@@a"), @"2 0x85 group `GID_GONE_X` does not exist in the instance");
    insta::assert_snapshot!(plain("GID_OTHER@@@a"), @"5 0x87 the access key does not sign for group `GID_OTHER`");
    insta::assert_snapshot!(signed(ID, SIGNATURE, "wrong"), @"4 0x86 the password does not match the credential");
    insta::assert_snapshot!(signed(ID, "Signature|AK9|mqtt-demo", "s3cret"), @"4 0x86 credential: no such access key");
    insta::assert_snapshot!(signed(ID, "alice", "s3cret"), @"4 0x86 credential: username is not <mode>|<AccessKey>|<InstanceId>");
    let no_instance = admit(&connect(ID, SIGNATURE, "x"), Lengths::default(), None).unwrap_err();
    insta::assert_snapshot!(no_instance, @"credential: no such instance");
}

#[test]
fn tokens_sign_in_together_and_their_topics_are_all_there_is() {
    let with = |password: &str| told(ID, TOKEN, password);
    insta::assert_snapshot!(with("R|r.t|W|w.t"), @"0 GID_RTC_APP@@@alice-1");
    let admitted = admitted_at(&connect(ID, TOKEN, "W|w.t|R|r.t"), 0).unwrap();
    assert!(admitted.permissions.may_write("rtc-up/bob-1"), "the token's topic");
    assert!(admitted.permissions.may_read("rtc-up/news"));
    assert_eq!(admitted.signer.held().len(), 2);
    let reads = admitted_at(&connect(ID, TOKEN, "R|r.t"), 0).unwrap();
    assert!(!reads.permissions.may_write("rtc-up/alice-1"), "not what the access key is granted");
}

#[test]
fn what_is_wrong_with_a_token_is_told_by_its_code() {
    let with = |password: &str| told(ID, TOKEN, password);
    insta::assert_snapshot!(with("R|r.t|W|w.x"), @"4 0x86 token signature wrong");
    insta::assert_snapshot!(with("R|x.t"), @"4 0x86 token forged");
    insta::assert_snapshot!(with("RW|r.t"), @"4 0x86 token type mismatch");
    insta::assert_snapshot!(with("r.t"), @"4 0x86 credential: a password of tokens is <type>|<token>, one of R, W and RW each at most, joined by |");
    insta::assert_snapshot!(told(ID, "Token|AK2|mqtt-demo", "R|r.t"), @"5 0x87 token of another access key");
    insta::assert_snapshot!(told(ID, "Token|AK9|mqtt-demo", "R|r.t"), @"4 0x86 credential: no such access key");
    insta::assert_snapshot!(told("GID_OTHER@@@a", TOKEN, "R|r.t"), @"5 0x87 the access key does not sign for group `GID_OTHER`");
    let late = admitted_at(&connect(ID, TOKEN, "R|r.t"), 60).unwrap_err();
    insta::assert_snapshot!(late, @"token expired");
}

#[test]
fn a_device_credential_signs_for_its_client_id_and_no_other() {
    insta::assert_snapshot!(signed(ID, DEVICE, "DC.s"), @"0 GID_RTC_APP@@@alice-1");
    insta::assert_snapshot!(signed(ID, DEVICE, "s3cret"), @"4 0x86 the password does not match the credential");
    insta::assert_snapshot!(signed("GID_RTC_APP@@@bob-1", DEVICE, "DC.s"), @"5 0x87 not authorized: the device credential is bound to another client ID");
    insta::assert_snapshot!(signed("GID_RTC_APP@@@bob-1", DEVICE, "x"), @"4 0x86 the password does not match the credential");
    insta::assert_snapshot!(signed(ID, "DeviceCredential|DC.9|mqtt-demo", "DC.s"), @"4 0x86 credential: no such device credential");
    let orphan = signed("GID_RTC_APP@@@orphan", "DeviceCredential|DC.2|mqtt-demo", "DC.s");
    insta::assert_snapshot!(orphan, @"4 0x86 credential: no such access key");
    let admitted = connect(ID, DEVICE, &signature_password("DC.s", ID));
    assert!(admitted_at(&admitted, 0).unwrap().permissions.may_write("rtc-up/alice-1"), "as its access key");
}

#[test]
fn only_guesses_count_for_a_lock_out() {
    let counts = |refusal: &Refusal| refusal.counts_for_lockout();
    assert!(counts(&Refusal::WrongPassword) && counts(&Refusal::Token(TokenFault::Secret)));
    for fault in [TokenFault::Forged, TokenFault::Expired, TokenFault::Revoked, TokenFault::NoRight] {
        assert!(!counts(&Refusal::Token(fault)), "{fault}");
    }
    assert!(!counts(&Refusal::Duplicate) && !counts(&Refusal::Unavailable(String::new())));
}

#[test]
fn a_will_needs_a_grant() {
    let will = |topic: &str| Some(Will { topic: topic.to_owned(), qos: Qos::AtLeastOnce, ..Will::default() });
    let mut with_will = connect(ID, SIGNATURE, &signature_password("s3cret", ID));
    with_will.will = will("rtc-up/alice-1");
    assert!(outcome(&with_will).starts_with('0'));
    with_will.will = will("rtc-up/bob-1");
    assert_eq!(outcome(&with_will), "5 0x87 will");
    let mut by_token = connect(ID, TOKEN, "W|w.t");
    by_token.will = will("rtc-up/bob-1");
    assert!(outcome(&by_token).starts_with('0'), "as the token allows");
    by_token.password = Some("R|r.t".to_owned());
    assert_eq!(outcome(&by_token), "5 0x87 will");
}

#[test]
fn the_standard_profile_assigns_client_ids_to_clean_sessions_only() {
    let mut anonymous = Connect { clean_start: true, ..Connect::default() };
    assert_eq!(admit_standard(&anonymous, "auto-1", BOUNDS).unwrap().client_id, "auto-1");
    anonymous.clean_start = false;
    assert_eq!(admit_standard(&anonymous, "auto-1", BOUNDS).unwrap_err().code(), 2);
}
