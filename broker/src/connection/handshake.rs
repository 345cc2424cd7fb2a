//! CONNECT to CONNACK.
//!
//! ```text
//! CONNECT ─▶ lock-out, admit ─▶ limits ─▶ claim the client ID ─▶ session on disk ─▶ CONNACK 0, then what waits
//!              └ 2 4 5   └ 3        └ 2 (deny: after probing the holder)
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use service_kit::lockout::Locked;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tracing::{debug, info};

use super::tell::tell_refused;
use super::{Peer, TOPIC_ALIAS_MAX};
use crate::access::Asked;
use crate::admission::{Admitted, Refusal, code};
use crate::broker::Broker;
use crate::client::{Client, CloseReason, Link, Waits};
use crate::codec::answer::{self, ConnackProperties};
use crate::codec::{Connect, Version, reason};
use crate::config::DuplicateClient;
use crate::dialect::Dialect;
use crate::history::What;
use crate::instance::Instance;
use crate::outbox::Outbox;
use crate::refusals::{Refused, shortened};
use crate::rows::{self, KeptWill};
use crate::rules::{Profile, PublishRefusal};
use crate::store::tables::{RowChange, Table};
use crate::store::{Epoch, NotDurable, StoreFailed};
use crate::sync::locked;
use crate::system::StatusKind;

/// Largest CONNECT, in octets.
pub const CONNECT_BYTES_MAX: usize = 16 * 1024;
/// How long CONNECT may take to arrive, in seconds.
pub const CONNECT_SECS_MAX: u64 = 10;

/// How long a credential may take to be judged, in seconds.
const AUTHENTICATE_SECS_MAX: u64 = 10;
/// Of an authentication method, in logs and answers.
const AUTH_METHOD_CHARS_SHOWN: usize = 40;

/// Where a connection comes from and how it writes.
#[derive(Clone, Debug)]
pub struct Origin {
    /// From where.
    pub peer: SocketAddr,
    /// For writing from any task; `None` when only its own task can write.
    pub socket: Option<Arc<TcpStream>>,
}

/// Somebody who may come in.
#[derive(Clone, Copy)]
struct Newcomer<'a> {
    connect: &'a Connect,
    admitted: &'a Admitted,
    origin: &'a Origin,
}

/// A client ID that is ours until the connection ends.
struct Claim {
    client: Arc<Client>,
    link_id: u64,
    wake: Arc<Notify>,
}

/// Why a handshake ended without a connection.
#[derive(Debug)]
pub enum HandshakeError {
    /// CONNACK with this code was or is to be sent.
    Refused(Refusal),
    /// The store has failed; no answer is possible.
    Store(StoreFailed),
}

/// Everything between CONNECT and CONNACK 0. On success CONNACK is in the outbox and the peer is open.
pub async fn handshake(
    broker: &Arc<Broker>,
    connect: &Connect,
    origin: Origin,
) -> Result<Peer, HandshakeError> {
    let refused = |refusal| connection_refused(broker, connect, &origin, refusal);
    let withdrawals = broker.withdrawals();
    let (instance, admitted) = admit(broker, connect, &origin).await.map_err(refused)?;
    let welcome = welcome(broker, connect, &admitted).map_err(refused)?;
    let needs_store = needs_store(broker, &instance, connect, &admitted);
    if needs_store && broker.store.is_refusing() {
        return Err(refused(Refusal::DiskFull));
    }
    let newcomer = Newcomer { connect, admitted: &admitted, origin: &origin };
    let claim = claim(broker, &instance, newcomer).await.map_err(refused)?;
    // From here on a withdrawal finds the connection. One before may be of what this client was judged by: it may
    // sign in again and is judged anew.
    let is_stale = broker.withdrawals() != withdrawals;
    let kept_will = kept_will(connect, &admitted);
    let (session_present, rows, mut epoch) = prepare(broker, &instance, connect, kept_will.as_ref(), &claim);
    if (needs_store || connect.is_persistent()) && !rows.is_empty() {
        epoch = broker.store.submit_rows(rows, None);
    } else {
        // The first row of a clean client promises nothing.
        broker.store.note_rows(rows);
    }
    let mut peer = Peer {
        broker: broker.clone(),
        instance,
        client: claim.client,
        link_id: claim.link_id,
        version: connect.version,
        clean: !connect.is_persistent(),
        permissions: Arc::new(admitted.permissions),
        address: origin.peer,
        wake: claim.wake,
        will: None,
        retained_due: BTreeMap::new(),
        approved: None,
        aliases: BTreeMap::new(),
    };
    peer.will = kept_will.map(Box::new);
    match broker.store.durable(epoch).await {
        Ok(()) => {}
        Err(NotDurable::DiskFull) => {
            peer.release(broker.clock.now(), CloseReason::DisconnectedByClient);
            return Err(refused(Refusal::DiskFull));
        }
        // The client ID stays claimed: the broker stops anyway.
        Err(NotDurable::Failed(failed)) => return Err(HandshakeError::Store(failed)),
    }
    peer.open(session_present, &origin, &welcome);
    if is_stale {
        peer.with_link(|_, link| link.close(CloseReason::ClosedByAdmin));
    }
    peer.tell_status(StatusKind::Connect);
    Ok(peer)
}

