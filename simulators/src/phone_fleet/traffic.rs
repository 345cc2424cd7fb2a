//! Phones that call each other at random: the seed repeats who calls whom and how they behave, not the moment.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use service_kit::clock::Clock;
use tokio_util::sync::CancellationToken;
use wire::DeviceId;
use wire::call::{RejectScope, UserId};

use super::{FleetError, PhoneFleet};
use crate::phone::{Manner, OnRing, State};

/// How much they call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// On average; 0 is none.
    pub calls_per_minute: u32,
    /// Longest talk.
    pub talk_secs_max: u64,
    /// Of the dice.
    pub seed: u64,
}

impl Default for Traffic {
    fn default() -> Self {
        Traffic { calls_per_minute: 6, talk_secs_max: 25, seed: 42 }
    }
}

/// Calls at random until `stopping`.
pub async fn run(
    fleet: PhoneFleet,
    traffic: Traffic,
    clock: Clock,
    stopping: CancellationToken,
) -> Result<(), FleetError> {
    let mut dice = StdRng::seed_from_u64(traffic.seed);
    let users = fleet.users();
    if traffic.calls_per_minute == 0 || users.len() < 2 {
        stopping.cancelled().await;
        return Ok(());
    }
    let mean_ms = 60_000 / u64::from(traffic.calls_per_minute.min(60_000));
    loop {
        let pause = Duration::from_millis(dice.random_range(mean_ms / 2..=mean_ms * 3 / 2));
        if stopping.run_until_cancelled(clock.sleep(pause)).await.is_none() {
            return Ok(());
        }
        let Some((caller, callee)) = draw(&fleet, &users, &mut dice) else { continue };
        match place(&fleet, &traffic, &caller, &callee, &mut dice).await {
            // It has begun to ring in between.
            Ok(()) | Err(FleetError::NotFree(_)) => {}
            Err(FleetError::Stopped) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// A phone of somebody who is free, and mostly somebody else who is free too.
fn draw(fleet: &PhoneFleet, users: &[UserId], dice: &mut StdRng) -> Option<(DeviceId, UserId)> {
    let views = fleet.views();
    let is_free = |user: &UserId| {
        let mut theirs = views.values().filter(|view| view.user == *user);
        theirs.all(|view| view.online && view.state == State::Idle)
    };
    let free: Vec<&UserId> = users.iter().filter(|user| is_free(user)).collect();
    let caller = *free.choose(dice)?;
    let anybody = dice.random_range(0..8) == 0;
    let callees = users.iter().filter(|user| *user != caller && (anybody || free.contains(user)));
    let callees: Vec<&UserId> = callees.collect();
    let callee = *callees.choose(dice)?;
    let phones = fleet.phones_of(caller);
    Some((phones.choose(dice)?.clone(), callee.clone()))
}

async fn place(
    fleet: &PhoneFleet,
    traffic: &Traffic,
    caller: &DeviceId,
    callee: &UserId,
    dice: &mut StdRng,
) -> Result<(), FleetError> {
    for phone in fleet.phones_of(callee) {
        fleet.behave(&phone, manner(traffic, dice)).await?;
    }
    fleet.behave(caller, manner(traffic, dice)).await?;
    fleet.call(caller, callee).await
}

/// Of ten people seven answer, one declines and two are not there.
fn manner(traffic: &Traffic, dice: &mut StdRng) -> Manner {
    let delay = Duration::from_millis(dice.random_range(800..6_000));
    let on_ring = match dice.random_range(0..10) {
        0 => OnRing::RejectAfter(delay, RejectScope::All),
        1 | 2 => OnRing::LetItRing,
        _ => OnRing::AnswerAfter(delay),
    };
    let talk = Duration::from_millis(dice.random_range(2_000..=traffic.talk_secs_max.max(3) * 1000));
    let patience = Duration::from_millis(dice.random_range(12_000..40_000));
    Manner { on_ring, talk: Some(talk), patience }
}
