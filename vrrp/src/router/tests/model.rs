//! I13: the machine against a model on random histories. The model was written from the table, not from the machine: numbers
//! instead of types, a flat list of rows instead of states that own their timers. On the way the invariants I6, I7 and I10.

use super::*;

mod histories;
mod rival;

use rival::Rival;

const SECOND: u64 = 1_000_000_000;

/// What is done to both.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Time passes and no timer is looked at.
    Wait(u64),
    /// What is due fires.
    Timeout,
    /// Time passes until the deadline, and it fires.
    Fire,
    Startup,
    Shutdown,
    Up(u8),
    Down,
    Primary(u8),
    Heard {
        priority: u8,
        host: u8,
        units: u16,
    },
    Reconfigure {
        priority: u8,
        units: u16,
        preempt: bool,
        delay: u64,
    },
    Resumed,
    GiveUp,
    TakeOver,
    ActiveFallen,
    ActiveLost(u8),
    ActiveDied(u8),
    /// A process that died so many nanoseconds ago, right after an advertisement, is inherited from.
    Inherit(u64),
}

#[derive(Clone, Debug)]
struct Model {
    v2: bool,
    priority: u8,
    /// Own interval and learned interval in nanoseconds.
    own: u64,
    learned: u64,
    preempt: bool,
    host: Option<u8>,
    wanted: bool,
    /// When the process that it inherits from advertised last.
    inherits: Option<u64>,
    /// 'I', 'B', 'A' or 'R'.
    state: char,
    timer: u64,
    /// In Backup: why it would take over, whom it knows as the Active, since when that one is of lower priority.
    why: &'static str,
    active: Option<u8>,
    lower: Option<u64>,
    /// Who was known before that one, when the other one was believed in its stead, and the best of those since.
    before: Option<(u8, u64, u8)>,
    /// For how long a lower one is left alone.
    delay: u64,
    /// In Active: when it last advertised, until when that holds, how many announcements are owed.
    sent: u64,
    holds: u64,
    owed: u8,
    /// When it became Active, or began to give up.
    since: u64,
    rival: Option<Rival>,
    duals: u64,
    nears: u64,
    /// How often it did not believe a worse one because the Active had died.
    elections: u64,
}

impl Model {
    fn skew(&self, interval: u64) -> u64 {
        (256 - u64::from(self.priority)) * if self.v2 { SECOND } else { interval } / 256
    }

    /// (256 - Priority) / 256 of 1 ms.
    fn death_skew(&self) -> u64 {
        (256 - u64::from(self.priority)) * 1_000_000 / 256
    }

    fn down(&self, interval: u64) -> u64 {
        3 * interval + self.skew(interval)
    }