/// Whether CONNACK promises something that must be on disk first.
fn needs_store(broker: &Broker, instance: &Instance, connect: &Connect, admitted: &Admitted) -> bool {
    let session = instance.clients.find(&admitted.client_id).filter(|client| client.is_persistent());
    let Some(client) = session else { return connect.will.is_some() || connect.is_persistent() };
    let goes_on = !connect.clean_start && connect.is_persistent();
    let as_long = locked(&client.state).expiry_secs == granted_expiry_secs(broker, connect);
    connect.will.is_some() || !goes_on || !as_long
}

fn kept_will(connect: &Connect, admitted: &Admitted) -> Option<KeptWill> {
    let will = connect.will.clone()?;
    let signer = admitted.signer.clone();
    Some(KeptWill { will, signer, clean: !connect.is_persistent(), due: None })
}

/// What CONNACK of MQTT 5 says: where the broker differs from what the client asked or may assume. A client that does
/// not take it is not let in.
fn welcome(broker: &Broker, connect: &Connect, admitted: &Admitted) -> Result<ConnackProperties, Refusal> {
    let config = &broker.config;
    let granted = granted_expiry_secs(broker, connect);
    let wanted = u32::from(connect.keep_alive);
    let keep_alive_max = config.keep_alive_secs_max();
    let too_long = keep_alive_max > 0 && (wanted == 0 || wanted > u32::from(keep_alive_max));
    let properties = ConnackProperties {
        session_expiry_secs: Some(granted).filter(|granted| *granted != connect.session_expiry_secs),
        receive_max: u16::try_from(config.session_limits().receiving_max).ok(),
        packet_bytes_max: u32::try_from(config.packet_bytes_max()).ok(),
        assigned_client_id: connect.client_id.is_empty().then(|| admitted.client_id.clone()),
        topic_alias_max: Some(TOPIC_ALIAS_MAX),
        keep_alive: too_long.then_some(keep_alive_max),
        reason_string: None,
    };
    match answer::connack_v5(false, reason::SUCCESS, &properties, connect.limits) {
        Some(_) => Ok(properties),
        None => Err(Refusal::PacketBytesMax(connect.limits.packet_bytes_max)),
    }
}

/// No session outlives its connection for longer than the broker keeps one that nobody uses.
fn granted_expiry_secs(broker: &Broker, connect: &Connect) -> u32 {
    connect.session_expiry_secs.min(broker.session_secs_max())
}

pub(super) fn code_of(refusal: &Refusal, version: Version) -> u8 {
    match version {
        Version::V4 => refusal.code(),
        Version::V5 => refusal.code_v5(),
    }
}

fn connection_refused(
    broker: &Broker,
    connect: &Connect,
    origin: &Origin,
    refusal: Refusal,
) -> HandshakeError {
    let reason = refusal.reason();
    broker.metrics.connection_refused(reason);
    tell_refused(broker, connect, origin, &refusal);
    if broker.logs_refusal(Refused::Connect, reason) {
        let (id, code) = (shortened(&connect.client_id), code_of(&refusal, connect.version));
        info!(client.id = id, peer = %origin.peer, code, reason, %refusal, "connection refused");
    }
    HandshakeError::Refused(refusal)
}

