//! Logging in at a provider: in a browser that comes back, by pasting, on another device.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

#[cfg(unix)]
use crate::permissions::{NOBODY, give_away, is_root, unprivileged};
use crate::support::home::{HOUR, Home, Run, STORE, now_ms};
use crate::support::login_server::{LoginServer, jwt};
#[cfg(unix)]
use crate::support::terminal::Terminal;

const SETTINGS: &str = ".clawdbot/clawkeep.toml";
const CONFIG: &str = ".clawdbot/clawdbot.json";
const LOGIN: [&str; 5] = ["models", "auth", "login", "--provider", "test"];

fn home(more: &str) -> (Home, LoginServer) {
    let (home, server) = (Home::new(), LoginServer::start());
    home.write(SETTINGS, server.setting("test", more));
    home.run(&["init"]).ok();
    (home, server)
}

/// The program on a desktop whose browser does not start.
pub(crate) fn on_desktop(home: &Home, args: &[&str]) -> Command {
    let mut command = home.command(args);
    command
        .env("DISPLAY", ":9")
        .env("PATH", home.at("no-programs"));
    command
}

/// A login that waits: what it says is read while it runs.
struct Waiting {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Waiting {
    fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let said = String::new();
        Self {
            child,
            stderr,
            said,
        }
    }

    fn login(home: &Home, more: &[&str]) -> Self {
        Self::start(on_desktop(home, &[&LOGIN[..], more].concat()))
    }

    /// Reads on until an address is said.
    fn url(&mut self) -> Url {
        loop {
            let mut line = String::new();
            let read = self.stderr.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "no address in {:?}", self.said);
            self.said.push_str(&line);
            if let Some(url) = line.strip_prefix("  http") {
                return Url::parse(&format!("http{}", url.trim())).unwrap();
            }
        }
    }

    fn end(mut self) -> Run {
        self.stderr.read_to_string(&mut self.said).unwrap();
        let mut run: Run = self.child.wait_with_output().unwrap().into();
        run.stderr = self.said;
        run
    }
}

fn field(url: &Url, name: &str) -> String {
    let mut values = url.query_pairs().filter(|(known, _)| known == name);
    values.next().unwrap().1.into_owned()
}

fn redirect(url: &Url) -> Url {
    Url::parse(&field(url, "redirect_uri")).unwrap()
}

/// What the browser would open at the end.
pub(crate) fn callback(url: &Url, code: &str) -> Url {
    let mut callback = redirect(url);
    let state = field(url, "state");
    callback
        .query_pairs_mut()
        .extend_pairs([("code", code), ("state", &state)]);
    callback
}

