//! CONNECT to CONNACK.
//!
//! ```text
//! CONNECT ─▶ admit ─▶ limits ─▶ claim the client ID ─▶ session on disk ─▶ CONNACK 0, then what waits
//!              └ 2 4 5   └ 3        └ 2 (deny: after probing the holder)
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::TcpStream;
use tokio::sync::Notify;
use tracing::{debug, info};
use wire::Timestamp;

use super::Peer;
use crate::admission::{self, Admitted, Refusal};
use crate::broker::{Broker, STANDARD_INSTANCE};
use crate::client::{Client, CloseReason, Link};
use crate::codec::{self, Connect};
use crate::config::DuplicateClient;
use crate::instance::Instance;
use crate::outbox::Outbox;
use crate::refusals::{Refused, shortened};
use crate::rows;
use crate::rules::Profile;
use crate::store::{Epoch, StoreFailed};
use crate::sync::{locked, write_locked};

/// Largest CONNECT, in octets.
pub const CONNECT_BYTES_MAX: usize = 16 * 1024;
/// How long CONNECT may take to arrive, in seconds.
pub const CONNECT_SECS_MAX: u64 = 10;

/// Where a connection comes from and how it writes.
#[derive(Clone, Debug)]
pub struct Origin {
    /// From where.
    pub peer: SocketAddr,
    /// For writing from any task; `None` when the transport has frames of its own.
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
    let (instance, admitted) = admit(broker, connect, &origin).map_err(refused)?;
    let newcomer = Newcomer { connect, admitted: &admitted, origin: &origin };
    let claim = claim(broker, &instance, newcomer).await.map_err(refused)?;
    let (session_present, epoch) = prepare(broker, &instance, connect, &admitted, &claim);
    let mut peer = Peer {
        broker: broker.clone(),
        instance,
        client: claim.client,
        link_id: claim.link_id,
        clean: connect.clean_session,
        permissions: Arc::new(admitted.permissions),
        wake: claim.wake,
        will: None,
        retained_due: Vec::new(),
        approved: None,
    };
    // Should the store fail, the client ID stays claimed: the broker stops anyway.
    broker.store.durable(epoch).await.map_err(HandshakeError::Store)?;
    peer.will.clone_from(&connect.will);
    peer.open(session_present, &origin);
    Ok(peer)
}

fn connection_refused(
    broker: &Broker,
    connect: &Connect,
    origin: &Origin,
    refusal: Refusal,
) -> HandshakeError {
    let reason = refusal.reason();
    broker.metrics.connection_refused(reason);
    if broker.logs_refusal(Refused::Connect, reason) {
        let (id, code) = (shortened(&connect.client_id), refusal.code());
        info!(client.id = id, peer = %origin.peer, code, reason, %refusal, "connection refused");
    }
    HandshakeError::Refused(refusal)
}

fn admit(broker: &Broker, connect: &Connect, origin: &Origin) -> Result<(Arc<Instance>, Admitted), Refusal> {
    let (instance, admitted) = match broker.config.profile {
        Profile::Standard => {
            let instance = broker.find_instance(STANDARD_INSTANCE);
            let assigned = format!("auto-{}", service_kit::random::new_id());
            (instance, admission::admit_standard(connect, &assigned)?)
        }
        Profile::Strict => {
            let instance = broker.find_instance(admission::instance_of(connect)?.as_str());
            let rules = instance.as_ref().map(|instance| instance.rules());
            let admitted = check_with_lockout(broker, connect, origin, rules.as_deref())?;
            (instance, admitted)
        }
    };
    let instance = instance.ok_or_else(|| Refusal::Credential("no such instance".to_owned()))?;
    let max = broker.config.limits.connections_max;
    if instance.connections.load(Ordering::Relaxed) >= max {
        return Err(Refusal::Connections(max));
    }
    Ok((instance, admitted))
}

fn check_with_lockout(
    broker: &Broker,
    connect: &Connect,
    origin: &Origin,
    rules: Option<&crate::rules::Rules>,
) -> Result<Admitted, Refusal> {
    let (address, now) = (origin.peer.ip(), broker.clock.now());
    if locked(&broker.lockout).is_locked(address, &connect.client_id, now) {
        return Err(Refusal::LockedOut);
    }
    let outcome = admission::admit(connect, rules);
    match &outcome {
        Err(refusal) if refusal.counts_for_lockout() => {
            locked(&broker.lockout).failed(address, &connect.client_id, now);
        }
        Err(_) => {}
        Ok(_) => locked(&broker.lockout).succeeded(address, &connect.client_id),
    }
    outcome
}

