//! The story as an acceptance: programs as processes of their own, killed in the middle.

use std::collections::BTreeMap;

use service_kit::lifecycle::Lifecycle;

use super::absent;
use super::acts::{self, Outcome};
use super::launch::Process;
use super::plan::{Plan, ProgramName};
use super::screen::Tally;
use super::stage::Stage;

/// The processes of the deployment.
#[derive(Debug)]
pub struct Deployment {
    plan: Plan,
    processes: BTreeMap<ProgramName, Process>,
    lifecycle: Lifecycle,
}

impl Deployment {
    /// Starts every program.
    pub async fn start(plan: &Plan, lifecycle: &Lifecycle) -> anyhow::Result<Self> {
        let mut deployment =
            Deployment { plan: plan.clone(), processes: BTreeMap::new(), lifecycle: lifecycle.clone() };
        for program in ProgramName::ALL {
            let process = Process::start(plan, program, lifecycle).await?;
            deployment.processes.insert(program, process);
        }
        Ok(deployment)
    }

    /// SIGKILL, then the same program again on the same data.
    pub async fn kill_and_restart(&mut self, program: ProgramName) -> Result<(), String> {
        let process =
            self.processes.remove(&program).ok_or_else(|| format!("{} does not run", program.as_str()))?;
        process.kill().await.map_err(|error| error.to_string())?;
        let again = Process::start(&self.plan, program, &self.lifecycle).await;
        self.processes.insert(program, again.map_err(|error| format!("{error:#}"))?);
        Ok(())
    }
}

/// Runs every check; whether none failed.
pub async fn run(stage: &Stage, deployment: &mut Deployment, api_token: &str) -> bool {
    let mut tally = Tally::new(stage.screen);
    tally.record("every tag shows its first face", acts::tags_are_current(stage).await);
    tally.record("an increase goes to the shelf first", acts::price_up(stage, "coffee").await);
    tally.record("a decrease goes to the till first", acts::price_down(stage, "milk").await);
    tally.record("a call is answered on one phone of two", acts::call(stage, "alice", "bob").await);
    tally.record("a second alice-1 is denied", stage.phones.duplicate_is_denied(&stage.plan.mqtt()).await);
    tally.record("an access point that was cut off is re-driven", acts::cut_and_mend(stage).await);
    tally.record("damaged frames are refused and counted", acts::damaged_frames_are_refused(stage).await);
    for program in [ProgramName::Broker, ProgramName::PricetagService, ProgramName::North] {
        let what = format!("a price change survives kill -9 of {}", program.as_str());
        tally.record(&what, change_across_a_kill(stage, deployment, program).await);
    }
    tally.record("a call survives kill -9 of rtc-manager", call_across_a_kill(stage, deployment).await);
    let absent = absent::message_across_a_kill(stage, deployment, api_token).await;
    tally.record("a message to an absent persistent client survives kill -9 of the broker", absent);
    tally.record("every tag shows what it should", acts::tags_are_current(stage).await);
    tally.record("the audit log is whole", acts::audit_is_whole(stage).await);
    tally.close()
}

/// The program is killed while the change is on its way.
async fn change_across_a_kill(stage: &Stage, deployment: &mut Deployment, program: ProgramName) -> Outcome {
    let (product, name) = stage.product("coffee")?;
    let from = stage.till.price(&product).ok_or("the till knows no price of coffee")?;
    let to = wire::till::Price::from_minor(from.as_minor() + 10).map_err(|error| error.to_string())?;
    let change = stage.change_price(&product, to, &format!("across a kill of {}", program.as_str())).await?;
    deployment.kill_and_restart(program).await?;
    acts::completed(&mut stage.act("KILL"), stage, &change).await?;
    Ok(format!("{name} {from} → {to}"))
}

/// The manager is killed while two phones talk.
async fn call_across_a_kill(stage: &Stage, deployment: &mut Deployment) -> Outcome {
    let call = stage.phones.begin_call(&mut stage.act("CALL"), "carol", "dave").await?;
    deployment.kill_and_restart(ProgramName::RtcManager).await?;
    stage.phones.end_call(&mut stage.act("CALL"), &call).await
}
