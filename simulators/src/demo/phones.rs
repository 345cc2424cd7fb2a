//! The eight phones of the demo, and what they do on command.

use std::time::Duration;

use service_kit::clock::Clock;
use service_kit::config::Secret;
use service_kit::lifecycle::Lifecycle;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use wire::call::{Reason, UserId};
use wire::credential::signature_password;
use wire::{ClientId, DeviceId};

use super::act::{Act, Failure};
use super::acts::Outcome;
use super::plan::Plan;
use super::secrets::{KEY_PHONE, Secrets};
use crate::load::fault::ConnectError;
use crate::load::octets::{Login, Session};
use crate::load::wire_client::connect;
use crate::phone::{Happening, Manner, OnRing};
use crate::phone_fleet::api::ManagerApi;
use crate::phone_fleet::{PhoneEvent, PhoneFleet, PhoneSpec};

/// Who has how many phones.
const USERS: [(&str, usize); 6] =
    [("alice", 1), ("bob", 2), ("carol", 2), ("dave", 1), ("erin", 1), ("frank", 1)];

/// How long alice and bob talk.
const TALK: Duration = Duration::from_secs(2);

/// Running phones.
#[derive(Debug)]
pub struct Phones {
    fleet: PhoneFleet,
    secret: Secret,
}

/// Two phones that talk.
#[derive(Debug)]
pub struct InCall {
    caller: DeviceId,
    answered: DeviceId,
}

