//! The split example as real processes: an API, and workers built from other code, with Redis between.

// In tests, and what they share, an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

#[path = "../../actor-redis/tests/broker/cluster/members.rs"]
mod cluster;
mod http;
#[path = "../integration/support/probe.rs"]
#[allow(dead_code, unreachable_pub)] // The other binary uses more of it.
mod probe;
mod process;
#[path = "../integration/support/sentinels.rs"]
#[allow(unreachable_pub)] // The other binary is a crate of its own too.
mod sentinels;
#[path = "../integration/support/server.rs"]
#[allow(dead_code, unreachable_pub)] // The other binary uses more of it.
mod server;
mod tree;

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::Answer;
use crate::process::{Process, Service, signal};
use crate::server::RedisServer;

/// The first example of FIPS 180-2.
const SHA256_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// Longer than any test, so that a killed worker is certainly amid a run.
const FOREVER_MS: &str = "3600000";

/// A listening API, its directory of uploads, and its Redis.
struct Api {
    process: Process,
    address: String,
    uploads: tempfile::TempDir,
    redis_url: String,
}

impl Api {
    fn start(redis: &RedisServer) -> Self {
        let uploads = tempfile::tempdir().unwrap();
        let directory = uploads.path().to_str().unwrap();
        let redis_url = redis.url();
        let settings = [
            ("REDIS_URL", &*redis_url),
            ("UPLOADS", directory),
            ("LISTEN", "127.0.0.1:0"),
            ("MAX_UPLOAD_BYTES", "1000"),
        ];
        let mut process = Process::start(Service::Api, &settings);
        let line = process.wait_for("listening on http://");
        let address = line.rsplit("http://").next().unwrap().to_owned();
        Self { process, address, uploads, redis_url }
    }

    fn worker(&self, settings: &[(&str, &str)]) -> Process {
        let uploads = self.uploads.path().to_str().unwrap();
        let mut all = vec![("REDIS_URL", &*self.redis_url), ("UPLOADS", uploads)];
        all.extend(settings);
        let mut worker = Process::start(Service::Worker, &all);
        worker.wait_for("worker live");
        worker
    }

    fn upload(&self, content: &[u8]) -> Answer {
        http::request(&self.address, "POST", "/videos", content)
    }

    /// Uploads a video, which must be accepted, and returns its id.
    fn accepted(&self, content: &[u8]) -> String {
        let answer = self.upload(content);
        assert_eq!(answer.status, 202, "{answer:?}");
        assert!(answer.body["message_id"].is_string(), "{answer:?}");
        answer.body["video_id"].as_str().unwrap().to_owned()
    }

    fn get(&self, path: &str) -> Answer {
        http::request(&self.address, "GET", path, b"")
    }

