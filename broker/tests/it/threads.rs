//! Connections that move from thread to thread.

use std::sync::Arc;

use broker::access::BuiltIn;
use broker::listen::{Transport, accept};
use broker::threads::Threads;
use broker::{Broker, Config};
use clap::Parser;
use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use service_kit::metrics::Metrics;

use crate::harness::{Connect, Octets, PROVISION, command_line, publish};

const MESSAGES: u8 = 200;

fn counted(metrics: &Metrics, name: &str) -> u32 {
    let text = metrics.render();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn connections_move_between_threads_and_nothing_is_lost_or_reordered() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("provision.toml"), PROVISION).unwrap();
    let config = Config::parse_from(command_line(dir.path(), &[]));
    let metrics = Metrics::new("broker");
    let broker = Broker::open(config, Clock::system(), Arc::new(BuiltIn), &metrics).unwrap().broker;
    let lifecycle = Lifecycle::new();
    let threads = Threads::start(Some(3), lifecycle.clone(), broker.metrics.threads.clone()).unwrap();
    let homes = threads.homes();
    let listener = broker::listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = accept(broker.clone(), listener, Transport::Tcp, homes.clone(), lifecycle.stopping());
    lifecycle.spawn("accepting", accepting);

    let mut clients = Vec::new();
    for device in ["idle", "reader", "writer"] {
        let mut client = Octets::open(address).await;
        client.exchange(&Connect::of(device).encode(), &[0x20, 2, 0, 0]).await;
        clients.push(client);
    }
    let [_idle, reader, writer] = &mut clients[..] else { unreachable!() };
    reader.subscribe(&[("news/x", 1)], &[1]).await;
    for number in 1..=MESSAGES {
        let octets = publish("news/x", &number.to_string(), 1, number.into());
        // Both move in the middle of a packet, and while the other writes to their socket.
        let (begin, rest) = octets.split_at(octets.len() / 2);
        writer.send(begin).await;
        homes.use_threads(1 + usize::from(number) % 3);
        writer.send(rest).await;
        writer.expect(&[0x40, 2, 0, number]).await;
        assert_eq!(reader.receive().await.payload, number.to_string());
    }
    assert_eq!(counted(&metrics, "broker_io_threads_used"), 1 + u32::from(MESSAGES) % 3);
    let moved = counted(&metrics, "broker_connections_moved_total");
    assert!(moved >= 10, "{moved}: how often depends on who is awake when");

    drop(clients);
    lifecycle.stop();
    lifecycle.drain().await.unwrap();
    broker.store.close();
    threads.finish();
}
