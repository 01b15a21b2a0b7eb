//! Clients that do harm on the level of the connection, while a good one goes on posting: it is answered, and memory stays bounded.
//!
//! Each test prints the worst memory it saw and how long the good client waited at most. The bounds: the budget of bytes in flight
//! (`MAX_IN_FLIGHT_BYTES`; the allocator may keep two and a half times as much), 128 KiB of unread bytes for each open connection (`MAX_CONNECTIONS`), and what an idle program takes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tests::client::WRITE_KEY;
use tests::eventually::{PATIENCE, equal, eventually, within};
use tests::hostile::{Step, conversation, deflate, gzip, head, raise_open_files, track, zstd};
use tests::http1::{Answer, Connection, request};
use tests::metrics::Metrics;
use tests::pipeline::Pipeline;
use tests::witness::{Witness, assert_memory_below, during};
use tokio::task::JoinSet;

const MIB: u64 = 1 << 20;
/// What ingest takes in the development profile with hardly anything to do, generously.
const IDLE_BYTES: u64 = 96 * MIB;
/// `MAX_IN_FLIGHT_BYTES`
const BUDGET_BYTES: u64 = 256 * MIB;
/// Unread bytes of one connection, with what belongs to them.
const CONNECTION_BYTES: u64 = 192 << 10;

fn address(pipeline: &Pipeline) -> SocketAddr {
    pipeline.ingests[0].address
}

async fn open_connections(pipeline: &Pipeline) -> f64 {
    Metrics::of(&pipeline.ingests[0]).await.sum("ingest_connections", &[])
}

/// Nobody but the witness and `others` got in, and all that harm held is given back.
async fn assert_unharmed(pipeline: &Pipeline, witness: &Witness, others: usize) {
    eprintln!("good requests meanwhile: {}, the slowest took {:?}", witness.answered, witness.longest);
    assert!(witness.answered >= 3, "{witness:?}");
    eventually("everything in flight is given back", async || {
        equal(Metrics::of(&pipeline.ingests[0]).await.sum("ingest_in_flight_bytes", &[]), 0.0)
    })
    .await;
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, i64::try_from(witness.answered + others).unwrap());
}

fn assert_problem(what: &str, answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
    let body = answer.json();
    for field in ["code", "message", "error", "request_id"] {
        assert!(body[field].is_string(), "{what}: {field} is missing in {body}");
    }
}

