//! The sysctls that a configuration needs: set, looked at again, and restored when nothing needs them any more.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use holdfast_config::{Aim, Config, WantedSysctl};
use holdfast_control::{self as control, chain};
use holdfast_net::{Sysctl, SysctlError, Sysctls};

use crate::director::{EXPIRE_NODEST_CONN, settle};
use crate::events::News;

/// The name of the file that remembers them, in the directory of the daemon's state.
const PART: &str = "ipvs-sysctls";

/// The wanted sysctls, and what is known of them.
#[derive(Debug)]
pub(super) struct Settings {
    wanted: Vec<(Sysctl, WantedSysctl)>,
    /// What they were before. If it can't be had, because the kernel does not say which network namespace this is, nothing is set.
    record: Result<Sysctls, String>,
    /// Why it is not known what they were before an earlier daemon.
    lost: Option<String>,
    /// What is not as wanted, by sysctl.
    problems: BTreeMap<String, String>,
    /// Those that were as wanted at the last look: if one is not at the next, others have changed it.
    settled: BTreeSet<Sysctl>,
    repairs: u64,
    /// What others have changed and is not yet reported.
    news: Vec<News>,
    /// Why the values before can't be written to disk, as it was last logged.
    unkept: Option<String>,
}

impl Settings {
    /// The sysctls of `config`; none of them is looked at yet.
    pub(super) fn open(config: &Config) -> Self {
        let record = Sysctls::open(&config.daemon.state, PART).map_err(|error| chain(&error));
        let lost = record.as_ref().ok().and_then(Sysctls::lost).map(|error| chain(error));
        if let Some(why) = &lost {
            tracing::error!(why, "what sysctls were is not known: they are not given back");
        }
        Self {
            wanted: wanted(config),
            record,
            lost,
            problems: BTreeMap::new(),
            settled: BTreeSet::new(),
            repairs: 0,
            news: Vec::new(),
            unkept: None,
        }
    }

    /// Goes on with the sysctls of another configuration from the next look on. One whose wanted value differs does not count as changed by
    /// others then.
    pub(super) fn reconfigure(&mut self, config: &Config) {
        let before = std::mem::replace(&mut self.wanted, wanted(config));
        let same = |sysctl: &Sysctl| {
            let aim = |wanted: &[(Sysctl, WantedSysctl)]| {
                wanted.iter().find(|(one, _)| one == sysctl).map(|(_, wanted)| wanted.aim.clone())
            };
            aim(&before) == aim(&self.wanted)
        };
        self.settled.retain(same);
    }

    /// Sets what is not as wanted, and restores what is no longer needed.
    pub(super) fn look(&mut self) {
        let before = std::mem::take(&mut self.problems);
        // While servers move in the kernel's lists `expire_nodest_conn` is 0 for a moment: it is left to the next look.
        let leave = settle();
        let sees_to = |sysctl: &Sysctl| leave.is_some() || sysctl.to_string() != EXPIRE_NODEST_CONN;
        let needed: BTreeSet<&Sysctl> = self.wanted.iter().map(|(sysctl, _)| sysctl).collect();
        self.settled.retain(|sysctl| needed.contains(sysctl));
        for (sysctl, wanted) in std::mem::take(&mut self.wanted) {
            if !sees_to(&sysctl) {
                let known = before.get(&dotted(&sysctl)).cloned();
                self.problems.extend(known.map(|problem| (dotted(&sysctl), problem)));
            } else if let Err(problem) = self.see_to(&sysctl, &wanted) {
                self.settled.remove(&sysctl);
                self.problems.insert(dotted(&sysctl), problem);
            }
            self.wanted.push((sysctl, wanted));
        }
        self.give_back_what_is_not_needed(sees_to);
        self.say_unkept();
        // The same problems come with every look: they are said once.
        for (sysctl, problem) in &self.problems {
            if before.get(sysctl) != Some(problem) {
                tracing::warn!(sysctl, problem, "a sysctl is not as it should be");
            }
        }
    }

    fn see_to(&mut self, sysctl: &Sysctl, wanted: &WantedSysctl) -> Result<(), String> {
        let now = sysctl.text().map_err(|error| unread(&error, wanted))?;
        let Some(value) = wanted.aim.step(&now) else {
            let refused = matches!(wanted.aim, Aim::HasBits(_)) && now == "0";
            self.settled.insert(sysctl.clone());
            return if refused {
                Err(format!("it is 0, and stays so. {}", wanted.why))
            } else {
                Ok(())
            };
        };
        let record = self
            .record
            .as_mut()
            .map_err(|error| format!("{error}: nothing is set. {}", wanted.why))?;
        record.set(sysctl, &value).map_err(|error| format!("{}. {}", chain(&error), wanted.why))?;
        if self.settled.insert(sysctl.clone()) {
            tracing::info!(
                sysctl = dotted(sysctl),
                before = now,
                value,
                why = wanted.why,
                "a sysctl was set"
            );
        } else {
            self.repairs = self.repairs.saturating_add(1);
            let text = format!("{now}, should be {value}: put right");
            let (kind, subject) = ("ipvs.drift".to_owned(), dotted(sysctl));
            self.news.push(News { kind, subject, text, ..News::default() });
            tracing::warn!(
                sysctl = dotted(sysctl),
                found = now,
                value,
                "others changed a sysctl: it was set again"
            );
        }
        Ok(())
    }

