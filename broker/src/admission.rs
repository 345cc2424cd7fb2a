//! ● The checks at CONNECT, in their order.
//!
//! ```text
//! protocol level ─▶ client ID ─▶ credential ─▶ group ─▶ will ─▶ limits ─▶ duplicate
//!       1               2        4 · 3 (instance)  2 · 5    5       3         2
//! ```
//! The numbers are CONNACK return codes (MQTT 3.1.1 table 3.1). The codec has checked the level already; limits and
//! duplicates need the live broker and are checked by `connection/handshake.rs`.

use service_kit::config::Secret;
use subtle::ConstantTimeEq;
use wire::credential::{Mode, Username, signature_password};
use wire::{ClientId, InstanceId};

use crate::codec::answer::{self, ConnackProperties};
use crate::codec::{Connect, Version, Will, reason};
use crate::rules::{Credential, Permissions, PublishRefusal, Rules, check_standard_topic};

/// CONNACK return codes.
pub mod code {
    /// Welcome.
    pub const ACCEPTED: u8 = 0;
    /// Protocol level.
    pub const PROTOCOL_LEVEL: u8 = 1;
    /// Client ID, unknown group, or somebody else has it.
    pub const CLIENT_ID: u8 = 2;
    /// Over its limits.
    pub const UNAVAILABLE: u8 = 3;
    /// Wrong username or password.
    pub const BAD_CREDENTIAL: u8 = 4;
    /// Right, but not for this.
    pub const NOT_AUTHORIZED: u8 = 5;
}

/// Longest client ID of the standard profile, in octets.
const STANDARD_CLIENT_ID_BYTES_MAX: usize = 1024;

/// Why a client is not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not `<GroupID>@@@<DeviceID>`.
    #[error("client ID: {0}")]
    ClientId(String),
    /// No username, no password, or not of the form `<mode>|<access key>|<instance>`.
    #[error("credential: {0}")]
    Credential(String),
    /// The credential proves to be somebody else's.
    #[error("the password does not match the credential")]
    WrongPassword,
    /// The group does not exist in the instance.
    #[error("group `{0}` does not exist in the instance")]
    UnknownGroup(String),
    /// The credential does not sign for that group.
    #[error("the access key does not sign for group `{0}`")]
    OtherGroup(String),
    /// The will could never be published.
    #[error("will")]
    Will(#[source] PublishRefusal),
    /// As many clients as there may be.
    #[error("the instance has reached its limit of {0} connections")]
    Connections(usize),
    /// What it asks for cannot be stored for now.
    #[error("the disk of the broker is full; sessions that are to be kept cannot begin")]
    DiskFull,
    /// Too many failures from this address with this client ID.
    #[error("locked out after repeated failures")]
    LockedOut,
    /// Somebody alive has the client ID.
    #[error("clientId conflict")]
    Duplicate,
    /// Enhanced authentication (MQTT 5 section 4.12).
    #[error("authentication method `{0}` is not available; sign in with username and password")]
    AuthMethod(String),
}

impl Refusal {
    /// The CONNACK return code.
    pub fn code(&self) -> u8 {
        match self {
            Refusal::ClientId(_) | Refusal::UnknownGroup(_) | Refusal::Duplicate => code::CLIENT_ID,
            Refusal::Credential(_) | Refusal::WrongPassword => code::BAD_CREDENTIAL,
            Refusal::OtherGroup(_) | Refusal::Will(_) | Refusal::LockedOut | Refusal::AuthMethod(_) => {
                code::NOT_AUTHORIZED
            }
            Refusal::Connections(_) | Refusal::DiskFull => code::UNAVAILABLE,
        }
    }

    /// The reason code of MQTT 5 (table 3-1).
    pub fn code_v5(&self) -> u8 {
        match self {
            Refusal::ClientId(_) | Refusal::UnknownGroup(_) | Refusal::Duplicate => reason::CLIENT_ID_INVALID,
            Refusal::Credential(_) | Refusal::WrongPassword => reason::BAD_CREDENTIALS,
            Refusal::OtherGroup(_) | Refusal::LockedOut => reason::NOT_AUTHORIZED,
            Refusal::Will(refusal) => refusal.code(),
            Refusal::Connections(_) | Refusal::DiskFull => reason::QUOTA_EXCEEDED,
            Refusal::AuthMethod(_) => reason::BAD_AUTH_METHOD,
        }
    }