/// Sends a request as it stands; the whole answer.
fn send(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn address(url: &Url) -> String {
    format!("127.0.0.1:{}", url.port().unwrap())
}

/// Opens an address as a browser does.
pub(crate) fn open(url: &Url) -> String {
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let target = &url[url::Position::BeforePath..];
    send(
        &address(url),
        &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n"),
    )
}

fn entry(home: &Home, id: &str) -> Value {
    home.json(STORE)["profiles"][id].clone()
}

/// Nothing that is secret is said, recorded, or in a file but the store.
#[track_caller]
fn assert_kept(home: &Home, run: &Run, server: &LoginServer) {
    let mut secrets = Vec::new();
    for request in server.requests() {
        for name in ["code", "code_verifier", "device_code"] {
            secrets.extend(request.fields.get(name).cloned());
        }
    }
    assert!(secrets.len() >= 2, "{secrets:?}");
    let history = home.run(&["history", "--json"]).ok();
    for secret in &secrets {
        assert!(!run.stderr.contains(secret), "{}", run.stderr);
        assert!(!run.stdout.contains(secret) && !history.contains(secret));
        assert_eq!(home.files_with(secret), [] as [String; 0]);
    }
    for token in ["sk-test-access-", "sk-test-refresh-"] {
        assert!(
            !run.stderr.contains(token) && !run.stdout.contains(token) && !history.contains(token)
        );
        let files = home.files_with(token);
        assert!(files.is_empty() || files == [STORE], "{files:?}");
    }
    home.assert_sound();
}

#[test]
fn a_browser_comes_back_and_the_login_is_stored_recorded_and_exported() {
    let (home, server) = home("");
    let mut login = Waiting::login(&home, &[]);
    let url = login.url();
    assert_eq!(field(&url, "client_id"), "test-client");
    assert_eq!(field(&url, "scope"), "openid email");
    let redirect = redirect(&url);
    assert_eq!(redirect.host_str(), Some("127.0.0.1"));
    assert_eq!(redirect.path(), "/callback");
    let code = server.agree(&url);
    let page = open(&callback(&url, &code));
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    for header in [
        "Connection: close",
        "Cache-Control: no-store",
        "Referrer-Policy: no-referrer",
    ] {
        assert!(page.contains(&format!("\r\n{header}\r\n")), "{page}");
    }
    assert!(
        page.contains("The login is stored. You can close this page."),
        "{page}"
    );
    assert!(!page.contains(&code) && !page.contains("<script"), "{page}");
    let run = login.end().exits(0);
    assert_eq!(
        home.with_tilde(run.stdout.clone()),
        "Updated ~/.clawdbot/clawdbot.json\nAuth profile: test:default (test/oauth), lasts 8h\n"
    );
    let entry = entry(&home, "test:default");
    let expires = entry["expires"].as_i64().unwrap();
    let left = expires - now_ms();
    assert!((7 * HOUR..=8 * HOUR).contains(&left), "{left}");
    assert_eq!(
        entry.to_string(),
        json!({"type": "oauth", "provider": "test", "access": "sk-test-access-2",
            "refresh": "sk-test-refresh-2", "expires": expires})
        .to_string()
    );
    assert_eq!(
        home.json(CONFIG),
        json!({"auth": {"profiles": {"test:default": {"provider": "test", "mode": "oauth"}}}})
    );
    let created = home.newest("profile.created").unwrap();
    assert_eq!(created["detail"], json!({"by": "login"}));
    // The code was sent once.
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(
        requests[0].content_type,
        "application/x-www-form-urlencoded"
    );
    assert!(!requests[0].fields.contains_key("state"));
    assert_kept(&home, &run, &server);
    // It is pinned: with another endpoint in the settings, its refresh token stays here.
    let elsewhere = LoginServer::start();
    home.write(SETTINGS, elsewhere.setting("test", ""));
    let run = home.run(&["refresh", "test:default"]).exits(1);
    assert!(run.stderr.contains(&server.origin()), "{}", run.stderr);
    assert_eq!(elsewhere.requests().len(), 0);
}

#[test]
fn other_requests_are_refused_and_the_browser_is_still_awaited() {
    let (home, server) = home("redirect_path = \"/auth/callback\"");
    let mut login = Waiting::login(&home, &[]);
    let url = login.url();
    let good = callback(&url, &server.agree(&url));
    let (address, host) = (address(&good), address(&good));
    // Silent ones, and more of them than are listened to at a time.
    let silent: Vec<TcpStream> = (0..40)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    let target = &good[url::Position::BeforePath..];
    let request = |method: &str, target: &str, host: &str| {
        format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
    };
    let state = field(&url, "state");
    let mut wrong_state = redirect(&url);
    wrong_state
        .query_pairs_mut()
        .extend_pairs([("code", "sk-test-other"), ("state", "theirs")]);
    let port = good.port().unwrap();
    for foreign in [
        request("GET", "/", &host),
        request("GET", "/favicon.ico", &host),
        request("GET", &target.replace("/auth", ""), &host),
        request("GET", target, "evil.example"),
        request("GET", target, &format!("localhost:{port}")),
        request("GET", target, "127.0.0.1"),
        format!("GET {target} HTTP/1.1\r\n\r\n"),
        request("POST", target, &host),
        request("HEAD", target, &host),
        request("GET", &wrong_state[url::Position::BeforePath..], &host),
        request("GET", "/auth/callback?code=sk-test-other", &host),
        request(
            "GET",
            "/auth/callback?error=access_denied&state=theirs",
            &host,
        ),
        request("GET", &format!("/auth/callback?state={state}"), &host),
        format!("{:x<16384}", "GET /auth/callback?"), // without an end, and as long as is read
        "\r\n\r\n".to_owned(),
    ] {
        let answer = send(&address, &foreign);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{foreign}: {answer}");
        assert!(!answer.contains("evil"), "{answer}");
    }
    assert!(open(&good).starts_with("HTTP/1.1 200 "));
    drop(silent);
    let run = login.end().exits(0);
    assert_eq!(server.requests().len(), 1);
    assert_kept(&home, &run, &server);
}

#[test]
fn a_refusal_ends_it_and_nothing_is_stored() {
    let (home, server) = home("");
    for (error, told) in [
        (
            "access_denied",
            "the provider refused the login: access_denied",
        ),
        ("sk-test-leak", "the provider refused the login: other"),
    ] {
        let mut login = Waiting::login(&home, &[]);
        let url = login.url();
        let mut denied = redirect(&url);
        denied
            .query_pairs_mut()
            .extend_pairs([("error", error), ("state", &field(&url, "state"))]);
        let page = open(&denied);
        assert!(page.contains("The login failed"), "{page}");
        let run = login.end().exits(1);
        assert!(run.stderr.contains(told), "{}", run.stderr);
        assert!(!run.stderr.contains("sk-test"), "{}", run.stderr);
    }
    assert_eq!(server.requests().len(), 0);
    assert!(home.newest("profile.created").is_none());
}

#[test]
fn a_token_endpoint_that_gives_nothing_is_reported_and_not_asked_twice() {
    let (home, server) = home("");
    let leak = json!({"error": "invalid_grant", "error_description": "sk-test-leak"});
    for (status, answer, told) in [
        (
            400,
            leak,
            "the provider gave no tokens: HTTP 400, invalid_grant",
        ),
        (
            401,
            json!({"error": "invalid_client"}),
            "in [providers.test] of ~/.clawdbot/clawkeep.toml",
        ),
        (503, json!({}), "the provider gave no tokens: HTTP 503"),
        (
            200,
            json!({"refresh_token": "sk-test-r"}),
            "HTTP 200, but the answer is invalid",
        ),
        (429, json!({}), "HTTP 429"),
    ] {
        let before = server.requests().len();
        server.next([(status, answer)]);
        let mut login = Waiting::login(&home, &[]);
        let url = login.url();
        let page = open(&callback(&url, &server.agree(&url)));
        assert!(page.contains("The login failed"), "{page}");
        let run = login.end().exits(1);
        let said = home.with_tilde(run.stderr.clone());
        assert!(said.contains(told), "{said}");
        assert_eq!(server.requests().len(), before + 1);
        assert_kept(&home, &run, &server);
    }
    assert!(home.newest("profile.created").is_none());
}

#[test]
fn what_the_browser_ended_at_is_pasted() {
    let (home, server) = home("encoding = \"json\"");
    let paste = [&LOGIN[..], &["--no-browser"]].concat();
    for is_url in [true, false] {
        let mut command = home.command(&paste);
        command.stdin(Stdio::piped());
        let mut login = Waiting::start(command);
        let url = login.url();
        // Nobody listens: what the browser brings reaches no program.
        assert!(TcpStream::connect(address(&redirect(&url))).is_err());
        let code = server.agree(&url);
        let pasted = match is_url {
            true => callback(&url, &code).to_string(),
            false => format!("{code}#{}", field(&url, "state")),
        };
        // A line is enough: stdin stays open.
        let mut stdin = login.child.stdin.take().unwrap();
        writeln!(stdin, "{pasted}").unwrap();
        let run = login.end().exits(0);
        drop(stdin);
        assert!(
            run.stdout
                .ends_with("Auth profile: test:default (test/oauth), lasts 8h\n")
        );
        let request = server.requests().pop().unwrap();
        assert_eq!(request.content_type, "application/json");
        assert_eq!(request.fields["state"], field(&url, "state"));
        assert_kept(&home, &run, &server);
    }
    assert_eq!(
        home.newest("profile.updated").unwrap()["detail"],
        json!({"by": "login"})
    );
    let sent = server.requests().len();
    for (pasted, told) in [
        ("sk-test-code#theirs", "belongs to another login"),
        (
            "http://127.0.0.1/callback?code=sk-test-code&state=theirs",
            "belongs to another login",
        ),
        ("sk-test-code", "has no state"),
        (
            "http://127.0.0.1/callback?code=sk-test-code",
            "has no state",
        ),
    ] {
        let run = home.run_with_input(&paste, pasted).exits(1);
        assert!(run.stderr.contains(told), "{}", run.stderr);
        assert!(!run.stderr.contains("sk-test-code"), "{}", run.stderr);
    }
    home.run_with_input(&paste, "").exits(64);
    assert_eq!(server.requests().len(), sent);
}

#[cfg(unix)]
#[test]
fn on_a_terminal_what_is_pasted_does_not_show() {
    let (home, server) = home("");
    let mut terminal = Terminal::start(home.command(&[&LOGIN[..], &["--no-browser"]].concat()));
    terminal.wait_for("Paste it here");
    let url = terminal
        .shown()
        .lines()
        .find_map(|line| line.strip_prefix("  "));
    let url = Url::parse(url.unwrap().trim()).unwrap();
    let code = server.agree(&url);
    terminal.answer_hidden("Paste it here", callback(&url, &code).as_str());
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("Auth profile: test:default"), "{shown}");
    assert!(!shown.contains(&code), "{shown}");
}

