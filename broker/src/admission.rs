//! ● The checks at CONNECT, in their order.
//!
//! ```text
//! protocol level ─▶ client ID ─▶ credential ─▶ group ─▶ will ─▶ limits ─▶ duplicate
//!       1               2          4 · 5        2 · 5    5       3         2
//! ```
//! A credential is a signature of an access key, tokens, or the signature of one device's own key.
//! The numbers are CONNACK return codes (MQTT 3.1.1 table 3.1). The codec has checked the level already; limits and
//! duplicates need the live broker and are checked by `connection/handshake.rs`.

use service_kit::config::Secret;
use subtle::ConstantTimeEq;
use wire::credential::{Mode, Username, signature_password};
use wire::topic::Lengths;
use wire::{ClientId, InstanceId, Timestamp};

use crate::codec::answer::{self, ConnackProperties};
use crate::codec::{Connect, Version, Will, reason};
use crate::devices::Devices;
use crate::permissions::Permissions;
use crate::rules::{Credential, Grant, PublishRefusal, Rules, check_standard_topic};
use crate::signer::{Held, Signer};
use crate::tokens::{self, TokenFault, Tokens};

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

/// The one instance of the standard profile.
pub const STANDARD_INSTANCE: &str = "standard";

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
    /// What is wrong with one of the tokens.
    #[error("{0}")]
    Token(TokenFault),
    /// The credential is right, but not for this client.
    #[error("not authorized: {0}")]
    Denied(String),
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
    /// Whoever judges the credential cannot be asked.
    #[error("the credential cannot be judged: {0}")]
    Unavailable(String),
    /// Too many failures from this address with this client ID.
    #[error("locked out after repeated failures")]
    LockedOut,
    /// Somebody alive has the client ID.
    #[error("clientId conflict")]
    Duplicate,
    /// Enhanced authentication (MQTT 5 section 4.12).
    #[error("authentication method `{0}` is not available; sign in with username and password")]
    AuthMethod(String),
    /// It takes no packet so large as CONNACK 0 (MQTT 5).
    #[error("CONNACK is larger than the {0} octets that the client takes")]
    PacketBytesMax(u32),
}

impl Refusal {
    /// The CONNACK return code.
    pub fn code(&self) -> u8 {
        match self {
            Refusal::ClientId(_) | Refusal::UnknownGroup(_) | Refusal::Duplicate => code::CLIENT_ID,
            Refusal::Token(TokenFault::NoRight)
            | Refusal::OtherGroup(_)
            | Refusal::Denied(_)
            | Refusal::Will(_)
            | Refusal::LockedOut
            | Refusal::AuthMethod(_) => code::NOT_AUTHORIZED,
            Refusal::Credential(_) | Refusal::WrongPassword | Refusal::Token(_) => code::BAD_CREDENTIAL,
            Refusal::Connections(_)
            | Refusal::DiskFull
            | Refusal::Unavailable(_)
            | Refusal::PacketBytesMax(_) => code::UNAVAILABLE,
        }
    }

    /// The reason code of MQTT 5 (table 3-1).
    pub fn code_v5(&self) -> u8 {
        match self {
            Refusal::ClientId(_) | Refusal::UnknownGroup(_) | Refusal::Duplicate => reason::CLIENT_ID_INVALID,
            Refusal::Token(TokenFault::NoRight)
            | Refusal::OtherGroup(_)
            | Refusal::Denied(_)
            | Refusal::LockedOut => reason::NOT_AUTHORIZED,
            Refusal::Credential(_) | Refusal::WrongPassword | Refusal::Token(_) => reason::BAD_CREDENTIALS,
            Refusal::Unavailable(_) => reason::SERVER_UNAVAILABLE,
            Refusal::Will(refusal) => refusal.code(),
            Refusal::Connections(_) | Refusal::DiskFull => reason::QUOTA_EXCEEDED,
            Refusal::AuthMethod(_) => reason::BAD_AUTH_METHOD,
            Refusal::PacketBytesMax(_) => reason::IMPLEMENTATION_SPECIFIC,
        }
    }

    /// CONNACK in the version of the one who asked; nothing when it takes none so large.
    pub fn connack(&self, connect: &Connect) -> Vec<u8> {
        match connect.version {
            Version::V4 => answer::connack_v4(false, self.code()).to_vec(),
            Version::V5 => {
                let reason_string = Some(self.to_string());
                let properties = ConnackProperties { reason_string, ..ConnackProperties::default() };
                let packet = answer::connack_v5(false, self.code_v5(), &properties, connect.limits);
                packet.map_or_else(Vec::new, |octets| octets.to_vec())
            }
        }
    }