    fn step(&mut self, now: u64, step: &Step) -> Vec<String> {
        let mut out = Vec::new();
        match (self.state, step) {
            (_, Step::Wait(_)) | ('I', Step::Timeout | Step::Fire | Step::Resumed) => {}
            ('A', Step::Resumed) | ('A' | 'B', Step::Startup) | ('I', Step::Heard { .. }) => {}
            ('I' | 'B' | 'R', Step::GiveUp)
            | ('I' | 'A' | 'R', Step::TakeOver | Step::ActiveFallen)
            | ('I' | 'A' | 'R', Step::ActiveLost(_) | Step::ActiveDied(_)) => {}
            ('I', Step::Inherit(ago)) => self.inherits = Some(now.saturating_sub(*ago)),
            (_, Step::Inherit(_)) => {}
            ('R', Step::Startup) => self.wanted = true,
            ('R', Step::Shutdown) if self.wanted => self.wanted = false,
            ('I', Step::Startup) => {
                self.wanted = true;
                self.s1_s2(now, &mut out);
            }
            ('A', Step::Shutdown) => {
                self.wanted = false;
                self.d1(now, "shutdown", &mut out);
            }
            ('A', Step::GiveUp) => self.d1(now, "step_down", &mut out),
            (_, Step::Shutdown) => {
                (self.wanted, self.inherits) = (false, None);
                self.s3_s4(now, "shutdown", &mut out);
            }
            (_, Step::Down) => {
                (self.host, self.inherits) = (None, None);
                self.s3_s4(now, "interface_down", &mut out);
            }
            (state, Step::Up(host)) => {
                self.host = Some(*host);
                if state == 'I' {
                    self.s1_s2(now, &mut out);
                }
            }
            (_, Step::Primary(host)) => {
                if self.host.is_some() {
                    self.host = Some(*host);
                }
            }
            ('A' | 'B', Step::Timeout | Step::Fire) if now < self.timer => {}
            ('B', Step::Timeout | Step::Fire) => {
                self.takeover(now, self.why, "backup", &mut out);
            }
            ('A', Step::Timeout | Step::Fire) => self.s6_c5(now, &mut out),
            ('B', Step::Resumed) => {
                self.timer = now + self.down(self.learned);
                (self.why, self.lower) = ("active_silent", None);
            }
            ('B', Step::TakeOver) => self.takeover(now, "group", "backup", &mut out),
            ('B', Step::ActiveFallen) => {
                self.takeover(now, "active_fallen", "backup", &mut out);
            }
            ('B', Step::ActiveLost(host)) => self.b1(now, *host),
            ('B', Step::ActiveDied(host)) => self.b2(now, *host),
            ('R', Step::Timeout | Step::Fire | Step::Resumed | Step::Heard { .. }) => {
                self.giving_up(now, step, &mut out);
            }
            ('B', Step::Heard { priority, host, units }) => {
                self.backup_hears(now, *priority, *host, self.unit() * u64::from(*units), &mut out);
            }
            ('A', Step::Heard { priority, host, units }) => {
                self.active_hears(now, *priority, *host, self.unit() * u64::from(*units), &mut out);
            }
            (_, Step::Reconfigure { priority, units, preempt, delay }) => {
                self.delay = *delay;
                self.c1_c2(now, *priority, self.unit() * u64::from(*units), *preempt, &mut out);
            }
            (state, step) => panic!("no row for {step:?} in {state}"),
        }
        out
    }

    fn giving_up(&mut self, now: u64, step: &Step, out: &mut Vec<String>) {
        if let Step::Heard { priority, host, units } = step {
            self.d2(now, *priority, *host, self.unit() * u64::from(*units), out);
        } else if matches!(step, Step::Resumed) && self.wanted {
            self.d_backup(now, self.own, None, "stalled", out);
        } else if matches!(step, Step::Resumed) {
            self.s3_s4(now, "shutdown", out);
        } else if now >= self.timer {
            self.d3(now, out);
        }
    }

    fn bereft(&self) -> bool {
        matches!(self.why, "active_died" | "active_lost")
    }

    /// Whether it knew this one as the Active a moment ago.
    fn b3(&mut self, now: u64, host: u8) -> bool {
        let lately = |(who, when, p): (u8, u64, u8)| {
            who == host && now - when < self.learned && p < self.priority
        };
        let b3 = !self.bereft() && self.before.is_some_and(lately);
        self.elections += u64::from(b3 && self.active != Some(host));
        b3
    }

    fn b1(&mut self, now: u64, host: u8) {
        if self.b3(now, host) || self.active == Some(host) {
            self.timer = self.timer.min(now + self.skew(self.learned));
            self.active = Some(host);
            if self.why != "active_died" {
                self.why = "active_lost";
            }
        }
    }

    fn b2(&mut self, now: u64, host: u8) {
        if self.b3(now, host) || self.active == Some(host) {
            self.timer = self.timer.min(now + self.death_skew());
            self.active = Some(host);
            self.why = "active_died";
        }
    }

    fn unit(&self) -> u64 {
        if self.v2 { SECOND } else { SECOND / 100 }
    }

    fn s1_s2(&mut self, now: u64, out: &mut Vec<String>) {
        if !self.wanted || self.host.is_none() {
            return;
        }
        if self.inherits.take().is_some_and(|sent| now < sent + 3 * self.own) {
            // K1
            out.extend([format!("adv {}", self.priority), "install".into()]);
            out.push("initialize>active inherited".into());
            self.be_active(now);
            self.owed = 1;
        } else if self.priority == 255 {
            self.takeover(now, "owner", "initialize", out);
        } else {
            out.push("initialize>backup startup".into());
            self.listen(now, self.own, None);
        }
    }

