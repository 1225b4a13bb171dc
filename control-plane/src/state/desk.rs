//! What leaves of the alerts that are raised, and when. Pure: a batch says what would change, and is applied once it is on disk.
//!
//! The first of a key leaves at once; equal ones are folded into it until its window ends, and leave as one summary. Beyond
//! the rate of its kind an alert waits for the end of the minute and leaves with others as "more". The first of a class (kind,
//! severity, tenant, surface) in a window is never held back by the rate, so no flood of one tenant hides another's.

use super::alerts::{Alert, MAX_ALERTS};
use super::outbox::{Delivery, Message, Reason, Standing};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

const MINUTE_MS: u64 = 60_000;
/// The most alerts that one message stands for.
const MANY: usize = 100;

/// What the policy says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) dedupe_ms: u64,
    /// Messages a minute, for each kind; 0 while too many wait already.
    pub(super) rate: u64,
}

/// Everything about alerts.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) kept: VecDeque<Alert>,
    /// Messages on their way, by number.
    pub(super) outbox: BTreeMap<u64, Delivery>,
    /// What is remembered of each receiver.
    pub(super) receivers: BTreeMap<String, Standing>,
    /// The alert into which equal ones are folded, by key.
    open: HashMap<String, u64>,
    /// Until when a class has had its first.
    classes: HashMap<String, u64>,
    /// Since when, and how many messages of a kind have left in this minute.
    used: HashMap<String, (u64, u64)>,
    /// Alerts with a rest, by the time at which it leaves.
    due: BTreeSet<(u64, u64)>,
    pruned_ms: u64,
}

/// What changes.
#[derive(Clone, Default)]
pub(super) struct Batch {
    pub(super) changed: BTreeMap<u64, Alert>,
    pub(super) gone: BTreeSet<u64>,
    pub(super) messages: Vec<Message>,
    opened: HashMap<String, u64>,
    classes: HashMap<String, u64>,
    used: HashMap<String, (u64, u64)>,
}

impl Desk {
    pub(super) fn open(kept: VecDeque<Alert>, now_ms: u64) -> Self {
        let mut desk = Self { pruned_ms: now_ms, ..Self::default() };
        for alert in kept {
            desk.index(&alert, now_ms);
            desk.kept.push_back(alert);
        }
        desk
    }

    fn get(&self, sequence: u64) -> Option<&Alert> {
        self.kept.get(self.kept.binary_search_by_key(&sequence, |alert| alert.sequence).ok()?)
    }

    /// When the next rest leaves.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes a message of a kind out of the minute's allowance; else the end of the minute.
    fn take(&self, batch: &mut Batch, kind: &str, now_ms: u64, rules: Rules) -> Result<(), u64> {
        let (since, count) = batch
            .used
            .get(kind)
            .or_else(|| self.used.get(kind))
            .copied()
            .filter(|(since, _)| now_ms < since.saturating_add(MINUTE_MS))
            .unwrap_or((now_ms, 0));
        batch.used.insert(kind.to_owned(), (since, count + 1));
        if count < rules.rate { Ok(()) } else { Err(since + MINUTE_MS) }
    }

    /// Takes in new alerts.
    pub(super) fn raise(&self, new: Vec<Alert>, now_ms: u64, rules: Rules) -> Batch {
        let mut batch = Batch::default();
        let mut sequence = self.kept.back().map_or(0, |last| last.sequence);
        for mut alert in new {
            let found = batch.opened.get(&alert.key).or_else(|| self.open.get(&alert.key)).copied();
            let found = found.and_then(|at| batch.changed.get(&at).or_else(|| self.get(at)));
            if let Some(known) = found.filter(|known| known.until_ms > now_ms) {
                let mut known = known.clone();
                known.count += 1;
                known.last_at = known.last_at.max(alert.last_at);
                if known.due_ms == 0 {
                    known.due_ms = known.until_ms;
                }
                batch.changed.insert(known.sequence, known);
                continue;
            }
            sequence += 1;
            alert.sequence = sequence;
            alert.until_ms = now_ms + rules.dedupe_ms;
            let class = alert.class();
            let had = batch.classes.get(&class).or_else(|| self.classes.get(&class));
            let first = had.is_none_or(|until| *until <= now_ms);
            match self.take(&mut batch, &alert.kind, now_ms, rules) {
                Err(end) if !first => alert.due_ms = end,
                _ => {
                    alert.announced = 1;
                    batch.classes.insert(class, alert.until_ms);
                    batch.messages.push(Message { reason: Reason::First, alert: alert.clone(), more: Vec::new() });
                }
            }
            batch.opened.insert(alert.key.clone(), sequence);
            batch.changed.insert(sequence, alert);
        }
        let fresh = batch.changed.keys().filter(|at| self.get(**at).is_none()).count();
        let surplus = (self.kept.len() + fresh).saturating_sub(MAX_ALERTS);
        let settled = |alert: &&Alert| alert.due_ms == 0 && !batch.changed.contains_key(&alert.sequence);
        batch.gone = self.kept.iter().filter(settled).take(surplus).map(|alert| alert.sequence).collect();
        batch
    }