/// Every case `each` times at the same moment: steps, and the status of the last answer; `None`: closed without any.
async fn all_at_once(address: SocketAddr, cases: Vec<(&'static str, Vec<Step>, Option<u16>)>, each: usize) {
    let mut clients = JoinSet::new();
    for (what, steps, status) in cases.into_iter().flat_map(|case| std::iter::repeat_n(case, each)) {
        clients.spawn(async move {
            let last = conversation(address, &steps).await.into_iter().rfind(|answer| answer.status != 100);
            match (status, last) {
                (None, None) => {}
                (Some(200), Some(answer)) => assert_eq!(answer.status, 200, "{what}: {}", answer.text()),
                (Some(status), Some(answer)) => assert_problem(what, &answer, status),
                (status, last) => panic!("{what}: wanted {status:?}, got {last:?}"),
            }
        });
    }
    clients.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_and_slow_bodies_and_clients_that_never_read_are_cut() {
    const EACH: usize = 60;
    let pipeline = Pipeline::start().await;
    let address = address(&pipeline);
    let mut used = Connection::open(address).await.unwrap();
    let get = request("GET", "/livez", &[], b"");
    assert_eq!(used.exchange(&get).await.unwrap().status, 200);
    let mut deaf = Vec::new();
    for _ in 0..EACH {
        let mut connection = Connection::open(address).await.unwrap();
        connection.send(&head("GET /metrics", &[]).repeat(3_000)).await.unwrap();
        deaf.push(connection);
    }
    let drip = |bytes: &[u8]| vec![Step::Send(bytes.to_vec()), Step::Drip(b'x', Duration::from_millis(500))];
    let stop = |bytes: &[u8]| vec![Step::Send(bytes.to_vec())];
    let with = |header: &str, begin: &str| [&head("POST /v1/track", &[header]), begin.as_bytes()].concat();
    let continued = head("POST /v1/track", &["content-length: 1000", "expect: 100-continue"]);
    let cases = vec![
        // A head is cut without an answer: there is no request to answer.
        ("a silent connection", vec![], None),
        ("a head that drips", drip(b"POST /v1/track HTTP/1.1\r\nx-slow: "), None),
        ("a head that stops", stop(b"POST /v1/track HTTP/1.1\r\nhost: x\r\n"), None),
        ("a body that drips", drip(&with("content-length: 1000", "{")), Some(408)),
        ("a body that stops", stop(&with("content-length: 1000", "{")), Some(408)),
        ("a body that never begins", stop(&with("content-length: 1000", "")), Some(408)),
        ("a chunk that stops", stop(&with("transfer-encoding: chunked", "ff\r\n{")), Some(408)),
        ("no last chunk", stop(&with("transfer-encoding: chunked", "1\r\n{\r\n")), Some(408)),
        ("a body that was asked for", stop(&continued), Some(408)),
    ];
    let started = Instant::now();
    let clients = (cases.len() * EACH + EACH) as u64;
    let ((), witness) = during(&pipeline, all_at_once(address, cases, EACH)).await;
    // Silent ones are cut after 10 s, bodies after 30; one that was good for a request is kept for the next.
    assert!(started.elapsed() > Duration::from_secs(29), "the slow ones were cut after {:?}", started.elapsed());
    assert_eq!(used.exchange(&get).await.expect("a connection that was used is kept").status, 200);
    within(Duration::from_secs(90), "the deaf are cut", async || {
        let open = open_connections(&pipeline).await;
        if open < 5.0 { Ok(()) } else { Err(format!("{open} connections are open")) }
    })
    .await;
    drop(deaf);
    assert_memory_below(&pipeline.ingests[0], IDLE_BYTES + clients * CONNECTION_BYTES, "600 slow clients");
    assert_unharmed(&pipeline, &witness, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_idle_connections_cost_little() {
    const IDLE: usize = 5_000;
    raise_open_files(IDLE as u64 + 1_000);
    let pipeline = Pipeline::start().await;
    let address = address(&pipeline);
    let harm = async {
        let mut opening = JoinSet::new();
        for _ in 0..50 {
            opening.spawn(async move {
                let mut idle = Vec::new();
                for _ in 0..IDLE / 50 {
                    let mut connection = Connection::open(address).await.unwrap();
                    // Answered once: a connection that only waits to be accepted is not there yet.
                    let answer = connection.exchange(&request("GET", "/livez", &[], b"")).await.unwrap();
                    assert_eq!(answer.status, 200);
                    idle.push(connection);
                }
                idle
            });
        }
        let idle = opening.join_all().await;
        // Near half of the cap new ones are let go sooner.
        let open = open_connections(&pipeline).await;
        assert!(open > 4_900.0, "{open} are open");
        drop(idle);
        eventually("they are gone", async || {
            let open = open_connections(&pipeline).await;
            if open < 5.0 { Ok(()) } else { Err(format!("{open} are open")) }
        })
        .await;
    };
    let ((), witness) = during(&pipeline, harm).await;
    assert_memory_below(&pipeline.ingests[0], IDLE_BYTES + IDLE as u64 * (32 << 10), "5,000 idle connections");
    assert_unharmed(&pipeline, &witness, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_connections_waits_in_the_queue_of_a_busy_ingest() {
    const STORM: usize = 1_000;
    raise_open_files(STORM as u64 + 1_000);
    let pipeline = Pipeline::start().await;
    let address = address(&pipeline);
    // As if it were given no processor at all.
    pipeline.ingests[0].pause();
    let mut opening = JoinSet::new();
    for _ in 0..STORM {
        opening.spawn(async move { Connection::open(address).await.unwrap() });
    }
    let opened = tokio::time::timeout(PATIENCE, opening.join_all()).await;
    pipeline.ingests[0].resume();
    let connections = opened.expect("the queue has room for all: clients see no pause in ingest when they connect");
    // A connection that the kernel forgot would never be known to ingest.
    eventually("all are accepted", async || {
        let open = open_connections(&pipeline).await;
        if open >= STORM as f64 { Ok(()) } else { Err(format!("{open} are open")) }
    })
    .await;
    drop(connections);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_with_bad_ones_among_them() {
    let pipeline = Pipeline::start().await;
    let bad_body = request("POST", "/v1/track", &[("x-api-key", WRITE_KEY)], b"{");
    let mut bytes = Vec::new();
    for n in 0..50 {
        bytes.extend(track(&format!("event {n}")));
        bytes.extend(&bad_body);
        bytes.extend(request("GET", "/nothing", &[], b""));
        bytes.extend(request("DELETE", "/v1/track", &[], b""));
    }
    bytes.extend(b"no HTTP at all\r\n\r\n");
    bytes.extend(track("after the end"));
    let steps = [Step::Send(bytes)];
    let harm = conversation(address(&pipeline), &steps);
    let (answers, witness) = during(&pipeline, harm).await;
    assert_eq!(answers.len(), 201);
    for (n, four) in answers[..200].chunks(4).enumerate() {
        assert_eq!(four[0].json()["event"]["event"], format!("event {n}"), "{}", four[0].text());
        assert_problem("a bad body", &four[1], 400);
        assert_problem("no such path", &four[2], 404);
        assert_problem("a wrong method", &four[3], 405);
    }
    assert_problem("no HTTP", &answers[200], 400);
    assert_unharmed(&pipeline, &witness, 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_bombs_are_refused_in_words() {
    let pipeline = Pipeline::start().await;
    let send = |bytes: Vec<u8>| vec![Step::Send(bytes)];
    let many: Vec<String> = (0..1_000).map(|n| format!("x-{n}: 1")).collect();
    let many = head("GET /livez", &many.iter().map(String::as_str).collect::<Vec<_>>());
    let long = |bytes: usize| format!("x-long: {}", "x".repeat(bytes));
    let endless = [b"GET /livez HTTP/1.1\r\n".to_vec(), b"x: y\r\n".repeat(100_000)].concat();
    let cases = vec![
        ("1,000 headers", send(many), Some(431)),
        ("a header of 1 MB", send(head("GET /livez", &[&long(1 << 20)])), Some(431)),
        ("headers without an end", send(endless), Some(431)),
        ("an address of 100 KB", send(head(&format!("GET /{}", "x".repeat(100_000)), &[])), Some(414)),
        ("an address of 1 MB", send(head(&format!("GET /{}", "x".repeat(1 << 20)), &[])), Some(431)),
        ("an address of 10 KB", send(head(&format!("GET /{}", "x".repeat(10_000)), &["connection: close"])), Some(414)),
        ("a header of 10 KB", send(head("GET /livez", &[&long(10_000), "connection: close"])), Some(200)),
    ];
    // The first six are refused; the last is only large.
    let ((), witness) = during(&pipeline, all_at_once(address(&pipeline), cases, 64)).await;
    assert_memory_below(&pipeline.ingests[0], IDLE_BYTES + 7 * 64 * CONNECTION_BYTES, "448 header bombs");
    assert_unharmed(&pipeline, &witness, 0).await;
}

/// A chunked track, with the chunks as given.
fn chunks(chunks: &[u8]) -> Vec<Step> {
    vec![Step::Send([&head("POST /v1/track", &["transfer-encoding: chunked", "connection: close"]), chunks].concat())]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_are_read_however_small_and_refused_when_they_lie() {
    let pipeline = Pipeline::start().await;
    let body = br#"{"user_id":"u","event":"chunked"}"#;
    let bytewise = |extension: &str| {
        let mut all = Vec::new();
        body.iter().for_each(|byte| all.extend([format!("1{extension}\r\n").as_bytes(), &[*byte], b"\r\n"].concat()));
        all
    };
    let whole = [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat();
    let then = |begin: &[u8], end: &str| chunks(&[begin, end.as_bytes()].concat());
    let good = vec![
        ("a byte at a time", then(&bytewise(""), "0\r\n\r\n"), Some(200)),
        ("extensions", then(&bytewise(";name=\"va;lue\""), "0;last\r\n\r\n"), Some(200)),
        ("trailers", then(&whole, "0\r\nx-trailer: 1\r\n\r\n"), Some(200)),
    ];
    let accepted = good.len();
    let bad = vec![
        ("a size beyond 64 bits", then(b"", "fffffffffffffffff\r\n{"), Some(400)),
        ("a negative size", then(b"", "-1\r\n{"), Some(400)),
        ("a size that is no number", then(b"", "zz\r\n{"), Some(400)),
        ("no size", then(b"", "\r\n{"), Some(400)),
        ("a size too small", then(b"3\r\n", "{\"user_id\":\"u\"}\r\n0\r\n\r\n"), Some(400)),
        ("an extension without an end", then(b"", &format!("1;{}", "x".repeat(1 << 20))), Some(400)),
        ("trailers without an end", then(&whole, &format!("0\r\n{}", "x: y\r\n".repeat(100_000))), Some(400)),
        ("a client that goes in the middle", [then(b"5\r\n", "{\"a"), vec![Step::HalfClose]].concat(), Some(400)),
    ];
    let harm = async {
        all_at_once(address(&pipeline), good, 1).await;
        all_at_once(address(&pipeline), bad, 8).await;
    };
    let ((), witness) = during(&pipeline, harm).await;
    assert_unharmed(&pipeline, &witness, accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_two_readers_could_cut_differently_are_refused_or_cut_as_the_standard_says() {
    let pipeline = Pipeline::start().await;
    let smuggled = String::from_utf8(track("smuggled")).unwrap();
    let post =
        |headers: &[&str], body: &str| vec![Step::Send([&head("POST /v1/track", headers), body.as_bytes()].concat())];
    let whole = |line: &str| vec![Step::Send(format!("{line}\r\n\r\n{smuggled}").into_bytes())];
    let line = "POST /v1/track HTTP/1.1\r\nhost: x\r\n";
    let refused = vec![
        ("two lengths", post(&["content-length: 2", "content-length: 0"], &smuggled), Some(400)),
        ("a list of lengths", post(&["content-length: 0, 0"], &smuggled), Some(400)),
        ("a length with a sign", post(&["content-length: +2"], &smuggled), Some(400)),
        ("a hexadecimal length", post(&["content-length: 0x2"], &smuggled), Some(400)),
        ("a negative length", post(&["content-length: -1"], &smuggled), Some(400)),
        ("a length beyond 64 bits", post(&["content-length: 18446744073709551616"], &smuggled), Some(400)),
        ("chunked not last", post(&["transfer-encoding: chunked, identity"], &smuggled), Some(400)),
        ("an unknown transfer encoding", post(&["transfer-encoding: xchunked"], &smuggled), Some(400)),
        ("a folded header", whole(&format!("{line}x: 1\r\n  content-length: 0")), Some(400)),
        ("a space before the colon", whole(&format!("{line}content-length : 0")), Some(400)),
        ("a header without a name", whole(&format!("{line}: 0")), Some(400)),
        ("a zero byte in a header", whole(&format!("{line}x: \0")), Some(400)),
        ("chunks in HTTP/1.0", whole("POST /v1/track HTTP/1.0\r\ntransfer-encoding: chunked"), Some(400)),
        // Its client waits for frames, and could not read an answer.
        ("HTTP/2 over plain text", vec![Step::Send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec())], None),
        ("no HTTP", vec![Step::Send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec())], Some(400)),
    ];
    let ((), witness) = during(&pipeline, all_at_once(address(&pipeline), refused, 4)).await;

    // Both kinds of length: the chunks count, the length is as if it was never sent, and nothing more is read (RFC 9112, 6.3).
    let body = r#"{"user_id":"u","event":"chunked"}"#;
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n{smuggled}", body.len());
    for order in
        [["content-length: 4", "transfer-encoding: chunked"], ["transfer-encoding: chunked", "content-length: 4"]]
    {
        let answers = conversation(address(&pipeline), &post(&order, &chunked)).await;
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200], "{order:?}");
    }
    let events = "SELECT count(*) FROM events WHERE event = 'smuggled'";
    assert_unharmed(&pipeline, &witness, 2).await;
    assert_eq!(pipeline.database.number(events).await, 0);
}

#[tokio::test]
async fn a_body_is_asked_for_only_when_it_is_wanted() {
    let pipeline = Pipeline::start().await;
    let body = r#"{"user_id":"u","event":"asked for"}"#;
    let length = format!("content-length: {}", body.len());
    let mut connection = Connection::open(address(&pipeline)).await.unwrap();
    connection.send(&head("POST /v1/track", &[&length, "expect: 100-continue"])).await.unwrap();
    assert_eq!(connection.receive(true).await.unwrap().status, 100);
    assert_eq!(connection.exchange(body.as_bytes()).await.unwrap().status, 200);

    let large = head("POST /v1/batch", &["content-length: 1000000000", "expect: 100-continue"]);
    let wrong_key = request("POST", "/v1/track", &[("x-api-key", "wrong"), ("expect", "100-continue")], b"");
    let wrong_key = String::from_utf8(wrong_key).unwrap().replace("content-length: 0", "content-length: 10");
    for (what, bytes, status) in [("too large", large, 413), ("a wrong key", wrong_key.into_bytes(), 401)] {
        let mut connection = Connection::open(address(&pipeline)).await.unwrap();
        connection.send(&bytes).await.unwrap();
        assert_problem(what, &connection.receive(false).await.unwrap(), status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_vanish_anywhere_leave_nothing_behind() {
    let pipeline = Pipeline::start().await;
    let address = address(&pipeline);
    // Cut anywhere before the end, so that no server can take it for a whole request.
    let good = track("cut");
    let large = [&head("POST /v1/batch", &["content-length: 9000000"])[..], &vec![b' '; 1 << 20]].concat();
    let zipped =
        [&head("POST /v1/batch", &["content-encoding: gzip", "content-length: 9000000"])[..], &gzip(&good)].concat();
    let harm = async {
        let mut clients = JoinSet::new();
        for n in 0..600 {
            let bytes = match n % 3 {
                0 => good[..n * (good.len() - 1) / 600].to_vec(),
                1 => large.clone(),
                _ => zipped.clone(),
            };
            clients.spawn(async move {
                let mut connection = Connection::open(address).await.unwrap();
                // The server may have refused it by now.
                let _ = connection.send(&bytes).await;
                if n % 2 == 0 {
                    let _ = connection.finish_sending().await;
                }
            });
        }
        clients.join_all().await;
        eventually("the connections are gone", async || {
            let open = open_connections(&pipeline).await;
            if open < 5.0 { Ok(()) } else { Err(format!("{open} are open")) }
        })
        .await;
    };
    let ((), witness) = during(&pipeline, harm).await;
    assert_memory_below(&pipeline.ingests[0], IDLE_BYTES + BUDGET_BYTES, "600 clients that vanish");
    assert_unharmed(&pipeline, &witness, 0).await;
}

/// All of these bodies, 16 times each, at the same moment. They are refused, some perhaps for want of room.
async fn explode(address: SocketAddr, bombs: &[(&'static str, Vec<u8>)]) {
    let mut clients = JoinSet::new();
    for (encoding, bomb) in (0..16).flat_map(|_| bombs.to_vec()) {
        clients.spawn(async move {
            let headers = [("x-api-key", WRITE_KEY), ("content-encoding", encoding)];
            let mut connection = Connection::open(address).await.unwrap();
            let answer = connection.exchange(&request("POST", "/v1/batch", &headers, &bomb)).await.unwrap();
            let status = if answer.status == 503 { 503 } else { 413 };
            assert_problem(encoding, &answer, status);
            assert_eq!(status == 503, answer.header("retry-after").is_some(), "{encoding}");
        });
    }
    clients.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_decompression_bombs_at_once_stay_within_the_budget() {
    let pipeline = Pipeline::start().await;
    let zeros = vec![0; 256 << 20];
    let bombs =
        [("gzip", gzip(&zeros)), ("deflate", deflate(&zeros)), ("zstd", zstd(&zeros, 23)), ("zstd", zstd(&zeros, 27))];
    let ((), witness) = during(&pipeline, explode(address(&pipeline), &bombs)).await;
    // Now such as unfold just within the ratio, up to the cap: together four times the budget, so even good requests may have to wait.
    let half: Vec<u8> = (0..80_000).map(|_| fastrand::u8(..)).chain(vec![0; 32 << 20]).collect();
    let dense = [("gzip", gzip(&half)), ("deflate", deflate(&half)), ("zstd", zstd(&half, 20)), ("gzip", gzip(&half))];
    explode(address(&pipeline), &dense).await;
    assert_memory_below(&pipeline.ingests[0], IDLE_BYTES + 5 * BUDGET_BYTES / 2, "64 decompression bombs");
    assert_unharmed(&pipeline, &witness, 0).await;
}