#[test]
fn another_device_confirms() {
    let (home, server) = home("");
    let pending = || (400, json!({"error": "authorization_pending"}));
    server.next([pending(), (400, json!({"error": "slow_down"}))]);
    server.device(json!({"interval": 1, "expires_in": 600,
        "verification_uri_complete": "https://p.example/go?c=ABCD-EFGH"}));
    let run = home.run(&[&LOGIN[..], &["--device"]].concat()).exits(0);
    for said in [
        "/go\n",
        "ABCD-EFGH\n",
        "https://p.example/go?c=ABCD-EFGH\n",
        "10 minutes",
    ] {
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
    }
    assert_eq!(
        run.stdout,
        "Updated ~/.clawdbot/clawdbot.json\nAuth profile: test:default (test/oauth), lasts 8h\n"
    );
    let requests = server.requests();
    let paths: Vec<&str> = requests
        .iter()
        .map(|request| request.path.as_str())
        .collect();
    assert_eq!(paths, ["/device", "/token", "/token", "/token"]);
    assert_eq!(requests[0].fields["scope"], "openid email");
    // As often as it was asked to, and five seconds slower once it was told so.
    let pause = |at: usize| requests[at].at - requests[at - 1].at;
    for (at, least) in [(1, 1), (2, 1), (3, 6)] {
        assert!(
            pause(at) >= Duration::from_secs(least),
            "{at}: {:?}",
            pause(at)
        );
    }
    assert_kept(&home, &run, &server);
}

