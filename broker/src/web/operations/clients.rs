//! Closing the connection of a client, and forgetting one.

use serde_json::{Value, json};
use service_kit::problem::Problem;

use super::{Actor, Deed};
use crate::client::{Client, CloseReason};
use crate::sync::locked;
use crate::web::App;
use crate::web::clients::find;

impl App {
    /// Closes a client's connection; it may come back at once.
    pub async fn kick(&self, actor: &Actor, instance: &str, client_id: &str) -> Result<(), Problem> {
        let client = find(self, instance, client_id)?;
        let address = locked(&client.state).link.as_ref().map(|link| link.peer.to_string());
        let address = address.ok_or_else(|| offline(client_id))?;
        let deed = Deed::plain("client.kicked", format!("{instance}/{client_id}"));
        let intent = self.intend(actor, Deed { before: json!({ "address": address }), ..deed }).await?;
        let outcome = close(&client).ok_or_else(|| offline(client_id));
        self.settle(intent, outcome).await
    }
}

impl App {
    /// Forgets a client that is not connected, with its session, its mailbox and its will.
    pub async fn forget_client(&self, actor: &Actor, instance: &str, client_id: &str) -> Result<(), Problem> {
        let client = find(self, instance, client_id)?;
        let instance = self.instance(instance)?;
        let before = told(&client).ok_or_else(|| online(client_id))?;
        self.check_disk()?;
        let deed = Deed::plain("client.forgotten", format!("{}/{client_id}", instance.id));
        let intent = self.intend(actor, Deed { before, ..deed }).await?;
        let outcome = match self.broker.forget_client(&instance, &client) {
            Some(epoch) => self.durable(epoch).await,
            // Somebody was faster: it came, or it was forgotten.
            None => Err(find(self, &instance.id, client_id).err().unwrap_or_else(|| online(client_id))),
        };
        self.settle(intent, outcome).await
    }
}

/// What goes with it; nothing when it is connected.
fn told(client: &Client) -> Option<Value> {
    let state = locked(&client.state);
    state.link.is_none().then(|| {
        json!({
            "persistent": client.is_persistent(),
            "subscriptions": state.session.subscriptions.len(),
            "stored": state.session.stored_count(),
            "will": state.pending_will.is_some(),
        })
    })
}

fn online(client_id: &str) -> Problem {
    let detail = format!(
        "client `{client_id}` is connected; close its connection and keep it out before it is forgotten"
    );
    Problem::conflict("client-online", detail)
}

fn close(client: &Client) -> Option<()> {
    locked(&client.state).link.as_mut().map(|link| link.close(CloseReason::ClosedByAdmin))
}

fn offline(client_id: &str) -> Problem {
    Problem::conflict("client-offline", format!("client `{client_id}` is not connected"))
}