async fn admit(
    broker: &Broker,
    connect: &Connect,
    origin: &Origin,
) -> Result<(Arc<Instance>, Admitted), Refusal> {
    let admitted = authenticate(broker, connect, origin).await?;
    if let Some(method) = &connect.auth_method {
        return Err(Refusal::AuthMethod(method.chars().take(AUTH_METHOD_CHARS_SHOWN).collect()));
    }
    let will_bytes = connect.will.as_ref().map_or(0, |will| will.payload.len());
    if will_bytes > broker.config.payload_bytes_max() {
        return Err(Refusal::Will(PublishRefusal::PayloadTooLarge(will_bytes)));
    }
    let instance = broker.find_instance(&admitted.instance);
    let instance = instance.ok_or_else(|| Refusal::Credential("no such instance".to_owned()))?;
    let max = broker.config.limits.connections_max;
    if instance.connections.load(Ordering::Relaxed) >= max {
        return Err(Refusal::Connections(max));
    }
    Ok((instance, admitted))
}

async fn authenticate(broker: &Broker, connect: &Connect, origin: &Origin) -> Result<Admitted, Refusal> {
    let (address, now) = (origin.peer.ip(), broker.clock.now());
    let locked_out = |_: Locked| Refusal::LockedOut;
    broker.check_locked(address, &connect.client_id, now).map_err(locked_out)?;
    let asked = Asked { connect, peer: origin.peer, now };
    let outcome = tokio::select! {
        biased;
        outcome = broker.authenticator.authenticate(broker, asked) => outcome,
        () = broker.clock.sleep(Duration::from_secs(AUTHENTICATE_SECS_MAX)) => {
            Err(Refusal::Unavailable(format!("no answer within {AUTHENTICATE_SECS_MAX} seconds")))
        }
    };
    // Others of the pair may have been judged meanwhile.
    match &outcome {
        Err(refusal) if refusal.counts_for_lockout() => {
            broker.credential_failed(address, &connect.client_id, now).map_err(locked_out)?;
        }
        Err(_) => {}
        Ok(_) => broker.credential_proved(address, &connect.client_id, now).map_err(locked_out)?,
    }
    outcome
}

/// Makes the client ID ours: at once when nobody has it, otherwise as `--duplicate-client` says.
async fn claim(broker: &Broker, instance: &Arc<Instance>, newcomer: Newcomer<'_>) -> Result<Claim, Refusal> {
    let now = broker.clock.now();
    let deadline = now.plus(broker.config.duplicate_probe());
    loop {
        // Looked up anew each time: a client without a row is forgotten when its connection ends.
        let client = broker.client(instance, &newcomer.admitted.client_id, now);
        let freed = client.freed.notified();
        tokio::pin!(freed);
        freed.as_mut().enable();
        broker.end_if_expired(instance, &client, broker.clock.now());
        broker.drop_old(&client, broker.clock.now());
        if let Some(claim) = try_claim(broker, instance, &client, newcomer) {
            return Ok(claim);
        }
        disturb_holder(broker, &client);
        tokio::select! {
            () = &mut freed => {}
            () = broker.clock.sleep_until(deadline) => return Err(Refusal::Duplicate),
        }
    }
}

fn try_claim(
    broker: &Broker,
    instance: &Instance,
    client: &Arc<Client>,
    newcomer: Newcomer<'_>,
) -> Option<Claim> {
    let Newcomer { connect, admitted, origin } = newcomer;
    let mut state = locked(&client.state);
    let is_current = instance.clients.find(&client.id).is_some_and(|current| Arc::ptr_eq(&current, client));
    if state.link.is_some() || state.is_forgotten || !is_current {
        return None;
    }
    let wake = Arc::new(Notify::new());
    let link_id = broker.new_link_id();
    state.link = Some(Link {
        id: link_id,
        open: false,
        out: Outbox::new(Dialect::new(connect.version, connect.limits)),
        due: std::collections::VecDeque::new(),
        socket: None,
        blocked: false,
        held: false,
        has_will: connect.will.is_some(),
        waits: Waits::new(broker.metrics.timings.outbox()),
        wake: wake.clone(),
        closing: None,
        probe: false,
        clean: !connect.is_persistent(),
        permissions: Arc::new(admitted.permissions.clone()),
        peer: origin.peer,
        since: broker.clock.now(),
        checks_live: false,
        signer: admitted.signer.clone(),
        keep_alive_ms: i64::from(keep_alive_secs(broker, connect)) * 1000,
    });
    instance.connections.fetch_add(1, Ordering::Relaxed);
    Some(Claim { client: client.clone(), link_id, wake })
}