    fn video(&self, id: &str) -> Value {
        let answer = self.get(&format!("/videos/{id}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// Polls until a video is done.
    fn until_done(&self, id: &str) {
        let began = Instant::now();
        while self.video(id)["status"] != "done" {
            assert!(began.elapsed() < Duration::from_secs(60), "video {id} was never done");
            std::thread::yield_now();
        }
    }

    /// The number of files in the directory of uploads.
    fn files(&self) -> usize {
        std::fs::read_dir(self.uploads.path()).unwrap().count()
    }
}

#[test]
fn what_a_killed_worker_ran_is_done_by_another_within_ten_seconds() {
    let redis = RedisServer::durable();
    let api = Api::start(&redis);
    let mut victim = api.worker(&[("CONCURRENCY", "2"), ("SLOWDOWN_MS", FOREVER_MS)]);
    let held = [api.accepted(b"abc"), api.accepted(b"a second video")];
    for _ in &held {
        victim.wait_for("processing video");
    }

    // Both of its slots are taken, so the rest is for the other.
    let mut other = api.worker(&[]);
    let free: Vec<String> = (0..4).map(|n| api.accepted(format!("video {n}").as_bytes())).collect();
    for _ in &free {
        other.wait_for("video processed");
    }
    for id in &held {
        http::until(|| api.video(id)["progress"] == "reading the video");
        assert_eq!(api.video(id)["status"], "processing");
    }

    victim.kill();
    let killed = Instant::now();
    for _ in &held {
        let begun = other.wait_for("processing video");
        assert!(held.iter().any(|id| begun.contains(&format!("video_id={id} crashes=1"))), "{begun}");
        let took = killed.elapsed();
        assert!(took < Duration::from_secs(10), "it was taken up after {took:?}");
    }
    // Both run at once, so that one may end before the other has logged anything.
    for id in &held {
        api.until_done(id);
    }
    for id in held.iter().chain(&free) {
        assert_eq!(api.video(id)["status"], "done");
    }
    assert_eq!(api.video(&held[0])["report"]["sha256"], SHA256_OF_ABC);
    assert_eq!(api.video(&held[0])["report"]["bytes"], 3);
}

#[test]
fn both_services_end_in_good_order_when_they_are_asked_to() {
    let redis = RedisServer::durable();
    let mut api = Api::start(&redis);
    let mut worker = api.worker(&[]);
    let id = api.accepted(b"abc");
    worker.wait_for("video processed");
    assert!(worker.terminate().success());
    assert_eq!(api.video(&id)["status"], "done");
    assert!(api.process.terminate().success());
}

#[test]
fn a_worker_that_is_asked_to_stop_finishes_what_it_runs() {
    let redis = RedisServer::durable();
    let api = Api::start(&redis);
    let mut worker = api.worker(&[("SLOWDOWN_MS", "500")]);
    let id = api.accepted(b"abc");
    worker.wait_for("processing video");
    assert!(worker.terminate().success());
    assert_eq!(api.video(&id)["status"], "done");
}

#[test]
fn while_redis_is_away_the_api_runs_and_says_so_and_when_it_is_back_it_goes_on() {
    let mut redis = RedisServer::durable();
    redis.kill();
    let api = Api::start(&redis);

    let answer = api.upload(b"abc");
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.body["message_may_be_stored"], false);
    assert!(answer.body["error"].as_str().unwrap().contains("the video was not accepted"), "{answer:?}");
    assert_eq!(api.files(), 0, "an upload that nobody will process was kept");
    let health = api.get("/health");
    assert_eq!(health.status, 503, "{health:?}");
    assert!(health.body["error"].is_string(), "{health:?}");

    redis.revive();
    // Only a request shows that the API has found Redis again.
    http::until(|| api.get("/health").status == 200);
    let mut worker = api.worker(&[]);
    let id = api.accepted(b"abc");
    worker.wait_for("video processed");
    assert_eq!(api.video(&id)["status"], "done");
}

#[test]
fn an_upload_with_an_unknown_send_is_kept_and_the_client_learns_it() {
    let redis = RedisServer::durable();
    let api = Api::start(&redis);
    let mut worker = api.worker(&[]);
    http::until(|| api.get("/health").status == 200);

    let information = redis.cli(&["info", "server"]);
    let pid = information.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap().parse().unwrap();
    signal("-STOP", pid);
    let answer = api.upload(b"abc");
    signal("-CONT", pid);
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.body["message_may_be_stored"], true, "{answer:?}");
    // It was stored: a frozen Redis reads its requests when it goes on.
    worker.wait_for("video processed");
    assert_eq!(api.video(answer.body["video_id"].as_str().unwrap())["status"], "done");
}

#[test]
fn what_cannot_be_processed_is_refused_before_anything_is_sent() {
    let redis = RedisServer::durable();
    let api = Api::start(&redis);
    assert_eq!(api.upload(b"").status, 400);
    assert_eq!(api.upload(&[0; 1001]).status, 413);
    assert_eq!(api.files(), 0, "a refused upload was kept");
    let missing = api.get("/videos/01977c3e-0000-7000-8000-000000000000");
    assert_eq!(missing.status, 404, "{missing:?}");
    assert!(missing.body["error"].is_string(), "{missing:?}");
    assert_eq!(api.get("/videos/nonsense").status, 400);
    let health = api.get("/health");
    assert_eq!((health.status, &health.body["ready"]), (200, &Value::from(0)), "{health:?}");
}
