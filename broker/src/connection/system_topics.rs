//! The broker's own topics, as one client meets them: a new token on a live connection, and what it is told about it.
//!
//! ```text
//! PUBLISH $SYS/uploadToken ─▶ good: rights and will follow it, PUBACK when that is on disk
//!                          └▶ bad: $SYS/tokenInvalidNotice, the connection ends
//! ```

use std::sync::Arc;

use tracing::info;
use wire::Timestamp;

use super::{Acks, Peer, due};
use crate::client::CloseReason;
use crate::codec::IncomingPublish;
use crate::codec::answer::{Ack, AckKind};
use crate::credentials;
use crate::message::Qos;
use crate::names::known_client_id;
use crate::permissions::Permissions;
use crate::refusals::Refused;
use crate::rows;
use crate::rules::{Actions, PublishRefusal};
use crate::signer::{Held, Signer};
use crate::status::Channel;
use crate::store::Epoch;
use crate::sync::{locked, read_locked};
use crate::system::{self, StatusKind, TOKEN_INVALID_NOTICE, Upload};
use crate::token_watch::{Notice, tell};
use crate::tokens::TokenFault;

impl Peer {
    /// Tells those who are subscribed what happens to this connection.
    pub(super) fn tell_status(&self, kind: StatusKind) {
        let channel = Channel { client_id: &self.client.id, id: self.link_id, address: self.address };
        self.broker.tell_status(&self.instance, channel, kind);
    }

    /// Whether the client signed in by tokens.
    pub(super) fn takes_uploads(&self) -> bool {
        self.with_link(|_, link| matches!(link.signer, Signer::Tokens { .. })).unwrap_or(false)
    }

    /// A new token. The old one of its type is not needed any more.
    pub(super) fn on_upload(
        &mut self,
        publish: &IncomingPublish<'_>,
        now: Timestamp,
        acks: &mut Acks,
    ) -> Result<(), CloseReason> {
        if publish.qos == Qos::AtLeastOnce && self.broker.store.is_refusing() {
            // PUBACK would say that it is on disk.
            return self.not_stored(system::UPLOAD_TOKEN, publish, acks);
        }
        let upload = system::read_upload(publish.payload);
        let actions = upload.as_ref().map(|upload| upload.r#type);
        let taken = upload.ok_or(TokenFault::Forged).and_then(|upload| self.take_token(&upload, now));
        match taken {
            Ok(epoch) => {
                self.broker.metrics.credentials.token_uploaded();
                if publish.qos == Qos::AtLeastOnce {
                    acks.push(due(epoch, Ack::success(AckKind::PubAck, publish.packet_id)));
                }
                Ok(())
            }
            Err(fault) => Err(self.upload_refused(fault, actions)),
        }
    }

    fn take_token(&mut self, upload: &Upload, now: Timestamp) -> Result<Epoch, TokenFault> {
        let instance = self.instance.clone();
        // Held until the connection knows its new token, so that a revocation finds it there.
        let tokens = read_locked(&instance.tokens);
        let mut state = locked(&self.client.state);
        let link = state.link.as_mut().filter(|link| link.id == self.link_id).ok_or(TokenFault::NoRight)?;
        let access_key = link.signer.access_key().unwrap_or_default();
        let (id, token) = tokens.check(&upload.token, upload.r#type, access_key, now)?;
        link.signer.renew(Held {
            actions: upload.r#type,
            id: id.to_owned(),
            expires: token.expires,
            noticed: false,
        });
        let held = link.signer.held().iter().filter_map(|held| tokens.find(&held.id));
        let grants: Vec<_> = held.flat_map(crate::tokens::Token::grants).collect();
        let client_id = known_client_id(&self.client.id).map_err(|_| TokenFault::NoRight)?;
        let permissions = Arc::new(Permissions::of(&grants, &client_id.device()));
        link.permissions = permissions.clone();
        // Written once more: the API may not have answered whoever asked for it.
        let mut changes = vec![credentials::put_token(&self.instance.id, id, token)];
        if let Some(kept) = self.will.as_mut() {
            kept.signer = link.signer.clone();
            changes.push(rows::put_will(self.client.key, kept));
        }
        state.judge_subscriptions();
        drop(state);
        let epoch = self.broker.store.submit_rows(changes, Some(&self.wake));
        self.permissions = permissions;
        self.approved = None;
        Ok(epoch)
    }

    fn upload_refused(&self, fault: TokenFault, actions: Option<Actions>) -> CloseReason {
        self.broker.metrics.credentials.upload_refused(fault.as_str());
        if fault == TokenFault::Secret {
            let now = self.broker.clock.now();
            // Locked already: the connection ends all the same.
            let _ = self.broker.credential_failed(self.address.ip(), &self.client.id, now);
        }
        if self.broker.logs_refusal(Refused::Publish, fault.as_str()) {
            info!(client.id = %self.client.id, reason = fault.as_str(), "token refused, connection closed");
        }
        self.tell_invalid(fault, actions);
        CloseReason::Token(fault)
    }

    /// A publish that ends the connection: a client of tokens is told which of them does not allow it.
    pub(super) fn tell_mismatch(&self, refusal: &PublishRefusal) {
        let PublishRefusal::NotAllowed(_) = refusal else { return };
        let told = self.with_link(|_, link| {
            let held = link.signer.held();
            let writing = held.iter().find(|held| held.actions.writes());
            writing
                .map(|held| (TokenFault::Resource, held.actions))
                .or(held.first().map(|held| (TokenFault::Actions, held.actions)))
        });
        if let Some((fault, actions)) = told.flatten() {
            self.tell_invalid(fault, Some(actions));
        }
    }

    fn tell_invalid(&self, fault: TokenFault, actions: Option<Actions>) {
        let payload = system::invalid_notice(fault, actions);
        let notice = Notice { topic: TOKEN_INVALID_NOTICE, payload, now: self.broker.clock.now() };
        self.with_link(|session, link| tell(session, link, &notice));
    }
}
