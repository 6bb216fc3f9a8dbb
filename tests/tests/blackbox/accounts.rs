//! Accounts: registering, signing in, staying signed in, signing out, leaving.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::json;
use todo_tests::{client::PASSWORD, stack::Stack};

pub(crate) async fn registers_and_signs_in(stack: &Stack) {
    let client = stack.client();
    let email = format!("{}@example.org", uuid::Uuid::now_v7());
    let body = json!({"email": email, "password": PASSWORD, "display_name": "Ada"});
    let registered = client.post("/v1/auth/register", &body).await.expect(201);
    assert_eq!(registered.header("cache-control"), Some("no-store"));
    let signed_in = client
        .post("/v1/auth/login", &json!({"email": email, "password": PASSWORD, "device_name": "laptop"}))
        .await
        .expect(200);
    assert_eq!(signed_in.header("cache-control"), Some("no-store"));
    for answer in [&registered, &signed_in] {
        let body = answer.json();
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(body["expires_in"], 600);
        assert_eq!(body["user"]["email"], email);
        assert_eq!(body["user"]["display_name"], "Ada");
        let me = client.with_token(body["access_token"].as_str().unwrap()).get("/v1/me").await.expect(200).json();
        assert_eq!(me["id"], body["user"]["id"]);
    }
    // An address is the same whatever its case.
    client.post("/v1/auth/login", &json!({"email": email.to_uppercase(), "password": PASSWORD})).await.expect(200);
}

pub(crate) async fn wrong_password_and_unknown_address_are_told_apart_by_nothing(stack: &Stack) {
    let account = stack.client().register().await;
    let wrong = json!({"email": account.email, "password": "not the right sentence"});
    let unknown = json!({"email": "nobody@example.org", "password": "not the right sentence"});
    let mut bodies = Vec::new();
    for body in [wrong, unknown] {
        let answer = stack.client().post("/v1/auth/login", &body).await;
        answer.expect_problem(401, "credentials_invalid");
        let mut body = answer.json();
        body["request_id"] = json!(null);
        bodies.push(body);
    }
    assert_eq!(bodies[0], bodies[1]);
}

pub(crate) async fn a_taken_address_is_a_conflict(stack: &Stack) {
    let account = stack.client().register().await;
    let again = json!({"email": account.email.to_uppercase(), "password": PASSWORD});
    stack.client().post("/v1/auth/register", &again).await.expect_problem(409, "conflict");
}

pub(crate) async fn weak_passwords_are_refused(stack: &Stack) {
    let long = "x y".repeat(50);
    for password in ["short", "passwordpassword", "aaaaaaaaaaaaaaaaaaaa", long.as_str()] {
        let body = json!({"email": format!("{}@example.org", uuid::Uuid::now_v7()), "password": password});
        let answer = stack.client().post("/v1/auth/register", &body).await;
        answer.expect_problem(422, "invalid");
        assert_eq!(answer.json()["errors"][0]["pointer"], "/password", "{password}");
    }
}

pub(crate) async fn refresh_rotates_and_reuse_ends_the_session(stack: &Stack) {
    let account = stack.client().register().await;
    let anonymous = account.client.anonymous();
    let refresh = async |token: &str| anonymous.post("/v1/auth/refresh", &json!({"refresh_token": token})).await;
    let second = refresh(&account.refresh_token).await.expect(200).json();
    let third = refresh(second["refresh_token"].as_str().unwrap()).await.expect(200).json();
    assert_ne!(second["refresh_token"], third["refresh_token"]);
    let fresh = account.client.with_token(third["access_token"].as_str().unwrap());
    fresh.get("/v1/me").await.expect(200);
    // The first token's successor has been used: whoever holds the first one has stolen it, or was robbed.
    refresh(&account.refresh_token).await.expect_problem(401, "token_invalid");
    refresh(third["refresh_token"].as_str().unwrap()).await.expect_problem(401, "token_invalid");
    fresh.get("/v1/me").await.expect_problem(401, "token_invalid");
}

pub(crate) async fn a_lost_answer_does_not_sign_out(stack: &Stack) {
    let account = stack.client().register().await;
    let body = json!({"refresh_token": account.refresh_token});
    account.client.anonymous().post("/v1/auth/refresh", &body).await.expect(200);
    let again = account.client.anonymous().post("/v1/auth/refresh", &body).await.expect(200).json();
    account.client.with_token(again["access_token"].as_str().unwrap()).get("/v1/me").await.expect(200);
}

pub(crate) async fn logout_ends_the_session_at_once(stack: &Stack) {
    let account = stack.client().register().await;
    account.client.call("POST", "/v1/auth/logout", &[], None).await.expect(204);
    account.client.get("/v1/me").await.expect_problem(401, "token_invalid");
    account.client.get("/v1/todos").await.expect_problem(401, "token_invalid");
    account.client.post("/v1/todos", &json!({"title": "late"})).await.expect_problem(401, "token_invalid");
    let body = json!({"refresh_token": account.refresh_token});
    account.client.anonymous().post("/v1/auth/refresh", &body).await.expect_problem(401, "token_invalid");
}

