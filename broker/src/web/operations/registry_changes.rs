//! Instances, groups, parent topics, access keys: laid down and taken away.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use service_kit::config::Secret;
use service_kit::problem::Problem;
use service_kit::random;
use wire::{GroupId, InstanceId};

use super::{Actor, Deed, RuleChange};
use crate::admission::STANDARD_INSTANCE;
use crate::credential::{self, CredentialMistake, check_access_key};
use crate::instance::Instance;
use crate::refusals::shortened;
use crate::registry::{self, room};
use crate::rules::{Actions, Credential, Grant, ParentTopic, Rules};
use crate::sync::read_locked;
use crate::web::App;

/// What to lay down for an access key.
#[derive(Debug)]
pub struct CredentialOrder {
    /// Absent: the secret it has, or a new one.
    pub secret: Option<Secret>,
    /// Absent: any group of the instance.
    pub groups: Option<BTreeSet<GroupId>>,
    /// What its clients may do.
    pub allow: Vec<Grant>,
    /// What requests to the API that it signs may do.
    pub api: Option<Actions>,
}

fn simple(deed: Deed) -> RuleChange<()> {
    RuleChange { outcome: (), deed, withdrawn: None }
}

impl App {
    /// Creates an instance; nothing happens when it exists.
    pub async fn create_instance(&self, actor: &Actor, id: &str) -> Result<(), Problem> {
        let id: InstanceId = id.parse().map_err(|error| bad("instance-invalid", &error))?;
        self.check_disk()?;
        let one_at_a_time = self.changing.write().await;
        if self.broker.find_instance(id.as_str()).is_none() {
            let has = self.broker.instances().len();
            let room = room::check_instances(&self.broker.config.registry, has, has + 1);
            room.map_err(|full| self.full(&full))?;
        }
        let intent = self.intend(actor, Deed::plain("instance.created", id.to_string())).await?;
        let instance = self.broker.add_instance(id.as_str(), Rules::default());
        let row = registry::put_rules(id.as_str(), &instance.rules());
        let epoch = self.broker.store.submit_rows(vec![row], None);
        drop(one_at_a_time);
        let stored = self.durable(epoch).await;
        self.settle(intent, stored).await
    }

    /// Deletes an instance in which there is nothing.
    pub async fn delete_instance(&self, actor: &Actor, id: &str) -> Result<(), Problem> {
        self.check_disk()?;
        let one_at_a_time = self.changing.write().await;
        // Without access keys nobody can come in meanwhile.
        check_empty(&*self.instance(id)?)?;
        let intent = self.intend(actor, Deed::plain("instance.deleted", id.to_owned())).await?;
        let epoch = self.broker.store.submit_rows(vec![registry::delete_rules(id)], None);
        self.broker.remove_instance(id);
        drop(one_at_a_time);
        let stored = self.durable(epoch).await;
        self.settle(intent, stored).await
    }

    /// Creates a group; nothing happens when it exists.
    pub async fn create_group(&self, actor: &Actor, instance: &str, group: &str) -> Result<(), Problem> {
        let group: GroupId = group.parse().map_err(|error| bad("group-invalid", &error))?;
        let instance = self.instance(instance)?;
        self.change_rules(actor, &instance, |rules| {
            let deed = Deed::plain("group.created", format!("{}/{group}", instance.id));
            rules.groups.insert(group);
            Ok(simple(deed))
        })
        .await
    }

    /// Deletes a group. Connected clients stay; their next connect is refused.
    pub async fn delete_group(&self, actor: &Actor, instance: &str, group: &str) -> Result<(), Problem> {
        let instance = self.instance(instance)?;
        let missing =
            || Problem::not_found("group-not-found", format!("there is no group `{}`", shortened(group)));
        let group: GroupId = group.parse().map_err(|_| missing())?;
        self.change_rules(actor, &instance, |rules| {
            rules.groups.remove(&group).then_some(()).ok_or_else(missing)?;
            Ok(simple(Deed::plain("group.deleted", format!("{}/{group}", instance.id))))
        })
        .await
    }

    /// Creates a parent topic; nothing happens when it exists.
    pub async fn create_topic(&self, actor: &Actor, instance: &str, topic: &str) -> Result<(), Problem> {
        let topic: ParentTopic = topic.parse().map_err(|error| bad("topic-invalid", &error))?;
        let instance = self.instance(instance)?;
        self.change_rules(actor, &instance, |rules| {
            let deed = Deed::plain("topic.created", format!("{}/{}", instance.id, topic.as_str()));
            rules.topics.insert(topic);
            Ok(simple(deed))
        })
        .await
    }

