//! Transcripts and properties of the session core.

use proptest::prelude::*;
use wire::Timestamp;

use super::*;
use crate::codec::{Packet, frame, read};

const LIMITS: SessionLimits =
    SessionLimits { inflight_max: 3, live_waiting_max: 4, stored_max: 6, receiving_max: 2 };

fn message(number: u64, qos: Qos) -> Arc<Message> {
    Arc::new(Message::new("a/b", number.to_string().as_bytes(), qos, Timestamp::EPOCH))
}

fn stored(seq: u64) -> Arc<Stored> {
    Arc::new(Stored::new(seq, message(seq, Qos::AtLeastOnce), 1))
}

fn mailbox(seq: u64) -> Outgoing {
    Outgoing { body: Body::Mailbox(stored(seq)), qos: Qos::AtLeastOnce, retain: false }
}

fn live(number: u64, qos: Qos) -> Outgoing {
    Outgoing { body: Body::Live(message(number, qos)), qos, retain: false }
}

fn load(stored: &Arc<Stored>) -> Option<Arc<Message>> {
    stored.body()
}

/// What a client would read from the outbox: `payload#identifier` with `!` for DUP, `REL#identifier`.
fn drain(out: &mut Outbox) -> String {
    let octets = out.take();
    let mut rest = &octets[..];
    let mut read_packets = Vec::new();
    while let Some(found) = frame(rest, 70_000).unwrap() {
        let packet = read(&found, rest).unwrap();
        read_packets.push(if let Packet::Publish(publish) = packet {
            let text = String::from_utf8_lossy(publish.payload).into_owned();
            let dup = if publish.dup { "!" } else { "" };
            if publish.packet_id == 0 { text } else { format!("{text}#{}{dup}", publish.packet_id) }
        } else if let Packet::PubRel(id) = packet {
            format!("REL#{id}")
        } else {
            format!("{packet:?}")
        });
        rest = &rest[found.total_bytes..];
    }
    read_packets.join(" ")
}

#[test]
fn the_window_holds_messages_back_and_acknowledgements_let_them_go() {
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::default());
    for number in 1..=5 {
        session.deliver(live(number, Qos::AtLeastOnce), &mut out, &mut load);
    }
    insta::assert_snapshot!(drain(&mut out), @"1#1 2#2 3#3");
    session.on_puback(2);
    session.pump(&mut out, &mut load);
    insta::assert_snapshot!(drain(&mut out), @"4#4");
}

#[test]
fn what_is_stored_comes_again_with_dup_and_its_identifier_and_what_is_not_is_gone() {
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::default());
    session.deliver(mailbox(1), &mut out, &mut load);
    session.deliver(live(2, Qos::AtLeastOnce), &mut out, &mut load);
    session.deliver(mailbox(3), &mut out, &mut load);
    session.deliver(mailbox(4), &mut out, &mut load);
    insta::assert_snapshot!(drain(&mut out), @"1#1 2#2 3#3");
    assert_eq!(session.disconnected(), 1);
    session.keep(mailbox(5));
    session.pump(&mut out, &mut load);
    insta::assert_snapshot!(drain(&mut out), @"1#1! 3#3! 4#4");
    assert_eq!(session.on_puback(1).unwrap().seq, 1);
    session.pump(&mut out, &mut load);
    insta::assert_snapshot!(drain(&mut out), @"5#5");
}

#[test]
fn qos_2_is_released_once_and_repeats_the_release_after_a_reconnect() {
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::default());
    session.deliver(live(1, Qos::ExactlyOnce), &mut out, &mut load);
    session.on_pubrec(1, &mut out);
    insta::assert_snapshot!(drain(&mut out), @"1#1 REL#1");
    session.disconnected();
    session.resume(&mut out);
    insta::assert_snapshot!(drain(&mut out), @"REL#1");
    session.on_pubcomp(1);
    assert_eq!(session.inflight_count(), 0);
}

#[test]
fn a_new_session_keeps_the_mailbox_and_nothing_else() {
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::default());
    session.subscriptions.insert("a/#".to_owned(), Qos::AtLeastOnce);
    let body = Body::Subscription(stored(1));
    session.keep(Outgoing { body, qos: Qos::AtLeastOnce, retain: false });
    session.keep(mailbox(2));
    assert_eq!(session.forget().iter().map(|stored| stored.seq).collect::<Vec<_>>(), [1]);
    assert!(session.subscriptions.is_empty());
    session.pump(&mut out, &mut load);
    insta::assert_snapshot!(drain(&mut out), @"2#1");
}