#[test]
fn another_device_does_not_confirm() {
    let (home, server) = home("");
    let device = [&LOGIN[..], &["--device"]].concat();
    for (error, told) in [
        (
            "access_denied",
            "the provider refused the login: access_denied",
        ),
        (
            "expired_token",
            "the login was not confirmed before its code expired",
        ),
        (
            "invalid_grant",
            "the provider gave no tokens: HTTP 400, invalid_grant",
        ),
    ] {
        server.next([(400, json!({"error": error}))]);
        let run = home.run(&device).exits(1);
        assert!(run.stderr.contains(told), "{}", run.stderr);
    }
    // A code that ends by itself: asked about at its end for the last time.
    server.next([0, 1, 2].map(|_| (400, json!({"error": "authorization_pending"}))));
    server.device(json!({"interval": 60, "expires_in": 1}));
    let before = server.requests().len();
    let run = home.run(&device).exits(1);
    assert!(
        run.stderr.contains("before its code expired"),
        "{}",
        run.stderr
    );
    assert_eq!(
        server.requests().len() - before,
        2,
        "the code, and one question"
    );
    server.device(json!({"verification_uri": "javascript:alert(1)"}));
    let run = home.run(&device).exits(1);
    assert!(run.stderr.contains("did not begin"), "{}", run.stderr);
    assert!(!run.stderr.contains("javascript"), "{}", run.stderr);
    assert!(home.newest("profile.created").is_none());
}

