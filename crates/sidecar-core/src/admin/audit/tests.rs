use super::*;
use crate::Sidecar;
use crate::clock::Clock;

fn event(action: &str) -> AuditEvent {
    AuditEvent { action: action.to_owned(), outcome: 200, ..AuditEvent::default() }
}

/// Action and count of every row, the oldest first.
fn rows(taken: &Taken) -> Vec<(String, u64)> {
    let stored = taken.rows().into_iter().enumerate();
    let stored =
        stored.map(|(seq, NewEvent { at_ms, body })| Event { at_ms, seq: seq as u64, body });
    let rows = stored.map(|event| AuditRow::read(&event).unwrap());
    rows.map(|row| (row.event.action, row.count)).collect()
}

fn fail(log: &AuditLog, now: Instant, times: u64) {
    for time in 0..times {
        let event = AuditEvent { request_id: time.to_string(), ..event("login") };
        log.add_failed_login(now, Timestamp::from_millis(0), event);
    }
}

const START: Instant = Instant::from_nanos(0);

#[test]
fn beyond_ten_a_minute_failed_log_ins_share_a_row() {
    let log = AuditLog::default();
    fail(&log, START, 67);
    assert_eq!(rows(&log.take(START)), vec![("login".to_owned(), 1); 10]);
    // The rest is known when the minute is over, whether or not anybody comes then.
    assert!(rows(&log.take(START + Duration::from_secs(59))).is_empty());
    assert_eq!(rows(&log.take(START + MINUTE)), [("login".to_owned(), 57)]);
    assert!(rows(&log.take(START + MINUTE * 9)).is_empty());
    fail(&log, START + MINUTE * 9, 11);
    assert_eq!(rows(&log.take_all()).len(), 11);
}

#[test]
fn a_minute_that_is_over_makes_way_for_the_next() {
    let log = AuditLog::default();
    fail(&log, START, 12);
    fail(&log, START + MINUTE, 1);
    let counts: Vec<_> = rows(&log.take_all()).into_iter().map(|(_, count)| count).collect();
    assert_eq!(counts, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 1]);
}

#[test]
fn what_cannot_be_written_waits_and_the_oldest_makes_room() {
    let log = AuditLog::default();
    let at = Timestamp::from_millis(0);
    for _ in 0..MOST_WAITING {
        log.add(at, &event("old"));
    }
    let taken = log.take(START);
    for _ in 0..5 {
        log.add(at, &event("new"));
    }
    log.put_back(taken);
    log.add(at, &event("new"));
    // It fails once more.
    log.put_back(log.take(START));
    log.add(at, &event("new"));
    let rows = rows(&log.take(START));
    assert_eq!(rows.len(), MOST_WAITING + 1);
    assert_eq!(rows[0], ("lose_audit_rows".to_owned(), 7));
    assert_eq!(rows[1], ("old".to_owned(), 1));
    assert!(rows.iter().rev().take(7).all(|(action, _)| action == "new"));
}

#[test]
fn what_others_wrote_is_short_and_plain() {
    let wild = AuditEvent {
        target: Some(format!("a\u{1b}[2J\r\n{}", "x".repeat(9_999))),
        fields: vec!["n\u{0}".repeat(500); 500],
        request_id: "r\u{7f}".to_owned(),
        ..event("change_provider")
    };
    let NewEvent { at_ms, body } = row(Timestamp::from_millis(7), &wild, 1);
    let row = AuditRow::read(&Event { at_ms, seq: 3, body }).unwrap();
    assert_eq!((row.id, row.at), (3, Timestamp::from_millis(7)));
    let target = row.event.target.unwrap();
    assert!(target.starts_with("a[2Jxx") && target.len() == MOST_CHARACTERS, "{target}");
    assert_eq!(row.event.fields, vec!["n".repeat(64); 64]);
    assert_eq!(row.event.request_id, "r");
}

#[test]
fn a_row_of_a_later_version_is_left_out() {
    let body = vec![VERSION + 1, b'{', b'}'];
    assert_eq!(AuditRow::read(&Event { at_ms: 0, seq: 1, body }), None);
    assert_eq!(AuditRow::read(&Event { at_ms: 0, seq: 1, body: Vec::new() }), None);
}

#[tokio::test]
async fn rows_are_found_at_once_newest_first_and_page_by_page() {
    let sidecar = Sidecar::builder().clock(Clock::simulated()).open().await.unwrap();
    let admin = sidecar.admin();
    for action in ["a", "b", "c"] {
        admin.audit(event(action));
    }
    let actions = async |limit, before| {
        let rows = admin.audit_events(limit, before).await.unwrap();
        rows.into_iter().map(|row| (row.id, row.event.action)).collect::<Vec<_>>()
    };
    let [a, b, c] = [(1, "a".to_owned()), (2, "b".to_owned()), (3, "c".to_owned())];
    assert_eq!(actions(9, None).await, [c.clone(), b.clone(), a.clone()]);
    assert_eq!(actions(2, None).await, [c, b]);
    assert_eq!(actions(2, Some(2)).await, [a]);
    assert!(actions(2, Some(1)).await.is_empty());
}

#[tokio::test]
async fn a_row_is_json_of_one_level() {
    let sidecar = Sidecar::builder().clock(Clock::simulated()).open().await.unwrap();
    let admin = sidecar.admin();
    admin.audit(AuditEvent {
        actor: "token".to_owned(),
        peer: Some([127, 0, 0, 1].into()),
        action: "change_setting".to_owned(),
        target: Some("rate_rpm".to_owned()),
        fields: vec!["value".to_owned()],
        outcome: 200,
        request_id: "req_1".to_owned(),
    });
    let rows = admin.audit_events(1, None).await.unwrap();
    let mut json = serde_json::to_value(&rows[0]).unwrap();
    let at = json["at"].take();
    assert!(at.as_str().unwrap().starts_with("2026-01-01T00:00:"), "{at}");
    let expected = serde_json::json!({
        "id": 1, "at": null, "actor": "token", "peer": "127.0.0.1", "action": "change_setting",
        "target": "rate_rpm", "fields": ["value"], "outcome": 200, "request_id": "req_1",
        "count": 1,
    });
    assert_eq!(json, expected);
}
