//! What the demo publishes: four queues of a company that does not exist.

use serde_json::{Value, json};

use crate::domain::identity::OrganizationId;

/// Percent of their time that agents should be busy.
const TARGET: f64 = 80.0;
/// A backlog above it is worth an alert.
const MOST_ITEMS: i64 = 40;

/// A queue that lives.
struct Queue {
    department: &'static str,
    name: &'static str,
    scheduled: u32,
    utilization: f64,
    backlog: f64,
    oldest: f64,
    late: u32,
}

/// Made-up queues of one organization.
pub(super) struct Feed {
    organization: OrganizationId,
    queues: [Queue; 4],
    round: u32,
}

impl Feed {
    pub fn new(organization: OrganizationId) -> Self {
        let queue = |department, name, scheduled, utilization, backlog, oldest| Queue {
            department,
            name,
            scheduled,
            utilization,
            backlog,
            oldest,
            late: 0,
        };
        Self {
            organization,
            queues: [
                queue("service", "support", 24, 84.0, 46.0, 12.0),
                queue("service", "billing", 12, 71.0, 18.0, 7.0),
                queue("sales", "inbound", 16, 78.0, 9.0, 3.0),
                queue("sales", "outbound", 10, 66.0, 31.0, 21.0),
            ],
            round: 0,
        }
    }

    /// The shortcuts to post to in the next round, each with its body.
    pub fn next(&mut self) -> Vec<(&'static str, Value)> {
        let mut posts = Vec::new();
        for queue in &mut self.queues {
            queue.step(self.round);
            posts.push(("kpi", queue.kpi()));
            posts.push(("backlog", queue.backlog()));
            if self.round.is_multiple_of(3) {
                posts.push(("attendance", queue.attendance()));
            }
        }
        if self.round % 14 == 4 {
            // Last, so that whoever looks finds the values that it speaks of.
            let mut alerts: Vec<Value> = self.queues.iter().flat_map(Queue::alerts).collect();
            if !alerts.is_empty() {
                let chosen = rand::random_range(0..alerts.len());
                posts.push(("alert", alerts.swap_remove(chosen)));
            }
        }
        self.round = self.round.wrapping_add(1);
        for (_, body) in &mut posts {
            body["organization_id"] = json!(self.organization);
        }
        posts
    }
}

impl Queue {
    fn step(&mut self, round: u32) {
        let wave = (f64::from(round.wrapping_add(self.scheduled * 9)) / 17.0).sin();
        self.utilization = (self.utilization + wave * 0.9 + noise(2.4)).clamp(38.0, 99.0);
        self.backlog += (self.utilization - 74.0) / 14.0 + noise(3.0);
        self.backlog = self.backlog.clamp(0.0, 160.0);
        let drift = if self.backlog > 40.0 { 0.3 } else { -0.2 };
        self.oldest = (self.oldest + noise(1.6) + drift).clamp(1.0, 55.0);
    }

    /// A body with the place that it is about; the organization is added to all of them.
    fn about(&self, mut body: Value) -> Value {
        body["department_id"] = json!(self.department);
        body["queue_name"] = json!(self.name);
        body
    }

    fn load(&self) -> f64 {
        self.utilization / 2.0 + self.backlog / 4.0 + self.oldest / 2.0
    }