#[test]
fn bounds() {
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::default());
    for number in 1..=7 {
        assert_eq!(session.deliver(live(number, Qos::AtLeastOnce), &mut out, &mut load).0, Delivered::Taken);
    }
    assert_eq!(session.deliver(live(8, Qos::AtLeastOnce), &mut out, &mut load).0, Delivered::Overflow);

    let mut absent = Session::new(LIMITS);
    let dropped: Vec<u64> =
        (1..=8).filter_map(|seq| absent.keep(mailbox(seq))).map(|stored| stored.seq).collect();
    assert_eq!(dropped, [1, 2], "the oldest go first");

    assert_eq!(absent.on_publish_qos2(7), Some(true));
    assert_eq!(absent.on_publish_qos2(7), Some(false));
    assert_eq!(absent.on_publish_qos2(8), Some(true));
    assert_eq!(absent.on_publish_qos2(9), None);
    assert!(absent.on_pubrel(7));
    assert!(!absent.on_pubrel(7));
}

#[test]
fn a_full_outbox_drops_qos_0_only() {
    let (mut session, mut out) = (Session::new(LIMITS), Outbox::default());
    let big = Arc::new(Message::new(
        "a/b",
        &vec![0; crate::outbox::OUTBOX_BYTES_MAX],
        Qos::AtMostOnce,
        Timestamp::EPOCH,
    ));
    let mut fat = live(0, Qos::AtMostOnce);
    fat.body = Body::Live(big);
    assert_eq!(session.deliver(fat.clone(), &mut out, &mut load).0, Delivered::Taken);
    assert_eq!(session.deliver(fat, &mut out, &mut load).0, Delivered::DroppedQos0);
    assert_eq!(session.deliver(mailbox(1), &mut out, &mut load).0, Delivered::Taken);
    assert_eq!(session.inflight_count(), 0, "it waits");
}

#[derive(Clone, Debug)]
enum Step {
    Deliver,
    AckOldest,
    AckNewest,
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Deliver),
        2 => Just(Step::AckOldest),
        1 => Just(Step::AckNewest),
        1 => Just(Step::Reconnect),
    ]
}

proptest! {
    /// Whatever happens, a stored message is sent until it is acknowledged, in order within a connection, and no
    /// packet identifier stands for two messages at once.
    #[test]
    fn a_stored_message_is_sent_until_it_is_acknowledged(steps in prop::collection::vec(step(), 1..200)) {
        let limits = SessionLimits { stored_max: usize::MAX, ..LIMITS };
        let (mut session, mut out) = (Session::new(limits), Outbox::default());
        let (mut next, mut acknowledged) = (1_u64, BTreeSet::new());
        let mut under_way: Vec<(u16, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Deliver => {
                    session.deliver(mailbox(next), &mut out, &mut load);
                    next += 1;
                }
                Step::AckOldest | Step::AckNewest if under_way.is_empty() => {}
                Step::AckOldest | Step::AckNewest => {
                    let index = if matches!(step, Step::AckOldest) { 0 } else { under_way.len() - 1 };
                    let (id, seq) = under_way.remove(index);
                    prop_assert_eq!(session.on_puback(id).map(|stored| stored.seq), Some(seq));
                    acknowledged.insert(seq);
                }
                Step::Reconnect => {
                    session.disconnected();
                    under_way.clear();
                    session.resume(&mut out);
                }
            }
            session.pump(&mut out, &mut load);
            for sent in drain(&mut out).split_whitespace() {
                let (seq, id) = sent.trim_end_matches('!').split_once('#').unwrap();
                let (seq, id): (u64, u16) = (seq.parse().unwrap(), id.parse().unwrap());
                prop_assert!(!acknowledged.contains(&seq));
                prop_assert!(under_way.iter().all(|(other_id, other)| *other_id != id && *other < seq));
                under_way.push((id, seq));
            }
            prop_assert_eq!(session.stored_count() as u64, next - 1 - acknowledged.len() as u64);
        }
        while let Some((id, seq)) = under_way.pop() {
            session.on_puback(id);
            acknowledged.insert(seq);
            session.pump(&mut out, &mut load);
            for sent in drain(&mut out).split_whitespace() {
                let (seq, id) = sent.trim_end_matches('!').split_once('#').unwrap();
                under_way.push((id.parse().unwrap(), seq.parse().unwrap()));
            }
        }
        prop_assert_eq!(acknowledged.len() as u64, next - 1);
    }
}