/// Makes the client ID ours: at once when nobody has it, otherwise as `--duplicate-client` says.
async fn claim(broker: &Broker, instance: &Instance, newcomer: Newcomer<'_>) -> Result<Claim, Refusal> {
    let now = broker.clock.now();
    let deadline = now.plus(broker.config.duplicate_probe());
    loop {
        // Looked up anew each time: a client without a row is forgotten when its connection ends.
        let client = broker.client(instance, &newcomer.admitted.client_id, now);
        let freed = client.freed.notified();
        tokio::pin!(freed);
        freed.as_mut().enable();
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
    if state.link.is_some() || !is_current {
        return None;
    }
    let wake = Arc::new(Notify::new());
    let link_id = broker.new_link_id();
    state.link = Some(Link {
        id: link_id,
        open: false,
        out: Outbox::default(),
        due: std::collections::VecDeque::new(),
        socket: None,
        blocked: false,
        wake: wake.clone(),
        closing: None,
        probe: false,
        clean: connect.clean_session,
        permissions: Arc::new(admitted.permissions.clone()),
        peer: origin.peer,
        since: broker.clock.now(),
        access_key: admitted.access_key.clone(),
        keep_alive_ms: i64::from(connect.keep_alive) * 1000,
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

/// Brings session, mailbox and will into the state that CONNACK promises; whether there was a session, and the batch
/// that must be durable first.
fn prepare(
    broker: &Broker,
    instance: &Instance,
    connect: &Connect,
    admitted: &Admitted,
    claim: &Claim,
) -> (bool, Epoch) {
    let client = &claim.client;
    let had_session = client.is_persistent();
    let mut rows = Vec::new();
    let mut epoch = Epoch::PAST;
    let mut state = locked(&client.state);
    if connect.clean_session && had_session {
        let filters: Vec<String> = state.session.subscriptions.keys().cloned().collect();
        rows.extend(filters.iter().map(|filter| rows::delete_subscription(client.key, filter)));
        broker.unsubscribe_all(instance, client, &filters);
        for stored in state.session.forget() {
            broker.store.done(client.key, stored);
        }
        epoch = broker.store.submit_forget(client.key);
    }
    client.set_persistent(!connect.clean_session);
    // Standard profile: a clean client has no mailbox and leaves nothing behind.
    let needs_row =
        !connect.clean_session || broker.config.profile == Profile::Strict || connect.will.is_some();
    let row_changes = !state.has_row || had_session == connect.clean_session;
    if needs_row && row_changes {
        state.has_row = true;
        rows.push(broker.client_row(instance, client, broker.clock.now()).put(client.key));
    } else if !needs_row && state.has_row && connect.clean_session && state.session.stored_count() == 0 {
        state.has_row = false;
        rows.push(crate::store::tables::RowChange::delete(
            crate::store::tables::Table::Clients,
            client.key.to_be_bytes().to_vec(),
        ));
    }
    if let Some(will) = &connect.will {
        rows.push(rows::put_will(client.key, will, &admitted.access_key, connect.clean_session));
    }
    drop(state);
    if !rows.is_empty() {
        epoch = broker.store.submit_rows(rows, None);
    }
    (had_session && !connect.clean_session, epoch)
}

impl Peer {
    /// CONNACK, then what was under way, then what waits.
    fn open(&self, session_present: bool, origin: &Origin) {
        self.client.heard(self.broker.clock.now());
        self.with_link(|session, link| {
            link.open = true;
            link.socket.clone_from(&origin.socket);
            link.out.put(&codec::connack(session_present, admission::code::ACCEPTED));
            session.resume(&mut link.out);
            self.broker.pump(&self.client, session, link);
        });
        self.broker.metrics.connection_opened();
        debug!(client.id = %self.client.id, peer = %origin.peer, session_present, clean = self.clean, "connected");
    }
}

impl Broker {
    /// Removes subscriptions of a client from the trie.
    pub fn unsubscribe_all(&self, instance: &Instance, client: &Client, filters: &[String]) {
        let mut subscriptions = write_locked(&instance.subscriptions);
        for filter in filters {
            subscriptions.remove(filter, client.key);
        }
    }

    /// A client as its row says.
    pub fn client_row(&self, instance: &Instance, client: &Client, seen: Timestamp) -> rows::ClientRow {
        rows::ClientRow {
            instance: instance.id.clone(),
            id: client.id.to_string(),
            persistent: client.is_persistent(),
            seen,
        }
    }
}
