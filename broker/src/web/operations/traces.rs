//! What is traced.

use serde_json::json;
use service_kit::problem::Problem;

use super::{Actor, Deed};
use crate::trace::TraceMode;
use crate::web::App;

impl App {
    /// Changes what is traced of an instance until the broker stops.
    pub async fn set_trace(&self, actor: &Actor, instance: &str, mode: TraceMode) -> Result<(), Problem> {
        let instance = self.instance(instance)?;
        let trace = &instance.account.trace;
        let (before, after) = (json!(trace.mode()), json!(mode));
        let deed = Deed { action: "trace.changed", subject: instance.id.clone(), before, after };
        let intent = self.intend(actor, deed).await?;
        trace.set_mode(mode);
        self.settle(intent, Ok(())).await
    }
}