    /// For metrics: a word per reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::ClientId(_) => "client_id",
            Refusal::Credential(_) => "credential",
            Refusal::WrongPassword => "password",
            Refusal::Token(fault) => fault.as_str(),
            Refusal::Denied(_) => "denied",
            Refusal::Unavailable(_) => "unavailable",
            Refusal::UnknownGroup(_) => "group_unknown",
            Refusal::OtherGroup(_) => "group_not_allowed",
            Refusal::Will(_) => "will",
            Refusal::Connections(_) => "connections",
            Refusal::DiskFull => "disk_full",
            Refusal::LockedOut => "locked_out",
            Refusal::Duplicate => "client_id_conflict",
            Refusal::AuthMethod(_) => "auth_method",
            Refusal::PacketBytesMax(_) => "packet_bytes_max",
        }
    }

    /// Whether repeating it should lead to a lock-out: only what a guesser of passwords would cause.
    pub fn counts_for_lockout(&self) -> bool {
        matches!(self, Refusal::WrongPassword | Refusal::Token(TokenFault::Secret))
    }
}

/// A client that has proved who it is.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// In which instance it is.
    pub instance: String,
    /// Its client ID.
    pub client_id: String,
    /// By what it signed in.
    pub signer: Signer,
    /// What it may do.
    pub permissions: Permissions,
}

/// Which instance a CONNECT is for, read from its username before anything is looked up.
pub fn instance_of(connect: &Connect, lengths: Lengths) -> Result<InstanceId, Refusal> {
    check_client_id(&connect.client_id, lengths)?;
    Ok(read_username(connect)?.instance)
}

fn check_client_id(text: &str, lengths: Lengths) -> Result<ClientId, Refusal> {
    let parsed = ClientId::within(text, lengths.client_id_chars_max);
    parsed.map_err(|error| Refusal::ClientId(error.to_string()))
}

fn read_username(connect: &Connect) -> Result<Username, Refusal> {
    let text = connect.username.as_deref().ok_or_else(|| Refusal::Credential("no username".to_owned()))?;
    text.parse().map_err(|error: wire::credential::ParseUsernameError| Refusal::Credential(error.to_string()))
}

/// What an instance knows when somebody signs in.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// What is laid down.
    pub rules: &'a Rules,
    /// Its tokens.
    pub tokens: &'a Tokens,
    /// Its device credentials.
    pub devices: &'a Devices,
    /// The present.
    pub now: Timestamp,
}

/// A credential that is right.
struct Proof<'a> {
    /// Of the access key behind it.
    credential: &'a Credential,
    /// What it allows, when that is not what the access key is granted.
    grants: Option<Vec<Grant>>,
    signer: Signer,
}

/// Strict profile; `ground` is that of the instance the username names, `None` when there is none.
pub fn admit(connect: &Connect, lengths: Lengths, ground: Option<Ground<'_>>) -> Result<Admitted, Refusal> {
    let client_id = check_client_id(&connect.client_id, lengths)?;
    let username = read_username(connect)?;
    let ground = ground.ok_or_else(|| Refusal::Credential("no such instance".to_owned()))?;
    let password = connect.password.as_deref().unwrap_or_default();
    let proof = match username.mode {
        Mode::Signature => check_signature(password, &client_id, &username, ground)?,
        Mode::Token => check_tokens(password, &username, ground)?,
        Mode::DeviceCredential => check_device(password, &client_id, &username, ground)?,
    };
    let (rules, group) = (ground.rules, client_id.group());
    if !rules.groups.contains(&group) {
        return Err(Refusal::UnknownGroup(group.to_string()));
    }
    if proof.credential.groups.as_ref().is_some_and(|groups| !groups.contains(&group)) {
        return Err(Refusal::OtherGroup(group.to_string()));
    }
    let grants = proof.grants.as_deref().unwrap_or(&proof.credential.allow);
    let permissions = Permissions::of(grants, &client_id.device());
    if let Some(will) = &connect.will {
        rules.check_publish(&will.topic, &permissions, lengths).map_err(Refusal::Will)?;
    }
    let instance = username.instance.as_str().to_owned();
    Ok(Admitted { instance, client_id: client_id.into(), signer: proof.signer, permissions })
}