/// Logs in with what the token endpoint says besides.
#[track_caller]
fn log_in(home: &Home, server: &LoginServer, args: &[&str], more: Value) -> Run {
    server.with(more);
    let mut login = Waiting::start(on_desktop(home, args));
    let url = login.url();
    open(&callback(&url, &server.agree(&url)));
    login.end()
}

#[test]
fn the_id_is_that_of_the_e_mail_address_unless_one_is_named() {
    let (home, server) = home("");
    let id_token = |email: &str| json!({"id_token": jwt(&json!({"email": email}))});
    let run = log_in(&home, &server, &LOGIN, id_token(" a@example.com ")).exits(0);
    assert!(
        run.stdout
            .contains("Auth profile: test:a@example.com (test/oauth)")
    );
    assert_eq!(entry(&home, "test:a@example.com")["email"], "a@example.com");
    // What is no address becomes no part of an id.
    for odd in [
        "codex-cli",
        "a@b\u{1b}[2J",
        "",
        &format!("{}@b", "a".repeat(300)),
    ] {
        let run = log_in(&home, &server, &LOGIN, id_token(odd)).exits(0);
        assert!(
            run.stdout.contains("Auth profile: test:default "),
            "{}",
            run.stdout
        );
        assert!(entry(&home, "test:default").get("email").is_none());
    }
    let named = [&LOGIN[..], &["--profile-id", "test:work"]].concat();
    log_in(&home, &server, &named, id_token("b@example.com")).ok();
    assert_eq!(entry(&home, "test:work")["email"], "b@example.com");
    assert!(
        home.json(STORE)["profiles"]
            .get("test:b@example.com")
            .is_none()
    );
}

#[test]
fn what_an_earlier_entry_has_besides_stays_and_it_stays_as_a_version() {
    let (home, server) = home("");
    let earlier = json!({"type": "token", "provider": "Test", "token": "sk-test-earlier",
        "email": "old@example.com",
        "custom": {"kept": true}, "clientId": "old-client", "expires": 5});
    let usage = json!({"errorCount": 3, "cooldownUntil": now_ms() + HOUR});
    home.write(
        STORE,
        json!({"version": 1, "profiles": {"test:x": earlier}, "usageStats": {"test:x": usage}})
            .to_string(),
    );
    let args = [&LOGIN[..], &["--profile-id", "test:x"]].concat();
    let run = log_in(&home, &server, &args, json!({"refresh_token": null})).exits(0);
    assert!(run.stderr.contains("replaced the token"), "{}", run.stderr);
    assert!(
        run.stderr.contains("gave no refresh token"),
        "{}",
        run.stderr
    );
    let entry = entry(&home, "test:x");
    assert_eq!(entry["custom"], json!({"kept": true}));
    assert_eq!(entry["clientId"], "test-client");
    for gone in ["token", "email", "refresh"] {
        assert!(entry.get(gone).is_none(), "{gone}");
    }
    // As with what is pasted: what a gateway learnt of it is the gateway's.
    assert_eq!(home.json(STORE)["usageStats"]["test:x"], usage);
    let updated = home.newest("profile.updated").unwrap();
    assert!(updated["token"]["before"].is_string() && updated["token"]["after"].is_string());
}