    /// Lets out the rests whose time has come.
    pub(super) fn close(&self, now_ms: u64, rules: Rules) -> Batch {
        let mut batch = Batch::default();
        let mut more: BTreeMap<String, Vec<Alert>> = BTreeMap::new();
        for (_, sequence) in self.due.range(..=(now_ms, u64::MAX)) {
            let Some(known) = self.get(*sequence) else { continue };
            let told = Alert { announced: known.count, due_ms: 0, ..known.clone() };
            if known.announced > 0 && self.take(&mut batch, &known.kind, now_ms, rules).is_ok() {
                batch.messages.push(Message { reason: Reason::Summary, alert: told.clone(), more: Vec::new() });
            } else {
                more.entry(known.class()).or_default().push(known.clone());
            }
            batch.changed.insert(*sequence, told);
        }
        for many in more.values().flat_map(|many| many.chunks(MANY)) {
            if let Some(alert) = Alert::standing_for(many) {
                batch.messages.push(Message { reason: Reason::More, alert, more: many.to_vec() });
            }
        }
        batch
    }

    fn index(&mut self, alert: &Alert, now_ms: u64) {
        if alert.due_ms > 0 {
            self.due.insert((alert.due_ms, alert.sequence));
        }
        if alert.until_ms > now_ms {
            self.open.insert(alert.key.clone(), alert.sequence);
            if alert.announced > 0 {
                let until = self.classes.entry(alert.class()).or_default();
                *until = alert.until_ms.max(*until);
            }
        }
    }