    /// Deletes a parent topic. Nobody can publish or subscribe below it any more.
    pub async fn delete_topic(&self, actor: &Actor, instance: &str, topic: &str) -> Result<(), Problem> {
        let instance = self.instance(instance)?;
        let missing = || {
            let detail = format!("there is no parent topic `{}`", shortened(topic));
            Problem::not_found("topic-not-found", detail)
        };
        self.change_rules(actor, &instance, |rules| {
            rules.topics.remove(topic).then_some(()).ok_or_else(missing)?;
            Ok(simple(Deed::plain("topic.deleted", format!("{}/{topic}", instance.id))))
        })
        .await
    }

    /// Creates or changes an access key; its secret when it was made here. Connections made with it, its tokens and its
    /// device credentials are closed, so that they sign in under the new rules.
    pub async fn put_credential(
        &self,
        actor: &Actor,
        instance: &str,
        access_key: &str,
        order: CredentialOrder,
    ) -> Result<Option<Secret>, Problem> {
        check_access_key(access_key)
            .map_err(|mistake| Problem::bad_request(mistake.kind(), mistake.to_string()))?;
        if order.secret.as_ref().is_some_and(|secret| secret.reveal().is_empty()) {
            return Err(Problem::bad_request("secret-invalid", "a secret must not be empty"));
        }
        let instance = self.instance(instance)?;
        let made = self
            .change_rules(actor, &instance, |rules| {
                let CredentialOrder { secret: given, groups, allow, api } = order;
                refuse_mistakes(&credential::mistakes(groups.as_ref(), &allow, rules))?;
                let had = rules.credentials.get(access_key);
                let before = had.map_or(Value::Null, told);
                let had = had.map(|credential| credential.secret.clone());
                let is_changed = given.is_some() && given != had;
                let is_new = given.is_none() && had.is_none();
                let secret = given.or(had).unwrap_or_else(|| Secret::new(random::secret_text()));
                let made = is_new.then(|| secret.clone());
                let credential = Credential { secret, groups, allow, api };
                let mut after = told(&credential);
                after["secret_is_new"] = json!(is_changed || is_new);
                rules.credentials.insert(access_key.to_owned(), credential);
                let subject = format!("{}/{access_key}", instance.id);
                let deed = Deed { action: "credential.put", subject, before, after };
                Ok(RuleChange { outcome: made, deed, withdrawn: None })
            })
            .await?;
        self.close_signed_by(&instance, access_key);
        Ok(made)
    }

    /// Revokes an access key with its tokens and device credentials, and closes connections made with any of them.
    pub async fn delete_credential(
        &self,
        actor: &Actor,
        instance: &str,
        access_key: &str,
    ) -> Result<(), Problem> {
        let instance = self.instance(instance)?;
        self.change_rules(actor, &instance, |rules| {
            let removed = rules.credentials.remove(access_key);
            let removed = removed.ok_or_else(|| crate::web::page::no_access_key(access_key))?;
            let subject = format!("{}/{access_key}", instance.id);
            let (before, after) = (told(&removed), Value::Null);
            let deed = Deed { action: "credential.deleted", subject, before, after };
            Ok(RuleChange { outcome: (), deed, withdrawn: Some(access_key.to_owned()) })
        })
        .await?;
        self.close_signed_by(&instance, access_key);
        Ok(())
    }

    fn close_signed_by(&self, instance: &Instance, access_key: &str) {
        self.broker.close_where(instance, |signer| signer.access_key() == Some(access_key));
    }
}

fn check_empty(instance: &Instance) -> Result<(), Problem> {
    let rules = instance.rules();
    let counts = [
        ("groups", rules.groups.len()),
        ("parent topics", rules.topics.len()),
        ("access keys", rules.credentials.len()),
        ("clients", instance.clients.count()),
        ("retained messages", read_locked(&instance.retained).count()),
    ];
    let left: Vec<String> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("{count} {what}"))
        .collect();
    if left.is_empty() && instance.id != STANDARD_INSTANCE {
        return Ok(());
    }
    let left = if left.is_empty() { "the standard profile".to_owned() } else { left.join(", ") };
    let mut detail = format!("instance `{}` still has {left}; only an empty one can be deleted", instance.id);
    if instance.clients.count() > 0 {
        detail += ". Clients that are not connected are forgotten by DELETE …/clients/{client_id}";
    }
    if read_locked(&instance.retained).count() > 0 {
        detail += ". A retained message is cleared by an empty one, retained, on its topic";
    }
    Err(Problem::conflict("instance-not-empty", detail))
}

/// Without its secret.
fn told(credential: &Credential) -> Value {
    json!({ "groups": credential.groups, "allow": credential.allow, "api": credential.api })
}

/// All of them in one answer.
pub fn refuse_mistakes(mistakes: &[CredentialMistake]) -> Result<(), Problem> {
    let Some(first) = mistakes.first() else { return Ok(()) };
    let all = mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    Err(Problem::unprocessable(first.kind(), all))
}

fn bad(kind: &str, error: &dyn std::error::Error) -> Problem {
    Problem::bad_request(kind, error.to_string())
}