    /// What others have changed since the last call.
    pub(super) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Logs once that the values before can't be written to disk, until they can.
    fn say_unkept(&mut self) {
        let unkept = self.record.as_ref().ok().and_then(Sysctls::unkept).map(|error| chain(error));
        if let Some(why) = unkept.as_ref().filter(|why| self.unkept.as_ref() != Some(why)) {
            tracing::error!(
                why,
                "what sysctls were can't be written down: a daemon that is killed does not give them back"
            );
        }
        self.unkept = unkept;
    }

    fn give_back_what_is_not_needed(&mut self, sees_to: impl Fn(&Sysctl) -> bool) {
        let mut needed: BTreeSet<Sysctl> =
            self.wanted.iter().map(|(sysctl, _)| sysctl.clone()).collect();
        needed.extend(Sysctl::parse(EXPIRE_NODEST_CONN).filter(|sysctl| !sees_to(sysctl)));
        if let Ok(record) = &mut self.record {
            for error in record.keep_only(&needed) {
                self.problems.insert("given back".to_owned(), chain(&error));
            }
        }
    }

    /// Restores everything.
    pub(super) fn give_back(mut self) {
        let Ok(record) = &mut self.record else { return };
        for error in record.keep_only(&BTreeSet::new()) {
            tracing::error!(error = chain(&error), "a sysctl could not be given back");
        }
    }

    /// The sysctls for the API.
    pub(super) fn view(&self) -> control::Sysctls {
        let view = |(sysctl, wanted): &(Sysctl, WantedSysctl)| control::Sysctl {
            name: dotted(sysctl),
            wanted: wanted.aim.to_string(),
            why: wanted.why.clone(),
            problem: self.problems.get(&dotted(sysctl)).cloned(),
        };
        control::Sysctls {
            repairs_total: self.repairs,
            each: self.wanted.iter().map(view).collect(),
            unkept: self.unkept.clone(),
            lost: self.lost.clone(),
        }
    }
}

fn wanted(config: &Config) -> Vec<(Sysctl, WantedSysctl)> {
    let wanted = config.sysctls().into_iter();
    wanted.filter_map(|one| Some((Sysctl::parse(&one.path)?, one))).collect()
}

/// As `sysctl` has it.
fn dotted(sysctl: &Sysctl) -> String {
    // An interface's name may have dots: there the two exchange their parts.
    sysctl.to_string().replace('.', "\0").replace('/', ".").replace('\0', "/")
}

fn unread(error: &SysctlError, wanted: &WantedSysctl) -> String {
    let missing = matches!(error, SysctlError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound);
    if missing {
        format!("this kernel, or this network namespace, does not have it. {}", wanted.why)
    } else {
        format!("{}. {}", chain(error), wanted.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// While a batch moves servers the sysctl is 0: it is neither looked at, repaired nor complained about.
    #[test]
    fn what_the_daemon_changes_itself_for_a_moment_is_left_alone() {
        let text = "services: {web: {listen: tcp 192.0.2.10:80, forward: direct, persistence: {}, check: {tcp: {}}, real_servers: {w: 192.0.2.30}}}";
        let config = holdfast_config::parse("f", text, &holdfast_config::Environment::new("lb1"));
        let mut wanted = wanted(&config.config.expect("a configuration"));
        wanted.retain(|(sysctl, _)| sysctl.to_string() == EXPIRE_NODEST_CONN);
        assert_eq!(wanted.len(), 1);
        let mut settings = Settings {
            wanted,
            // So that nothing is ever set.
            record: Err("there is no directory".to_owned()),
            lost: None,
            problems: BTreeMap::new(),
            settled: BTreeSet::new(),
            repairs: 0,
            news: Vec::new(),
            unkept: None,
        };
        let leave = settle().expect("nobody has it");
        settings.look();
        assert!(settings.problems.is_empty(), "{:?}", settings.problems);
        assert!(settings.settled.is_empty());
        drop(leave);
        settings.look();
        assert!(!settings.problems.is_empty() || !settings.settled.is_empty(), "it is looked at");
    }
}
