//! What `load` says when there is nothing to measure.

use std::process::Output;

use tokio::process::Command;

use crate::world::World;

async fn load(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command.args(["--pairs=1", "--seconds=1"]).args(arguments).kill_on_drop(true).output().await.unwrap()
}

async fn complaint(arguments: &[&str]) -> String {
    let output = load(arguments).await;
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_named_with_the_option_that_moves_it() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let text = complaint(&["--broker", &address]).await;
    assert!(text.starts_with(&format!("load: no broker can be reached at `{address}`")), "{text}");
    assert!(text.contains("--broker"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_says_what_to_check() {
    let world = World::start().await;
    let broker = world.stage.plan.mqtt();
    let secret = world.secrets.of("AK-phone");
    let p2p = |key: &'static str, secret: &'static str, group: &'static str| {
        let arguments =
            ["--instance=mqtt-demo", "--access-key", key, "--access-secret", secret, "--group", group];
        arguments.map(str::to_owned)
    };
    let say = async |arguments: &[String]| {
        let arguments = arguments.iter().map(String::as_str);
        complaint(&["--broker", &broker].into_iter().chain(arguments).collect::<Vec<_>>()).await
    };
    let text = say(&[]).await;
    assert!(text.contains("CONNACK 2"), "{text}");
    assert!(text.contains("give --access-key and --access-secret"), "{text}");
    let text = say(&p2p("AK-phone", "wrong", "GID_RTC_APP")).await;
    assert!(text.contains("CONNACK 4, bad user name or password"), "{text}");
    assert!(text.contains("check --access-key, --access-secret and --instance"), "{text}");
    let mut arguments = p2p("AK-phone", "", "GID_RTC_APP");
    arguments[4] = secret.to_owned();
    let text = say(&arguments).await;
    assert!(text.contains("connections the broker ended during the run: 1"), "{text}");
    assert!(text.contains("may write `<parent>/p2p/+`"), "{text}");
    world.stop().await;
}
