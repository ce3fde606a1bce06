//! The model of a second Active, which is of lower rank.

use super::*;

/// Who advertises below an Active.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rival {
    pub(super) host: u8,
    pub(super) interval: u64,
    pub(super) begin: u64,
    pub(super) last: u64,
    pub(super) answered: Option<u64>,
    pub(super) deaf: bool,
}

impl Model {
    pub(super) fn end_rival(&mut self, now: u64, out: &mut Vec<String>) {
        if let Some(Rival { host, begin, deaf: true, .. }) = self.rival.take() {
            let lasted = Duration::from_nanos(now - begin);
            out.push(format!("ended 192.0.2.{host} {lasted:?}"));
        }
    }

    pub(super) fn end_silent_rival(&mut self, now: u64, out: &mut Vec<String>) {
        if self.rival.is_some_and(|rival| now - rival.last >= 3 * rival.interval) {
            self.end_rival(now, out);
        }
    }

    pub(super) fn rival_heard(
        &mut self,
        now: u64,
        p: u8,
        host: u8,
        interval: u64,
        out: &mut Vec<String>,
    ) -> Option<String> {
        if p == 0 {
            if self.rival.is_some_and(|rival| rival.host == host) {
                self.end_rival(now, out);
            }
            return None;
        }
        self.end_silent_rival(now, out);
        let Some(mut rival) = self.rival else {
            let (begin, last, answered) = (now, now, None);
            self.rival = Some(Rival { host, interval, begin, last, answered, deaf: false });
            return (now >= self.since + self.own).then(|| format!("lower 192.0.2.{host} {p}"));
        };
        if rival.host != host {
            return None;
        }
        let had_time = rival.answered.is_some_and(|at| now - at >= interval / 2);
        let begins = had_time && !rival.deaf;
        (rival.last, rival.interval) = (now, interval);
        rival.deaf |= had_time;
        self.rival = Some(rival);
        self.duals += u64::from(begins);
        begins.then(|| format!("dual 192.0.2.{host} {p}"))
    }
}
