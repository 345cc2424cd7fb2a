//! Names of an instance, for its URLs.

use serde_json::json;
use service_kit::problem::Problem;

use super::{Actor, Deed, RuleChange};
use crate::endpoints::Hosts;
use crate::web::App;

impl App {
    /// Names an instance; without a name that of the broker counts.
    pub async fn name_instance(&self, actor: &Actor, instance: &str, hosts: Hosts) -> Result<(), Problem> {
        let instance = self.instance(instance)?;
        self.change_rules(actor, &instance, |rules| {
            let before = json!(std::mem::replace(&mut rules.hosts, hosts));
            let (subject, after) = (instance.id.clone(), json!(rules.hosts));
            let deed = Deed { action: "endpoints.put", subject, before, after };
            Ok(RuleChange { outcome: (), deed, withdrawn: None })
        })
        .await
    }
}