/// Takeover ends the holder; deny finds out whether it is still there.
fn disturb_holder(broker: &Broker, client: &Client) {
    let mut state = locked(&client.state);
    let Some(link) = state.link.as_mut() else { return };
    match broker.config.duplicates() {
        DuplicateClient::Takeover => link.close(CloseReason::TakenOver),
        DuplicateClient::Deny => {
            link.probe = true;
            link.wake.notify_one();
        }
    }
}

/// MQTT 5 clients are told when it is not theirs; those of 3.1.1 cannot be told.
fn keep_alive_secs(broker: &Broker, connect: &Connect) -> u16 {
    match (connect.version, broker.config.keep_alive_secs_max(), connect.keep_alive) {
        (Version::V4, _, wanted) | (Version::V5, 0, wanted) => wanted,
        (Version::V5, max, 0) => max,
        (Version::V5, max, wanted) => wanted.min(max),
    }
}

/// Brings session, mailbox and will into the state that CONNACK promises; whether there was a session, the rows
/// that say so, and a batch that must be durable first.
fn prepare(
    broker: &Broker,
    instance: &Instance,
    connect: &Connect,
    will: Option<&KeptWill>,
    claim: &Claim,
) -> (bool, Vec<RowChange>, Epoch) {
    let client = &claim.client;
    let had_session = client.is_persistent();
    let mut rows = Vec::new();
    let mut epoch = Epoch::PAST;
    let mut state = locked(&client.state);
    let waiting_will = state.pending_will.take();
    if connect.clean_start && had_session {
        (rows, epoch) = broker.end_session(instance, client, &mut state);
    } else if had_session && !connect.is_persistent() {
        // It goes on, and ends with this connection: nothing of it is to be found after a crash.
        let filters = state.session.subscriptions.keys();
        rows.extend(filters.map(|filter| rows::delete_subscription(client.key, filter)));
        epoch = broker.store.submit_forget(client.key);
    }
    client.set_persistent(connect.is_persistent());
    let expiry_secs = granted_expiry_secs(broker, connect);
    let row_changes =
        !state.has_row || had_session != connect.is_persistent() || state.expiry_secs != expiry_secs;
    state.expiry_secs = expiry_secs;
    // Standard profile: a clean client has no mailbox and leaves nothing behind.
    let needs_row = connect.is_persistent() || broker.config.profile == Profile::Strict || will.is_some();
    if needs_row && row_changes {
        state.has_row = true;
        rows.push(broker.client_row(instance, client, &state, broker.clock.now()).put(client.key));
    } else if !needs_row && state.has_row && state.session.stored_count() == 0 {
        state.has_row = false;
        rows.push(RowChange::delete(Table::Clients, client.key.to_be_bytes().to_vec()));
    }
    match will {
        Some(will) => rows.push(rows::put_will(client.key, will)),
        None if waiting_will.is_some() => rows.push(rows::delete_will(client.key)),
        None => {}
    }
    drop(state);
    // A clean start ends the session the will belongs to; otherwise the client is back in time.
    if let Some(will) = waiting_will.filter(|_| connect.clean_start) {
        broker.fire_will(instance, client, &will);
    }
    (had_session && !connect.clean_start, rows, epoch)
}

impl Peer {
    /// CONNACK, then what was under way, then what waits.
    fn open(&self, session_present: bool, origin: &Origin, welcome: &ConnackProperties) {
        self.client.heard(self.broker.clock.now());
        locked(&self.client.state).judge_subscriptions();
        self.with_link(|session, link| {
            link.open = true;
            self.client.set_open(true);
            link.socket.clone_from(&origin.socket);
            match self.version {
                Version::V4 => link.out.put(&answer::connack_v4(session_present, code::ACCEPTED)),
                Version::V5 => {
                    let limits = link.out.dialect.limits();
                    // It was judged before the client was let in.
                    if let Some(octets) =
                        answer::connack_v5(session_present, reason::SUCCESS, welcome, limits)
                    {
                        link.out.put(&octets);
                    }
                }
            }
            session.resume(&mut link.out);
            self.broker.pump(&self.client, session, link);
        });
        self.broker.metrics.connection_opened();
        self.tell_connected(session_present);
        self.note_history(What::Connected(self.version.as_str()));
        debug!(client.id = %self.client.id, peer = %origin.peer, session_present, clean = self.clean, "connected");
    }
}