    fn s3_s4(&mut self, now: u64, why: &str, out: &mut Vec<String>) {
        match self.state {
            'A' => {
                out.push("remove".into());
                self.end_rival(now, out);
                out.push(format!("active>initialize {why}"));
            }
            'R' => {
                out.push("remove".into());
                out.push(format!("releasing>initialize {why}"));
            }
            'B' => out.push(format!("backup>initialize {why}")),
            _ => {}
        }
        self.state = 'I';
    }

    fn d1(&mut self, now: u64, why: &str, out: &mut Vec<String>) {
        out.push("adv 0".into());
        self.end_rival(now, out);
        out.push(format!("active>releasing {why}"));
        (self.state, self.since) = ('R', now);
        self.timer = now + (4 * self.own).min(30 * SECOND);
    }

    fn d2(&mut self, now: u64, p: u8, host: u8, interval: u64, out: &mut Vec<String>) {
        self.claims(p, host, out);
        if p == 0 || Some(host) == self.host {
            return;
        }
        if self.wanted {
            self.d_backup(now, interval, Some(host), "taken_over", out);
        } else {
            self.s3_s4(now, "taken_over", out);
        }
    }

    fn d3(&mut self, now: u64, out: &mut Vec<String>) {
        if !self.wanted {
            return self.s3_s4(now, "nobody_took_over", out);
        }
        let waited = Duration::from_nanos(now - self.since);
        out.push(format!("adv {}", self.priority));
        out.push("announce".into());
        out.push("releasing>active nobody_took_over".into());
        out.push(format!("unanswered {waited:?}"));
        self.be_active(now);
    }

    fn d_backup(
        &mut self,
        now: u64,
        interval: u64,
        by: Option<u8>,
        why: &str,
        out: &mut Vec<String>,
    ) {
        out.push("remove".into());
        out.push(format!("releasing>backup {why}"));
        self.listen(now, interval, by);
    }

    fn takeover(&mut self, now: u64, why: &str, from: &str, out: &mut Vec<String>) {
        out.push(format!("adv {}", self.priority));
        out.push("install".into());
        out.push("announce".into());
        out.push(format!("{from}>active {why}"));
        self.be_active(now);
    }

    fn be_active(&mut self, now: u64) {
        (self.state, self.owed, self.since) = ('A', 0, now);
        self.sent_at(now);
        self.timer = now + self.own;
    }

    fn sent_at(&mut self, now: u64) {
        self.sent = now;
        self.holds = now + self.down(self.own);
        if let Some(rival) = &mut self.rival {
            rival.answered = rival.answered.or(Some(now));
        }
    }

    fn listen(&mut self, now: u64, interval: u64, active: Option<u8>) {
        (self.active, self.lower, self.before) = (active, None, None);
        self.learned = if self.v2 { self.own } else { interval };
        self.timer = now + self.down(self.learned);
        self.state = 'B';
        self.why = "active_silent";
    }

    fn s6_c5(&mut self, now: u64, out: &mut Vec<String>) {
        self.end_silent_rival(now, out);
        if now > self.holds {
            out.push(format!("stalled {:?}", Duration::from_nanos(now - self.sent)));
            if !self.preempt && self.priority != 255 {
                out.push("remove".into());
                self.end_rival(now, out);
                out.push("active>backup stalled".into());
                return self.listen(now, self.own, None);
            }
            self.owed = 2;
        }
        out.push(format!("adv {}", self.priority));
        if self.owed > 0 {
            out.push("announce".into());
            self.owed -= 1;
        }
        self.sent_at(now);
        self.timer += self.own;
        if self.timer <= now {
            self.timer = now + self.own;
        }
    }

    fn claims(&self, priority: u8, host: u8, out: &mut Vec<String>) {
        if priority == self.priority && Some(host) == self.host {
            out.push("duplicate".into());
        } else if priority == 255 && self.priority == 255 {
            out.push("owners".into());
        }
    }

