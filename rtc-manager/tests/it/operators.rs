use futures_util::StreamExt;
use wire::call::PhoneMessage;

use crate::app::{TOKEN, TestApp, lines};

#[tokio::test]
async fn an_operator_ends_a_call() {
    let mut app = TestApp::with_people().await;
    let (call, _) = app.invite("alice-1", "carol").await;
    let unsigned = app.client.post(app.url(&format!("/api/v1/calls/{call}/end")));
    assert_eq!(app.send(unsigned).await.0, 401);
    let (status, ended) = app.end_call(&call).await;
    assert_eq!((status, ended["reason"].as_str()), (200, Some("host_ended")));
    insta::assert_snapshot!(lines(&app.wait(std::time::Duration::ZERO, 2).await), @r"
    alice-1 call.ended host_ended
    carol-1 call.stop host_ended
    ");
    assert_eq!(app.end_call(&call).await.0, 200);
    let (status, problem) = app.end_call(&"no-such".parse().unwrap()).await;
    assert_eq!((status, problem["type"].as_str()), (404, Some("urn:problem:call-not-found")));

    let browser =
        app.client.post(app.url(&format!("/api/v1/calls/{call}/end"))).header("accept", "text/html");
    let answer = browser.bearer_auth(TOKEN).send().await.unwrap();
    assert!(answer.url().path().starts_with("/calls/"), "{}", answer.url());
    app.stop().await;
}

#[tokio::test]
async fn a_bad_question_is_answered_with_what_is_allowed() {
    let app = TestApp::with_people().await;
    let detail = |(status, problem): (u16, serde_json::Value)| {
        format!("{status} {}", problem["detail"].as_str().unwrap_or("?"))
    };
    insta::assert_snapshot!(detail(app.get("/api/v1/calls?state=dancing").await), @"400 `state` is one of live, inviting, alerting, active, ended");
    insta::assert_snapshot!(detail(app.get("/api/v1/calls?user=a%20b").await), @"400 `a b` is not 1 to 64 of 0-9 A-Z a-z _ -");
    insta::assert_snapshot!(detail(app.get("/api/v1/calls/a%20b").await), @"400 `a b` is not 1 to 64 of 0-9 A-Z a-z _ -");
    insta::assert_snapshot!(detail(app.get("/api/v1/calls/none").await), @"404 there is no call `none`");
    insta::assert_snapshot!(detail(app.get("/nowhere").await), @"404 see /openapi.json for what there is");
    app.stop().await;
}

#[tokio::test]
async fn news_come_as_events() {
    let mut app = TestApp::with_people().await;
    let mut news = app.client.get(app.url("/api/v1/events")).send().await.unwrap().bytes_stream();
    let (call, _) = app.invite("alice-1", "carol").await;
    let first = String::from_utf8(news.next().await.unwrap().unwrap().to_vec()).unwrap();
    insta::assert_snapshot!(first.replace(call.as_str(), "CALL").trim(), @r#"
    event: call
    data: {"event":"call","call":"CALL","rev":1,"phase":"inviting"}
    "#);
    drop(news);
    app.stop().await;
}

#[tokio::test]
async fn pages_show_calls_users_and_timelines() {
    let mut app = TestApp::with_people().await;
    let (first, _) = app.invite("alice-1", "bob").await;
    app.accept("bob-1", &first).await;
    app.say("carol-1", PhoneMessage::Hello { epoch: 3, calls: vec![] }).await;
    let live = app.text("/").await;
    assert!(live.contains("<b>1</b><span>in call</span>"), "{live}");
    let call = app.text(&format!("/calls/{first}")).await;
    assert!(call.contains("<svg class=\"timeline\"") && call.contains("call.accept · voice"), "{call}");
    assert!(call.contains("End this call"));
    let users = app.text("/users").await;
    assert!(users.contains("data-ago") && users.contains("bob-2") && users.contains("never seen"), "{users}");
    for page in ["/static/app.js", "/static/app.css", "/fragments/calls", "/fragments/users"] {
        assert_eq!(app.client.get(app.url(page)).send().await.unwrap().status(), 200, "{page}");
    }
    assert_eq!(app.get("/calls/none").await.0, 404);
    let (_, api) = app.get("/openapi.json").await;
    let paths = api["paths"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    insta::assert_snapshot!(paths.join("\n"), @r"
    /api/v1/calls
    /api/v1/calls/{call}
    /api/v1/calls/{call}/end
    /api/v1/cdrs
    /api/v1/devices
    /api/v1/events
    /api/v1/users
    /api/v1/users/{user}
    ");
    app.stop().await;
}