    fn risk(&self) -> &'static str {
        match self.load() {
            load if load > 72.0 => "critical",
            load if load > 60.0 => "high",
            load if load > 48.0 => "medium",
            _ => "low",
        }
    }

    fn kpi(&self) -> Value {
        let gap = (self.utilization - 80.0) / 100.0 * f64::from(self.scheduled);
        self.about(json!({
            "utilization": {
                "current_utilization": tenths(self.utilization),
                "target_utilization": TARGET,
            },
            "headcount_gap": whole(gap),
            "sla_risk": { "level": self.risk() },
            "health_score": whole((118.0 - self.load()).clamp(5.0, 99.0)),
        }))
    }

    fn backlog(&self) -> Value {
        self.about(json!({
            "total_items": whole(self.backlog),
            "oldest_item_minutes": whole(self.oldest),
        }))
    }

    fn attendance(&mut self) -> Value {
        let absent = rand::random_range(0..=1);
        let late = rand::random_range(0..=2);
        self.late = late;
        let on_break = self.scheduled * rand::random_range(6..=16) / 100;
        self.about(json!({
            "scheduled": self.scheduled,
            "absent": absent,
            "late": late,
            "on_break": on_break,
            "present": self.scheduled - absent - late - on_break,
        }))
    }

    /// What the values that were published last give cause for.
    fn alerts(&self) -> Vec<Value> {
        let mut alerts = Vec::new();
        let mut add = |rule: &str, severity: &str, message: String| {
            alerts.push(
                self.about(json!({ "rule_name": rule, "severity": severity, "message": message })),
            );
        };
        let utilization = tenths(self.utilization);
        if utilization > TARGET {
            let message = format!("Agents are at {utilization:.1} %, their target is {TARGET} %.");
            add("Utilization above target", "medium", message);
        }
        let items = whole(self.backlog);
        if items > MOST_ITEMS {
            let message = format!("{items} items wait, {MOST_ITEMS} are planned for.");
            add("Backlog above plan", "medium", message);
        }
        if let risk @ ("high" | "critical") = self.risk() {
            let oldest = whole(self.oldest);
            let message = format!("{items} items wait, the oldest for {oldest} min.");
            add("SLA at risk", risk, message);
        }
        if self.late > 0 {
            let message = format!("Late for their shift: {}.", self.late);
            add("Late arrivals", "low", message);
        }
        alerts
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn noise(size: f64) -> f64 {
    (rand::random::<f64>() - 0.5) * size
}

/// JSON has one kind of number; a whole one is written without a point.
#[expect(clippy::cast_possible_truncation, reason = "all of them are small")]
fn whole(value: f64) -> i64 {
    value.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_say_what_the_values_before_them_say() {
        let mut feed = Feed::new(OrganizationId::new("org").unwrap());
        let mut last = std::collections::HashMap::<(&str, String), Value>::new();
        let mut rules = std::collections::BTreeSet::new();
        for _ in 0..20_000 {
            for (route, body) in feed.next() {
                let queue = body["queue_name"].as_str().unwrap().to_owned();
                if route == "alert" {
                    let value = |route, path| last[&(route, queue.clone())].pointer(path);
                    let rule = body["rule_name"].as_str().unwrap().to_owned();
                    let (shown, severity) = match &*rule {
                        "Utilization above target" => {
                            let value = value("kpi", "/utilization/current_utilization");
                            let value = value.unwrap().as_f64().unwrap();
                            assert!(value > 80.0, "{body}");
                            (format!("{value:.1} %"), "medium")
                        }
                        "Backlog above plan" => {
                            let value = value("backlog", "/total_items").unwrap();
                            assert!(value.as_i64() > Some(40), "{body}");
                            (format!("{value} items"), "medium")
                        }
                        "SLA at risk" => {
                            let risk = value("kpi", "/sla_risk/level").unwrap();
                            assert!(risk == "high" || risk == "critical", "{body}");
                            assert_eq!(&body["severity"], risk);
                            let oldest = value("backlog", "/oldest_item_minutes").unwrap();
                            (format!("{oldest} min"), risk.as_str().unwrap())
                        }
                        _ => (format!("{}.", value("attendance", "/late").unwrap()), "low"),
                    };
                    assert!(body["message"].as_str().unwrap().contains(&shown), "{body}");
                    assert_eq!(body["severity"], severity);
                    rules.insert(rule);
                }
                last.insert((route, queue), body);
            }
        }
        assert_eq!(rules.len(), 4, "{rules:?}");
    }

    #[test]
    fn every_post_says_its_place_and_stays_plausible() {
        let mut feed = Feed::new(OrganizationId::new("org").unwrap());
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..2000 {
            for (route, body) in feed.next() {
                seen.insert(route);
                assert_eq!(body["organization_id"], "org");
                assert!(body["department_id"].is_string() && body["queue_name"].is_string());
                let within = |name: &str, range: std::ops::RangeInclusive<i64>| {
                    assert!(range.contains(&body[name].as_i64().unwrap()), "{body}");
                };
                match route {
                    "kpi" => within("health_score", 5..=99),
                    "backlog" => within("total_items", 0..=160),
                    "attendance" => within("present", 1..=24),
                    _ => assert!(body["rule_name"].is_string(), "{body}"),
                }
            }
        }
        assert_eq!(
            Vec::from_iter(seen),
            ["alert", "attendance", "backlog", "kpi"]
        );
    }
}