pub(crate) async fn sessions_are_listed_and_ended(stack: &Stack) {
    let first = stack.client().register().await;
    let second = stack.client().login(&first.email).await;
    let third = stack.client().login(&first.email).await;
    let sessions = first.client.get("/v1/sessions").await.expect(200).json();
    let sessions = sessions["data"].as_array().unwrap();
    assert_eq!(sessions.len(), 3);
    let current: Vec<_> = sessions.iter().filter(|session| session["current"] == true).collect();
    assert_eq!(current.len(), 1, "exactly one is this one");

    let own = second.client.get("/v1/sessions").await.json();
    let own = own["data"].as_array().unwrap().iter().find(|session| session["current"] == true).unwrap();
    first.client.delete(&format!("/v1/sessions/{}", own["id"].as_str().unwrap())).await.expect(204);
    second.client.get("/v1/me").await.expect_problem(401, "token_invalid");
    third.client.get("/v1/me").await.expect(200);
    first.client.delete("/v1/sessions").await.expect(204);
    third.client.get("/v1/me").await.expect_problem(401, "token_invalid");
    first.client.get("/v1/me").await.expect(200);

    let stranger = stack.client().register().await;
    let id = current[0]["id"].as_str().unwrap();
    stranger.client.delete(&format!("/v1/sessions/{id}")).await.expect_problem(404, "not_found");
    first.client.get("/v1/me").await.expect(200);
}

pub(crate) async fn a_new_password_ends_the_other_sessions(stack: &Stack) {
    let account = stack.client().register().await;
    let other = stack.client().login(&account.email).await;
    let new = "another plain long sentence";
    let change = |current: &str| json!({"current_password": current, "new_password": new});
    account
        .client
        .post("/v1/auth/password", &change("wrong wrong wrong wrong"))
        .await
        .expect_problem(401, "credentials_invalid");
    account.client.post("/v1/auth/password", &change(PASSWORD)).await.expect(204);
    account.client.get("/v1/me").await.expect(200);
    other.client.get("/v1/me").await.expect_problem(401, "token_invalid");
    let login = |password: &str| json!({"email": account.email, "password": password});
    stack.client().post("/v1/auth/login", &login(PASSWORD)).await.expect_problem(401, "credentials_invalid");
    stack.client().post("/v1/auth/login", &login(new)).await.expect(200);
}

pub(crate) async fn the_profile_is_read_and_changed(stack: &Stack) {
    let account = stack.client().register().await;
    let me = account.client.get("/v1/me").await.expect(200).json();
    assert_eq!(me["email"], account.email);
    let changed = account
        .client
        .patch("/v1/me", &json!({"display_name": "Grace", "time_zone": "Europe/Berlin"}))
        .await
        .expect(200)
        .json();
    assert_eq!((&changed["display_name"], &changed["time_zone"]), (&json!("Grace"), &json!("Europe/Berlin")));
    assert_eq!(account.client.get("/v1/me").await.json()["time_zone"], "Europe/Berlin");
    account.client.patch("/v1/me", &json!({"time_zone": "Mars/Olympus"})).await.expect_problem(422, "invalid");
    account.client.patch("/v1/me", &json!({"email": "x@example.org"})).await.expect_problem(422, "invalid");
}

pub(crate) async fn deletion_erases_the_account(stack: &Stack) {
    let account = stack.client().register().await;
    account.todo("gone soon").await;
    let delete =
        async |password: &str| account.client.call("DELETE", "/v1/me", &[], Some(&json!({"password": password}))).await;
    delete("wrong wrong wrong wrong").await.expect_problem(401, "credentials_invalid");
    delete(PASSWORD).await.expect(204);
    account.client.get("/v1/me").await.expect_problem(401, "token_invalid");
    let login = json!({"email": account.email, "password": PASSWORD});
    stack.client().post("/v1/auth/login", &login).await.expect_problem(401, "credentials_invalid");
    // The address is free again.
    stack.client().post("/v1/auth/register", &login).await.expect(201);
}

pub(crate) async fn published_keys_verify_the_token(stack: &Stack) {
    let account = stack.client().register().await;
    let answer = stack.client().get("/.well-known/jwks.json").await.expect(200);
    assert!(answer.header("cache-control").is_some_and(|value| value.contains("max-age=300")), "{:?}", answer.headers);
    let parts: Vec<_> = account.client.token().split('.').collect();
    let decode = |part: &str| {
        serde_json::from_slice::<serde_json::Value>(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let (header, claims) = (decode(parts[0]), decode(parts[1]));
    assert_eq!(header["alg"], "EdDSA");
    let keys = answer.json();
    let key = keys["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["kid"] == header["kid"])
        .expect("the token's key is published");
    assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519")));
    assert!(key.get("d").is_none(), "the private half stays at home");
    assert_eq!(claims["sub"], account.id);
    for claim in ["iss", "aud", "sid", "jti", "iat", "nbf", "exp", "scope"] {
        assert!(!claims[claim].is_null(), "{claim}");
    }
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
}

pub(crate) async fn tokens_that_are_not_ours_are_refused(stack: &Stack) {
    let account = stack.client().register().await;
    let token = account.client.token().to_owned();
    let parts: Vec<_> = token.split('.').collect();
    let encode = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let decode = |part: &str| {
        serde_json::from_slice::<serde_json::Value>(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let (mut header, mut claims) = (decode(parts[0]), decode(parts[1]));
    header["alg"] = json!("none");
    claims["exp"] = json!(4_102_444_800_i64);
    let mut flipped = token.clone().into_bytes();
    let last = flipped.len() - 10;
    flipped[last] = if flipped[last] == b'A' { b'B' } else { b'A' };
    for forged in [
        format!("{}.{}.", encode(&header), parts[1]),
        format!("{}.{}.{}", parts[0], encode(&claims), parts[2]),
        String::from_utf8(flipped).unwrap(),
        "not-a-token".to_owned(),
        "a".repeat(6000),
    ] {
        let client = account.client.with_token(&forged);
        client.get("/v1/me").await.expect_problem(401, "token_invalid");
    }
    let answer = account.client.anonymous().get("/v1/me").await;
    answer.expect_problem(401, "token_missing");
    assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")), "RFC 6750 3");
}