    /// CONNACK in the version of the one who asked.
    pub fn connack(&self, version: Version) -> Vec<u8> {
        match version {
            Version::V4 => answer::connack_v4(false, self.code()).to_vec(),
            Version::V5 => {
                let reason_string = Some(self.to_string());
                let properties = ConnackProperties { reason_string, ..ConnackProperties::default() };
                answer::connack_v5(false, self.code_v5(), &properties).to_vec()
            }
        }
    }

    /// For metrics: a word per reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::ClientId(_) => "client_id",
            Refusal::Credential(_) => "credential",
            Refusal::WrongPassword => "password",
            Refusal::UnknownGroup(_) => "group_unknown",
            Refusal::OtherGroup(_) => "group_not_allowed",
            Refusal::Will(_) => "will",
            Refusal::Connections(_) => "connections",
            Refusal::DiskFull => "disk_full",
            Refusal::LockedOut => "locked_out",
            Refusal::Duplicate => "client_id_conflict",
            Refusal::AuthMethod(_) => "auth_method",
        }
    }

    /// Whether repeating it should lead to a lock-out: only what a guesser of passwords would cause.
    pub fn counts_for_lockout(&self) -> bool {
        matches!(self, Refusal::WrongPassword)
    }
}

/// A client that has proved who it is.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Its client ID.
    pub client_id: String,
    /// With which access key; empty in the standard profile.
    pub access_key: String,
    /// What it may do.
    pub permissions: Permissions,
}

/// Which instance a CONNECT is for, read from its username before anything is looked up.
pub fn instance_of(connect: &Connect) -> Result<InstanceId, Refusal> {
    check_client_id(&connect.client_id)?;
    Ok(read_username(connect)?.instance)
}

fn check_client_id(text: &str) -> Result<ClientId, Refusal> {
    text.parse().map_err(|error: wire::name::ParseNameError| Refusal::ClientId(error.to_string()))
}

fn read_username(connect: &Connect) -> Result<Username, Refusal> {
    let text = connect.username.as_deref().ok_or_else(|| Refusal::Credential("no username".to_owned()))?;
    text.parse().map_err(|error: wire::credential::ParseUsernameError| Refusal::Credential(error.to_string()))
}

/// Strict profile; `rules` are those of the instance the username names, `None` when there is none.
pub fn admit(connect: &Connect, rules: Option<&Rules>) -> Result<Admitted, Refusal> {
    let client_id = check_client_id(&connect.client_id)?;
    let username = read_username(connect)?;
    let rules = rules.ok_or_else(|| Refusal::Credential("no such instance".to_owned()))?;
    let credential = check_signature(connect, &client_id, &username, rules)?;
    let group = client_id.group();
    if !rules.groups.contains(&group) {
        return Err(Refusal::UnknownGroup(group.to_string()));
    }
    if credential.groups.as_ref().is_some_and(|groups| !groups.contains(&group)) {
        return Err(Refusal::OtherGroup(group.to_string()));
    }
    let permissions = Permissions::of(&credential.allow, &client_id.device());
    if let Some(will) = &connect.will {
        rules.check_publish(&will.topic, &permissions).map_err(Refusal::Will)?;
    }
    Ok(Admitted { client_id: client_id.into(), access_key: username.access_key, permissions })
}

fn check_signature<'a>(
    connect: &Connect,
    client_id: &ClientId,
    username: &Username,
    rules: &'a Rules,
) -> Result<&'a Credential, Refusal> {
    if username.mode != Mode::Signature {
        return Err(Refusal::Credential(format!("mode {} is not available", username.mode.as_str())));
    }
    let credential = rules
        .credentials
        .get(&username.access_key)
        .ok_or_else(|| Refusal::Credential("no such access key".to_owned()))?;
    let password = connect.password.as_deref().unwrap_or_default();
    if !is_signature(password, &credential.secret, client_id) {
        return Err(Refusal::WrongPassword);
    }
    Ok(credential)
}

fn is_signature(password: &str, secret: &Secret, client_id: &ClientId) -> bool {
    let expected = signature_password(secret.reveal(), client_id.as_str());
    password.as_bytes().ct_eq(expected.as_bytes()).into()
}