fn no_access_key() -> Refusal {
    Refusal::Credential("no such access key".to_owned())
}

fn check_signature<'a>(
    password: &str,
    client_id: &ClientId,
    username: &Username,
    ground: Ground<'a>,
) -> Result<Proof<'a>, Refusal> {
    let credential = ground.rules.credentials.get(&username.access_key).ok_or_else(no_access_key)?;
    if !is_signature(password, &credential.secret, client_id) {
        return Err(Refusal::WrongPassword);
    }
    Ok(Proof { credential, grants: None, signer: Signer::AccessKey(username.access_key.clone()) })
}

/// Every one of them must be good; together their topics take the place of what the access key is granted.
fn check_tokens<'a>(password: &str, username: &Username, ground: Ground<'a>) -> Result<Proof<'a>, Refusal> {
    let access_key = &username.access_key;
    let credential = ground.rules.credentials.get(access_key).ok_or_else(no_access_key)?;
    let shape = || {
        let shape = "a password of tokens is <type>|<token>, one of R, W and RW each at most, joined by |";
        Refusal::Credential(shape.to_owned())
    };
    let mut grants = Vec::new();
    let mut held = Vec::new();
    for (actions, presented) in tokens::read_password(password).ok_or_else(shape)? {
        let checked = ground.tokens.check(presented, actions, access_key, ground.now);
        let (id, token) = checked.map_err(Refusal::Token)?;
        grants.extend(token.grants());
        held.push(Held { actions, id: id.to_owned(), expires: token.expires, noticed: false });
    }
    let signer = Signer::Tokens { access_key: access_key.clone(), held };
    Ok(Proof { credential, grants: Some(grants), signer })
}

/// The secret is judged before the client ID: only who has it is told that it is another's.
fn check_device<'a>(
    password: &str,
    client_id: &ClientId,
    username: &Username,
    ground: Ground<'a>,
) -> Result<Proof<'a>, Refusal> {
    let key_id = &username.access_key;
    let found = ground.devices.find_by_key(key_id);
    let (owner, device) = found.ok_or_else(|| Refusal::Credential("no such device credential".to_owned()))?;
    if !is_signature(password, &device.secret, client_id) {
        return Err(Refusal::WrongPassword);
    }
    if owner != client_id {
        return Err(Refusal::Denied("the device credential is bound to another client ID".to_owned()));
    }
    let credential = ground.rules.credentials.get(&device.access_key).ok_or_else(no_access_key)?;
    let signer = Signer::Device { access_key: device.access_key.clone(), key_id: key_id.clone() };
    Ok(Proof { credential, grants: None, signer })
}

fn is_signature(password: &str, secret: &Secret, client_id: &ClientId) -> bool {
    let expected = signature_password(secret.reveal(), client_id.as_str());
    password.as_bytes().ct_eq(expected.as_bytes()).into()
}

/// Bounds of the standard profile.
#[derive(Clone, Copy, Debug)]
pub struct StandardBounds {
    /// Longest client ID, in octets.
    pub client_id_bytes_max: usize,
    /// Levels of a topic.
    pub levels_max: usize,
}

/// Standard profile: `assigned` is the client ID for a client that sends none, which it may with a clean session.
pub fn admit_standard(
    connect: &Connect,
    assigned: &str,
    bounds: StandardBounds,
) -> Result<Admitted, Refusal> {
    let StandardBounds { client_id_bytes_max, levels_max } = bounds;
    let client_id = match connect.client_id.as_str() {
        // MQTT 5 tells the client what it was assigned, so its session can outlive the connection.
        "" if connect.clean_start || connect.version == Version::V5 => assigned.to_owned(),
        "" => return Err(Refusal::ClientId("empty, and the session is not clean [MQTT-3.1.3-8]".to_owned())),
        given if given.len() > client_id_bytes_max => {
            return Err(Refusal::ClientId(format!("longer than {client_id_bytes_max} octets")));
        }
        given => given.to_owned(),
    };
    let permissions = Permissions::unlimited();
    if let Some(Will { topic, .. }) = &connect.will {
        check_standard_topic(topic, &permissions, levels_max).map_err(Refusal::Will)?;
    }
    Ok(Admitted { instance: STANDARD_INSTANCE.to_owned(), client_id, signer: Signer::Nobody, permissions })
}

#[cfg(test)]
mod tests;