    fn backup_hears(&mut self, now: u64, p: u8, host: u8, interval: u64, out: &mut Vec<String>) {
        self.claims(p, host, out);
        let preempts = self.preempt || self.priority == 255;
        let delay = if self.priority == 255 { 0 } else { self.delay };
        if p == 0 && self.why == "active_died" {
            return;
        }
        if p == 0 {
            // R1
            self.timer = now + self.skew(self.learned);
            self.why = "active_released";
            return;
        }
        let lower = if p < self.priority { self.lower.or(Some(now)) } else { None };
        let patient = lower.is_some_and(|since| now < since + delay);
        self.lower = lower;
        let orphan = self.bereft() && self.active != Some(host) && now < self.timer + self.learned;
        if p >= self.priority || ((!preempts || patient) && !orphan) {
            // R2 to R5, R7, R8
            let silence = self.down(self.learned) - self.timer.saturating_sub(now);
            let left = self.timer.saturating_sub(now);
            let known = self.active == Some(host) && self.why == "active_silent";
            if known
                && left < self.skew(self.learned) + self.learned
                && silence > self.learned + self.learned / 2
            {
                self.nears += 1;
            }
            let other = self.active.filter(|old| *old != host);
            let one_election = |(who, when, _): &(u8, u64, u8)| {
                other.is_none() || (*who != host && now - when < interval)
            };
            let before = self.before.filter(one_election);
            let before = before.map(|(who, when, best)| (who, when, p.max(best)));
            let before = before.or_else(|| other.map(|old| (old, now, p)));
            self.listen(now, interval, Some(host));
            (self.lower, self.before) = (lower, before);
        } else if orphan {
            self.elections += 1;
        } else if self.why == "active_silent" {
            // R6
            self.why = "preempt";
        }
    }

    fn active_hears(&mut self, now: u64, p: u8, host: u8, interval: u64, out: &mut Vec<String>) {
        self.claims(p, host, out);
        let mine = self.host.unwrap();
        if p > self.priority || (p == self.priority && host > mine) {
            // R2, R3
            let why = if p > self.priority { "higher_priority" } else { "higher_address" };
            if now < self.timer {
                out.push(format!("adv {}", self.priority));
            }
            out.push("remove".into());
            self.end_rival(now, out);
            out.push(format!("active>backup {why}"));
            self.listen(now, interval, Some(host));
        } else if p != self.priority || host != mine {
            // R1, R4, R6; what is left is R5.
            let news = self.rival_heard(now, p, host, interval, out);
            self.owed = 2;
            if self.speak(now, out) {
                out.push("announce".into());
                self.owed = 1;
            }
            out.extend(news);
        }
    }

    /// Advertises at once unless the timer is due or the last advertisement is too young.
    fn speak(&mut self, now: u64, out: &mut Vec<String>) -> bool {
        if self.timer <= now {
            return false;
        }
        if now < self.sent + self.own / 2 {
            self.timer = self.timer.min(self.sent + self.own / 2);
            return false;
        }
        out.push(format!("adv {}", self.priority));
        self.sent_at(now);
        self.timer = now + self.own;
        true
    }

    fn c1_c2(&mut self, now: u64, p: u8, own: u64, preempt: bool, out: &mut Vec<String>) {
        let before = self.clone();
        (self.priority, self.own, self.preempt) = (p, own, preempt);
        if self.state == 'B' {
            if self.v2 {
                self.learned = own;
            }
            let (was, is) = if matches!(self.why, "active_released" | "active_lost") {
                (before.skew(before.learned), self.skew(self.learned))
            } else if self.why == "active_died" {
                (before.death_skew(), self.death_skew())
            } else {
                (before.down(before.learned), self.down(self.learned))
            };
            let remaining = before.timer.saturating_sub(now);
            if was != is {
                self.timer = now + (remaining + is).saturating_sub(was);
            }
        }
        if self.state == 'A' {
            self.timer = self.timer.min(now + own);
            if p != before.priority {
                self.speak(now, out);
            }
        }
        if self.state == 'R' {
            self.timer = self.timer.min(now + (4 * own).min(30 * SECOND));
        }
    }

    /// The state and its timer in nanoseconds since the start.
    fn stands(&self) -> (char, Option<u64>) {
        (self.state, (self.state != 'I').then_some(self.timer))
    }
}