impl Phones {
    /// Makes the users known, registers their phones and switches them on.
    pub async fn start(
        plan: &Plan,
        secrets: &Secrets,
        clock: &Clock,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<Self> {
        let api = ManagerApi::new(&plan.calls_url(), secrets.api_token())?;
        let mut specs = Vec::new();
        for (name, phones) in USERS {
            let user: UserId = name.parse()?;
            let secret = api.add_user(&user).await?;
            specs.extend((1..=phones).map(|number| PhoneSpec {
                user: user.clone(),
                secret: secret.clone(),
                installation: format!("demo-{name}-{number}"),
                manner: Manner::default(),
            }));
        }
        let fleet = PhoneFleet::start(&api, specs, clock, lifecycle).await?;
        Ok(Phones { fleet, secret: Secret::new(secrets.of(KEY_PHONE)) })
    }

    /// Returns once all are welcome at the call manager.
    pub async fn welcome(&self, mut act: Act) -> Result<(), String> {
        let all = self.count();
        let online = async {
            self.fleet.until(|fleet| fleet.online() == all).await;
            Ok(())
        };
        let away = async || format!("{} of {all} phones to be online", all - self.fleet.online().min(all));
        act.wait(online, away).await
    }

    /// The phones themselves.
    pub fn fleet(&self) -> &PhoneFleet {
        &self.fleet
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.fleet.phones().len()
    }

    /// Figures for a line of the terminal.
    pub fn figures(&self) -> String {
        let counters = self.fleet.counters();
        format!("{} calls dialled, phones rang {} times", counters.dialled, counters.rang)
    }

    /// The MQTT password of a phone's client ID.
    pub fn password_of(&self, client_id: &ClientId) -> Secret {
        Secret::new(signature_password(self.secret.reveal(), client_id.as_str()))
    }

    /// One calls another; the first phone of the callee answers, the others are told so; they talk; then the caller hangs up.
    pub async fn answered_call(&self, act: &mut Act, from: &str, to: &str) -> Outcome {
        let mut events = self.fleet.listen();
        let call = self.begin_call(act, from, to).await?;
        let others: Vec<DeviceId> =
            self.phones_of(to)?.into_iter().filter(|phone| *phone != call.answered).collect();
        for other in &others {
            let what = format!("{other} to be told answered_elsewhere");
            expect(act, &what, &mut events, |event| {
                event.phone == *other
                    && matches!(
                        event.what,
                        Happening::StopsRinging { reason: Some(Reason::AnsweredElsewhere), .. }
                    )
            })
            .await?;
        }
        let told: Vec<String> = others.iter().map(|other| format!(", {other} answered_elsewhere")).collect();
        let answered = format!("{from} → {to}   {} answers{}", call.answered, told.concat());
        tokio::time::sleep(TALK).await;
        self.end_call(act, &call).await?;
        Ok(answered)
    }

    /// One calls another, whose first phone answers; returns while they talk.
    pub async fn begin_call(&self, act: &mut Act, from: &str, to: &str) -> Result<InCall, String> {
        let caller = self.phones_of(from)?.into_iter().next().ok_or("a caller without a phone")?;
        let callee: UserId = to.parse().map_err(|_| format!("`{to}` is no user"))?;
        let phones = self.phones_of(to)?;
        let endless = Manner { on_ring: OnRing::LetItRing, talk: None, ..Manner::default() };
        self.behave(&caller, endless).await?;
        for (index, phone) in phones.iter().enumerate() {
            let on_ring =
                if index == 0 { OnRing::AnswerAfter(Duration::from_secs(1)) } else { OnRing::LetItRing };
            self.behave(phone, Manner { on_ring, ..endless }).await?;
        }
        let answered = phones.into_iter().next().ok_or("a callee without a phone")?;
        // Listened for before the call, once for each: which of the two is told first is open.
        let listeners = [(&answered, self.fleet.listen()), (&caller, self.fleet.listen())];
        self.fleet.call(&caller, &callee).await.map_err(|error| error.to_string())?;
        for (phone, mut events) in listeners {
            let what = format!("{phone} to talk");
            let talks =
                |event: &PhoneEvent| event.phone == *phone && matches!(event.what, Happening::Talks { .. });
            expect(act, &what, &mut events, talks).await?;
        }
        Ok(InCall { caller, answered })
    }

    /// The caller hangs up; both phones hear of it.
    pub async fn end_call(&self, act: &mut Act, call: &InCall) -> Outcome {
        let mut events = self.fleet.listen();
        self.fleet.hang_up(&call.caller).await.map_err(|error| error.to_string())?;
        let what = format!("{} to hear that the call is over", call.answered);
        expect(act, &what, &mut events, |event| {
            event.phone == call.answered
                && matches!(event.what, Happening::Ends { reason: Some(Reason::Hangup), .. })
        })
        .await?;
        Ok(format!("{} and {} talked, hung up in order", call.caller, call.answered))
    }

    /// A second client with a phone's client ID and right password.
    pub async fn duplicate_is_denied(&self, broker: &str) -> Outcome {
        let phone = self.phones_of("alice")?.into_iter().next().ok_or("alice without a phone")?;
        let credentials = self.fleet.credentials(&phone).ok_or("no credentials")?;
        let login = Login {
            client_id: credentials.client_id.to_string(),
            credential: Some((credentials.username.clone(), credentials.password.clone())),
            session: Session::Clean,
        };
        match connect(broker, &login).await {
            Ok(_) => Err(format!("a second {phone} was let in")),
            Err(ConnectError::Refused { code: 2, .. }) => {
                Ok(format!("a second {phone}   CONNACK 2, clientId conflict"))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn phones_of(&self, user: &str) -> Result<Vec<DeviceId>, String> {
        let user: UserId = user.parse().map_err(|_| format!("`{user}` is no user"))?;
        Ok(self.fleet.phones_of(&user))
    }

    async fn behave(&self, phone: &DeviceId, manner: Manner) -> Result<(), String> {
        self.fleet.behave(phone, manner).await.map_err(|error| error.to_string())
    }
}

/// Waits until something happens to a phone.
async fn expect(
    act: &mut Act,
    what: &str,
    events: &mut Receiver<PhoneEvent>,
    is_it: impl Fn(&PhoneEvent) -> bool,
) -> Result<(), String> {
    let happened = async {
        loop {
            match events.recv().await {
                Ok(event) if is_it(&event) => return Ok(()),
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Err(Failure("the phones have been stopped".to_owned())),
            }
        }
    };
    act.wait_for(what, happened).await
}