/// Standard profile: `assigned` is the client ID for a client that sends none, which it may with a clean session.
pub fn admit_standard(connect: &Connect, assigned: &str) -> Result<Admitted, Refusal> {
    let client_id = match connect.client_id.as_str() {
        // MQTT 5 tells the client what it was assigned, so its session can outlive the connection.
        "" if connect.clean_start || connect.version == Version::V5 => assigned.to_owned(),
        "" => return Err(Refusal::ClientId("empty, and the session is not clean [MQTT-3.1.3-8]".to_owned())),
        given if given.len() > STANDARD_CLIENT_ID_BYTES_MAX => {
            return Err(Refusal::ClientId(format!("longer than {STANDARD_CLIENT_ID_BYTES_MAX} octets")));
        }
        given => given.to_owned(),
    };
    if let Some(Will { topic, .. }) = &connect.will {
        check_standard_topic(topic).map_err(Refusal::Will)?;
    }
    Ok(Admitted { client_id, access_key: String::new(), permissions: Permissions::unlimited() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Qos;
    use crate::rules::{Actions, Grant};

    fn rules() -> Rules {
        let credential = Credential {
            secret: Secret::new("s3cret"),
            groups: Some(["GID_RTC_APP".parse().unwrap(), "GID_GONE_X".parse().unwrap()].into()),
            allow: vec![Grant { topic: "rtc-up/{device}".parse().unwrap(), actions: Actions::W }],
        };
        Rules {
            groups: ["GID_RTC_APP".parse().unwrap(), "GID_OTHER".parse().unwrap()].into(),
            topics: ["rtc-up".parse().unwrap()].into(),
            credentials: [("AK1".to_owned(), credential)].into(),
        }
    }

    fn connect(client_id: &str, username: &str, secret: &str) -> Connect {
        Connect {
            client_id: client_id.to_owned(),
            clean_start: true,
            keep_alive: 60,
            username: Some(username.to_owned()),
            password: Some(signature_password(secret, client_id)),
            ..Connect::default()
        }
    }

    fn outcome(connect: &Connect) -> String {
        match admit(connect, Some(&rules())) {
            Ok(admitted) => format!("0 {}", admitted.client_id),
            Err(refusal) => format!("{} {refusal}", refusal.code()),
        }
    }

    #[test]
    fn the_checks_and_their_codes() {
        let user = "Signature|AK1|mqtt-demo";
        let plain = |id: &str| outcome(&connect(id, user, "s3cret"));
        insta::assert_snapshot!(plain("GID_RTC_APP@@@alice-1"), @"0 GID_RTC_APP@@@alice-1");
        insta::assert_snapshot!(plain("alice"), @"2 client ID: client ID `alice` is not <GroupID>@@@<DeviceID>");
        insta::assert_snapshot!(plain(""), @"2 client ID: client ID is empty");
        insta::assert_snapshot!(plain("GID_GONE_X@@@a"), @"2 group `GID_GONE_X` does not exist in the instance");
        insta::assert_snapshot!(plain("GID_OTHER@@@a"), @"5 the access key does not sign for group `GID_OTHER`");
        let id = "GID_RTC_APP@@@alice-1";
        insta::assert_snapshot!(outcome(&connect(id, user, "wrong")), @"4 the password does not match the credential");
        insta::assert_snapshot!(outcome(&connect(id, "Signature|AK9|mqtt-demo", "s3cret")), @"4 credential: no such access key");
        insta::assert_snapshot!(outcome(&connect(id, "alice", "s3cret")), @"4 credential: username is not <mode>|<AccessKey>|<InstanceId>");
        insta::assert_snapshot!(outcome(&connect(id, "Token|AK1|mqtt-demo", "s3cret")), @"4 credential: mode Token is not available");
        let no_instance = admit(&connect(id, user, "s3cret"), None).unwrap_err();
        insta::assert_snapshot!(no_instance, @"credential: no such instance");
    }

    #[test]
    fn a_will_needs_a_grant() {
        let will =
            |topic: &str| Some(Will { topic: topic.to_owned(), qos: Qos::AtLeastOnce, ..Will::default() });
        let mut with_will = connect("GID_RTC_APP@@@alice-1", "Signature|AK1|mqtt-demo", "s3cret");
        with_will.will = will("rtc-up/alice-1");
        assert!(outcome(&with_will).starts_with('0'));
        with_will.will = will("rtc-up/bob-1");
        assert_eq!(outcome(&with_will), "5 will");
    }

    #[test]
    fn the_standard_profile_assigns_client_ids_to_clean_sessions_only() {
        let mut anonymous = connect("", "", "");
        assert_eq!(admit_standard(&anonymous, "auto-1").unwrap().client_id, "auto-1");
        anonymous.clean_start = false;
        assert_eq!(admit_standard(&anonymous, "auto-1").unwrap_err().code(), 2);
    }
}
