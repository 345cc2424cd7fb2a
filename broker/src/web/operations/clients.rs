//! Closing the connection of a client.

use serde_json::json;
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

fn close(client: &Client) -> Option<()> {
    locked(&client.state).link.as_mut().map(|link| link.close(CloseReason::ClosedByAdmin))
}

fn offline(client_id: &str) -> Problem {
    Problem::conflict("client-offline", format!("client `{client_id}` is not connected"))
}