#[test]
fn a_profile_may_say_which_client_it_belongs_to() {
    let (home, server) = home("client_id = \"\"");
    let entry = json!({"type": "oauth", "provider": "test", "access": "sk-test-a",
        "refresh": "sk-test-r", "expires": 5,
        "clientId": "its-own"});
    home.write(
        STORE,
        json!({"version": 1, "profiles": {"test:x": entry}}).to_string(),
    );
    let run = home.run(&LOGIN).exits(1);
    assert!(
        run.stderr.contains("client_id in [providers.test]"),
        "{}",
        run.stderr
    );
    let args = [&LOGIN[..], &["--profile-id", "test:x"]].concat();
    log_in(&home, &server, &args, json!({})).ok();
    assert_eq!(server.requests()[0].fields["client_id"], "its-own");
    assert_eq!(self::entry(&home, "test:x")["clientId"], "its-own");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it() {
    let (home, server) = home("");
    let mut login = Waiting::login(&home, &[]);
    let url = login.url();
    let pid = login.child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
    let run = login.end();
    assert_eq!((run.status, run.stdout.as_str()), (-1, ""), "{run:?}");
    assert!(TcpStream::connect(address(&redirect(&url))).is_err());
    assert_eq!(server.requests().len(), 0);
    assert!(home.newest("profile.created").is_none());
}

#[test]
fn a_login_can_be_refreshed_later_where_it_came_from() {
    let (home, server) = home("");
    log_in(&home, &server, &LOGIN, json!({"expires_in": 30})).ok();
    server.next([(
        200,
        json!({"access_token": "sk-test-access-new", "expires_in": 900}),
    )]);
    let token = home.run(&["token", "--provider", "test"]).ok();
    assert_eq!(token.trim(), "sk-test-access-new");
    let request = server.requests().pop().unwrap();
    assert_eq!(request.fields["grant_type"], "refresh_token");
    assert_eq!(request.fields["client_id"], "test-client");
}

#[test]
fn codex_names_the_account_and_wants_localhost() {
    let (home, server) = (Home::new(), LoginServer::start());
    // The port is left to the system, so that no other program has it.
    home.write(
        SETTINGS,
        server.setting("openai-codex", "redirect_port = 0"),
    );
    let args = ["models", "auth", "login", "--provider", "openai-codex"];
    let claims = json!({"https://api.openai.com/auth": {"chatgpt_account_id": "acc-1"}});
    let tokens =
        json!({"access_token": jwt(&claims), "id_token": jwt(&json!({"email": "a@example.com"}))});
    server.with(tokens);
    let mut login = Waiting::start(on_desktop(&home, &args));
    let url = login.url();
    let redirect = redirect(&url);
    assert_eq!(redirect.host_str(), Some("localhost"));
    assert_eq!(redirect.path(), "/auth/callback");
    let port = redirect.port().unwrap();
    // On both families, where there are both.
    if TcpListener::bind("[::1]:0").is_ok() {
        let answer = send(
            &format!("[::1]:{port}"),
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        );
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    let page = open(&callback(&url, &server.agree(&url)));
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    login.end().ok();
    let entry = entry(&home, "openai-codex:a@example.com");
    assert_eq!(entry["accountId"], "acc-1");
}

#[test]
fn a_port_that_is_in_use_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (home, server) = home(&format!("redirect_port = {port}"));
    let run = home.output_of(on_desktop(&home, &LOGIN)).exits(1);
    assert!(
        run.stderr.contains(&format!("port {port} ")),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("--no-browser"), "{}", run.stderr);
    // Pasting needs none.
    let mut command = home.command(&[&LOGIN[..], &["--no-browser"]].concat());
    command.stdin(Stdio::piped());
    let mut login = Waiting::start(command);
    let url = login.url();
    assert_eq!(redirect(&url).port(), Some(port));
    let pasted = format!("{}#{}\n", server.agree(&url), field(&url, "state"));
    let mut stdin = login.child.stdin.take().unwrap();
    stdin.write_all(pasted.as_bytes()).unwrap();
    login.end().ok();
}

#[test]
fn what_cannot_be_logged_in_to_is_refused_with_what_to_set() {
    let home = Home::new();
    home.write(
        SETTINGS,
        "[providers.half]\ntoken_url = \"https://half.example/t\"\nauthorize_url \
         = \"https://half.example/a\"\n",
    );
    home.write(
        STORE,
        json!({"version": 1, "profiles": {"other:x": {"type": "api_key", "provider": "other",
            "key": "sk-test-k"}}})
        .to_string(),
    );
    let before = home.read(STORE);
    for (args, told) in [
        (
            "--provider groq",
            &[
                "set token_url, client_id and authorize_url in [providers.groq] of \
                 ~/.clawdbot/clawkeep.toml",
            ][..],
        ),
        (
            "--provider groq --device",
            &["device_url in [providers.groq]"],
        ),
        ("--provider a.b", &["[providers.\"a.b\"]"]),
        (
            "--provider anthropic",
            &["clawkeep models auth setup-token"],
        ),
        (
            "--provider qwen-portal",
            &["set authorize_url in [providers.qwen-portal]"],
        ),
        ("--provider half", &["set client_id in [providers.half]"]),
        (
            "--provider half --device",
            &["set device_url in [providers.half]"],
        ),
        (
            "--provider openai-codex --profile-id openai-codex:codex-cli",
            &["mirrors another program's login", "codex login"],
        ),
        (
            "--provider openai-codex --profile-id other:x",
            &["other:x is a credential of other, not of openai-codex"],
        ),
        (
            "--provider openai-codex --agent nowhere",
            &["there is no agent nowhere"],
        ),
    ] {
        let words: Vec<&str> = args.split(' ').collect();
        let status = if args.contains("nowhere") { 64 } else { 1 };
        let run = home.run(&[&LOGIN[..3], &words].concat()).exits(status);
        for told in told {
            assert!(run.stderr.contains(told), "{args}: {}", run.stderr);
        }
        assert!(
            run.stderr
                .lines()
                .filter(|line| !line.starts_with("Note:"))
                .count()
                <= 3
        );
    }
    home.run(&[&LOGIN[..], &["--no-browser", "--device"]].concat())
        .exits(64);
    assert_eq!(home.read(STORE), before);
}

#[cfg(unix)]
#[test]
fn where_there_is_a_desktop_its_browser_is_opened() {
    let (home, server) = home("");
    let opened = home.at("opened");
    let made = Command::new("mkfifo").arg(&opened).status().unwrap();
    assert!(made.success());
    // It stays open as a browser does, until the test has read what it was given.
    home.write(
        "bin/xdg-open",
        "#!/bin/sh\necho said-by-the-browser >&2\nprintf %s \"$1\" > \"$HOME/opened\"\n",
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(home.at("bin/xdg-open"), mode).unwrap();
    let mut command = home.command(&LOGIN);
    let path = format!("{}:/usr/bin:/bin", home.at("bin").display());
    command.env("DISPLAY", ":9").env("PATH", path);
    let mut login = Waiting::start(command);
    let url = login.url();
    let started = fs::read_to_string(&opened).unwrap();
    fs::remove_file(&opened).unwrap();
    // Every user can read what it was started with: nothing of the login is in it.
    for name in ["state", "code_challenge"] {
        assert!(!started.contains(&field(&url, name)), "{started}");
    }
    assert!(!started.contains('?'), "{started}");
    let started = Url::parse(&started).unwrap();
    assert_eq!(started.origin(), redirect(&url).origin());
    // It leads on to the provider, once, and nobody else finds it.
    let mut other = started.clone();
    other.set_path("/clawkeep-");
    assert!(open(&other).starts_with("HTTP/1.1 400 "));
    let onward = open(&started);
    assert!(onward.starts_with("HTTP/1.1 302 "), "{onward}");
    assert!(
        onward.contains(&format!("\r\nLocation: {url}\r\n")),
        "{onward}"
    );
    for header in ["Cache-Control: no-store", "Referrer-Policy: no-referrer"] {
        assert!(onward.contains(&format!("\r\n{header}\r\n")), "{onward}");
    }
    let again = open(&started);
    assert!(again.starts_with("HTTP/1.1 410 "), "{again}");
    assert!(!again.contains(&field(&url, "state")), "{again}");
    open(&callback(&url, &server.agree(&url)));
    let run = login.end().exits(0);
    assert!(
        run.stderr.starts_with("A browser opens to log in to test:"),
        "{}",
        run.stderr
    );
    assert!(
        !run.stderr.contains("said-by-the-browser"),
        "{}",
        run.stderr
    );
}

/// Opens an address as another user of this machine, with bash: the whole answer.
#[cfg(unix)]
fn open_as_another(uid: u32, url: &Url, then: &str) -> String {
    use std::os::unix::process::CommandExt as _;
    let target = &url[url::Position::BeforePath..];
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{}; printf 'GET %s HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n' \
         '{target}' '{host}' >&3; {then}",
        url.port().unwrap()
    );
    let mut bash = Command::new("/bin/bash");
    bash.args(["-c", &script]).current_dir("/").env_clear();
    let answer = bash.uid(uid).gid(uid).output().unwrap();
    String::from_utf8(answer.stdout).unwrap()
}

/// Who answers in the browser's place, having seen the login's address, is refused, and the browser
/// is still waited for.
#[cfg(target_os = "linux")]
#[test]
fn another_user_of_this_machine_is_refused() {
    const DAEMON: u32 = 1;
    if !is_root() {
        println!("skipped: acting as another user takes root");
        return;
    }
    for (is_unprivileged, other) in [(false, NOBODY), (true, DAEMON)] {
        let (home, server) = home("");
        let opened = home.at("opened");
        home.write(
            "bin/xdg-open",
            "#!/bin/sh\nprintf %s \"$1\" > \"$HOME/opened\"\n",
        );
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(home.at("bin/xdg-open"), mode).unwrap();
        let made = Command::new("mkfifo").arg(&opened).status().unwrap();
        assert!(made.success());
        let mut command = home.command(&LOGIN);
        if is_unprivileged {
            command = unprivileged(&home, &LOGIN);
            give_away(home.path());
        }
        let path = format!("{}:/usr/bin:/bin", home.at("bin").display());
        command.env("DISPLAY", ":9").env("PATH", path);
        let mut login = Waiting::start(command);
        let url = login.url();
        let started = Url::parse(&fs::read_to_string(&opened).unwrap()).unwrap();
        fs::remove_file(&opened).unwrap();
        let theirs = server.agree(&url);
        let mut denied = redirect(&url);
        let state = field(&url, "state");
        denied
            .query_pairs_mut()
            .extend_pairs([("error", "access_denied"), ("state", &state)]);
        for address in [&started, &callback(&url, &theirs), &denied] {
            let answer = open_as_another(other, address, "cat <&3");
            assert!(answer.starts_with("HTTP/1.1 400 "), "{address}: {answer}");
            // Gone before it can be seen whose it was: nobody waits for the answer.
            open_as_another(other, address, "exec 3>&-");
        }
        assert_eq!(server.requests().len(), 0, "no code was redeemed");
        // The page is still there for the browser, and so is the way back. Root may be a relay, and
        // is not known to be another.
        assert!(open(&started).starts_with("HTTP/1.1 302 "));
        assert!(open(&callback(&url, &server.agree(&url))).starts_with("HTTP/1.1 200 "));
        let run = login.end().exits(0);
        let said = format!("Warning: another user of this machine (uid {other})");
        assert_eq!(run.stderr.matches(&said).count(), 1, "{}", run.stderr);
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn a_login_under_the_default_id_spares_a_borrowed_profile() {
    let (home, server) = home("");
    let opencode = ".local/share/opencode/auth.json";
    let borrowed = json!({"type": "oauth", "access": "sk-test-opencode",
        "refresh": "sk-test-refresh-o", "expires": now_ms() + HOUR});
    home.write(opencode, json!({"test": borrowed}).to_string());
    home.run(&["import", opencode]).ok();
    let mut login = Waiting::login(&home, &[]);
    let url = login.url();
    let code = server.agree(&url);
    open(&callback(&url, &code));
    let run = login.end().exits(1);
    for said in [
        "test:default mirrors another program's login (opencode)",
        "--profile-id",
    ] {
        assert!(run.stderr.contains(said), "{said}: {run:?}");
    }
    assert_eq!(entry(&home, "test:default")["token"], "sk-test-opencode");
    let list = home.run(&["models", "auth", "list", "--json"]).json();
    assert_eq!(list["profiles"][0]["source"], "opencode");
}