    /// What was written becomes true.
    pub(super) fn apply(&mut self, batch: Batch, now_ms: u64) {
        if !batch.gone.is_empty() {
            self.kept.retain(|alert| !batch.gone.contains(&alert.sequence));
        }
        for (sequence, alert) in batch.changed {
            self.index(&alert, now_ms);
            match self.kept.binary_search_by_key(&sequence, |alert| alert.sequence) {
                Ok(at) => {
                    if let Some(known) = self.kept.get_mut(at) {
                        if known.due_ms > 0 && known.due_ms != alert.due_ms {
                            self.due.remove(&(known.due_ms, sequence));
                        }
                        *known = alert;
                    }
                }
                Err(_) => self.kept.push_back(alert),
            }
        }
        self.classes.extend(batch.classes);
        self.used.extend(batch.used);
        if now_ms.saturating_sub(self.pruned_ms) > MINUTE_MS {
            self.pruned_ms = now_ms;
            let mut open = std::mem::take(&mut self.open);
            open.retain(|_, sequence| self.get(*sequence).is_some_and(|alert| alert.until_ms > now_ms));
            self.open = open;
            self.classes.retain(|_, until| *until > now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use partywall_core::record::Severity;

    const RULES: Rules = Rules { dedupe_ms: 300_000, rate: 5 };

    fn alert(kind: &str, tenant: &str, what: u64) -> Alert {
        Alert::new(kind, Severity::High, Some(tenant), Some("llm"), &what.to_string(), String::new())
    }

    fn raise(desk: &mut Desk, alerts: Vec<Alert>, now_ms: u64, rules: Rules) -> Vec<Message> {
        let batch = desk.raise(alerts, now_ms, rules);
        let messages = batch.messages.clone();
        desk.apply(batch, now_ms);
        messages
    }

    fn close(desk: &mut Desk, now_ms: u64) -> Vec<Message> {
        let batch = desk.close(now_ms, RULES);
        let messages = batch.messages.clone();
        desk.apply(batch, now_ms);
        messages
    }

    fn reasons(messages: &[Message]) -> Vec<(Reason, u64)> {
        messages.iter().map(|message| (message.reason, message.alert.count)).collect()
    }

    #[test]
    fn equal_alerts_are_a_first_and_a_summary() {
        let mut desk = Desk::default();
        let same = || vec![alert("leak", "acme", 1); 10];
        assert_eq!(reasons(&raise(&mut desk, same(), 1000, RULES)), [(Reason::First, 1)]);
        assert!(raise(&mut desk, same(), 200_000, RULES).is_empty());
        // A restart keeps the window and what is owed.
        let mut desk = Desk::open(desk.kept, 250_000);
        assert!(raise(&mut desk, same(), 260_000, RULES).is_empty());
        assert!(close(&mut desk, 300_999).is_empty());
        assert_eq!(reasons(&close(&mut desk, 301_000)), [(Reason::Summary, 30)]);
        assert!(close(&mut desk, 900_000).is_empty(), "once");
        assert_eq!(desk.next_due(), None);
        assert_eq!(reasons(&raise(&mut desk, same(), 301_000, RULES)), [(Reason::First, 1)], "a new window");
        assert_eq!(desk.kept.iter().map(|alert| alert.count).collect::<Vec<_>>(), [30, 10]);
    }

    #[test]
    fn one_that_stays_alone_has_no_summary() {
        let mut desk = Desk::default();
        raise(&mut desk, vec![alert("leak", "acme", 1)], 0, RULES);
        assert!(desk.next_due().is_none() && close(&mut desk, 1_000_000).is_empty());
    }

    #[test]
    fn what_is_beyond_the_rate_comes_together_and_none_is_lost() {
        let mut desk = Desk::default();
        let mut flood: Vec<Alert> = (0..300).map(|what| alert("leak", "acme", what)).collect();
        flood.insert(200, alert("leak", "beta", 0));
        flood.push(alert("other", "acme", 0));
        let messages = raise(&mut desk, flood, 1000, RULES);
        let firsts = |tenant: &str| messages.iter().filter(|m| m.alert.tenant.as_deref() == Some(tenant)).count();
        assert_eq!((firsts("acme"), firsts("beta")), (6, 1), "five of the flood, the other kind, the other tenant");
        // Further equal ones are counted into what waits.
        assert!(raise(&mut desk, vec![alert("leak", "acme", 299); 4], 2000, RULES).is_empty());
        let mut desk = Desk::open(desk.kept, 3000);
        assert!(close(&mut desk, 60_999).is_empty());
        let more = close(&mut desk, 61_000);
        assert_eq!(reasons(&more), [(Reason::More, 100), (Reason::More, 100), (Reason::More, 99)]);
        let named: BTreeSet<&str> = more.iter().flat_map(|m| &m.more).map(|alert| alert.key.as_str()).collect();
        assert_eq!(named.len(), 295, "each one by its key");
        assert!(more.iter().all(|m| m.alert.key == more[0].alert.key && !named.contains(m.alert.key.as_str())));
        assert!(close(&mut desk, 10_000_000).is_empty());
        // The next minute has its own allowance.
        let next = raise(&mut desk, vec![alert("leak", "acme", 1000)], 62_000, RULES);
        assert_eq!(reasons(&next), [(Reason::First, 1)]);
    }

    #[test]
    fn while_too_many_wait_only_the_first_of_a_class_leaves_at_once() {
        let mut desk = Desk::default();
        let crowded = Rules { rate: 0, ..RULES };
        let flood: Vec<Alert> = (0..10).map(|what| alert("leak", "acme", what)).collect();
        assert_eq!(reasons(&raise(&mut desk, flood, 0, crowded)), [(Reason::First, 1)]);
        assert_eq!(reasons(&close(&mut desk, 60_000)), [(Reason::More, 9)]);
    }

    #[test]
    fn a_batch_that_is_not_written_changes_nothing() {
        let desk = Desk::default();
        assert_eq!(desk.raise(vec![alert("leak", "acme", 1)], 0, RULES).messages.len(), 1);
        assert_eq!(desk.raise(vec![alert("leak", "acme", 1)], 0, RULES).messages.len(), 1);
    }
}
