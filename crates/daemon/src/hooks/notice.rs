//! What hooks are told: as arguments in keepalived's words, and as JSON on standard input.

use std::time::{Duration, SystemTime};

use holdfast_config::{Config, Group, HookEvent, Instance, Name, Service};
use serde::Serialize;

use crate::events::News;

/// Something happened that hooks may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// To whom.
    pub(crate) subject: Subject,
    /// What.
    pub(crate) event: HookEvent,
    /// The state from then on; of an event that changes none, the state that it is in.
    pub(crate) state: NoticeState,
    /// An instance's effective priority, 0..=255; of a group it is told as 0, whatever stands here.
    pub(crate) priority: u8,
    /// Why, as a sentence for an operator.
    pub(crate) reason: String,
    /// When, by the wall clock.
    pub(crate) at: SystemTime,
}

/// Whom a notice is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// A VRRP instance.
    Instance(Name),
    /// A sync group as a whole.
    Group(Name),
    /// A service.
    Service(Name),
}

impl Subject {
    pub(super) const fn name(&self) -> &Name {
        match self {
            Self::Instance(name) | Self::Group(name) | Self::Service(name) => name,
        }
    }

    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Instance(_) => "instance",
            Self::Group(_) => "group",
            Self::Service(_) => "service",
        }
    }
}

/// A state as hooks know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NoticeState {
    /// It has the addresses.
    Active,
    /// It waits.
    Backup,
    /// Something keeps it from taking part.
    Fault,
    /// The daemon stops.
    Stop,
    /// A service has its quorum.
    Up,
    /// A service has lost its quorum.
    Down,
}

impl Notice {
    /// The same for the stream of events: `vrrp.active`, or `group.active`. What a service becomes is told there by the director.
    pub(super) fn news(&self) -> Option<News> {
        let event = match self.event {
            HookEvent::Active => "active",
            HookEvent::Backup => "backup",
            HookEvent::Fault => "fault",
            HookEvent::Stop => "stop",
            HookEvent::Priority => "priority",
            HookEvent::LowerPriority => "lower_priority",
            HookEvent::Up => "up",
            HookEvent::Down => "down",
        };
        let (of, text) = match self.subject {
            Subject::Instance(_) => {
                ("vrrp", format!("priority {}: {}", self.priority, self.reason))
            }
            Subject::Group(_) => ("group", self.reason.clone()),
            Subject::Service(_) => return None,
        };
        let subject = self.subject.name().to_string();
        Some(News { kind: format!("{of}.{event}"), subject, text, who: None, reason: None })
    }

    /// What is appended to a hook's command: `INSTANCE edge MASTER 150`, as keepalived's `notify` has it; `SERVICE web DOWN 0`.
    pub(super) fn arguments(&self) -> [String; 4] {
        let (kind, priority) = match self.subject {
            Subject::Instance(_) => ("INSTANCE", self.priority),
            Subject::Group(_) => ("GROUP", 0),
            Subject::Service(_) => ("SERVICE", 0),
        };
        let state = match (self.event, self.state) {
            (HookEvent::Active, _) => "MASTER",
            (HookEvent::Backup, _) => "BACKUP",
            (HookEvent::Fault, _) => "FAULT",
            (HookEvent::Stop, _) => "STOP",
            (HookEvent::Priority, NoticeState::Active) => "MASTER_PRIORITY",
            (HookEvent::Priority, _) => "BACKUP_PRIORITY",
            (HookEvent::LowerPriority, _) => "MASTER_RX_LOWER_PRI",
            (HookEvent::Up, _) => "UP",
            (HookEvent::Down, _) => "DOWN",
        };
        [kind, self.subject.name().as_str(), state, &priority.to_string()].map(str::to_owned)
    }

    /// One JSON object and the end of the line.
    pub(super) fn json(&self, facts: &Facts) -> Vec<u8> {
        let at = self.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let [_, _, keepalived, _] = self.arguments();
        let message = Message {
            version: 1,
            kind: self.subject.kind(),
            name: self.subject.name().as_str(),
            event: self.event,
            keepalived: &keepalived,
            state: self.state,
            priority: matches!(self.subject, Subject::Instance(_)).then_some(self.priority),
            reason: &self.reason,
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            facts,
        };
        // Maps with text as their keys and numbers are all that is in there: it can't fail.
        let mut json = serde_json::to_vec(&message).unwrap_or_default();
        json.push(b'\n');
        json
    }
}

/// The object on a hook's standard input (docs/hooks.md).
#[derive(Debug, Serialize)]
struct Message<'a> {
    version: u8,
    kind: &'static str,
    name: &'a str,
    event: HookEvent,
    keepalived: &'a str,
    state: NoticeState,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    reason: &'a str,
    at_ms: u64,
    #[serde(flatten)]
    facts: &'a Facts,
}

/// What the configuration says of an instance or a group, for its hooks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Facts {
    pub(super) node: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) interface: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vrid: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) family: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) addresses: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) excluded: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instances: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) listen: Option<Vec<String>>,
}

impl Facts {
    pub(super) fn of_instance(config: &Config, instance: &Instance) -> Self {
        let text = |addresses: &[holdfast_config::VirtualAddress]| {
            Some(addresses.iter().map(ToString::to_string).collect())
        };
        Self {
            node: config.node.clone(),
            interface: Some(instance.interface.clone()),
            vrid: Some(instance.vrid.value()),
            family: Some(match instance.family {
                vrrp::AddressFamily::Ipv4 => "ipv4",
                vrrp::AddressFamily::Ipv6 => "ipv6",
            }),
            addresses: text(&instance.addresses),
            excluded: text(&instance.excluded),
            instances: None,
            listen: None,
        }
    }

    pub(super) fn of_service(config: &Config, service: &Service) -> Self {
        let listen = service.listen.iter().map(ToString::to_string).collect();
        Self { node: config.node.clone(), listen: Some(listen), ..Self::default() }
    }

    pub(super) fn of_group(config: &Config, group: &Group) -> Self {
        let instances = group.instances.iter().map(ToString::to_string).collect();
        Self { node: config.node.clone(), instances: Some(instances), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(subject: Subject, event: HookEvent, state: NoticeState) -> Notice {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        Notice {
            subject,
            event,
            state,
            priority: 150,
            reason: "no \"word\"\nfrom it".to_owned(),
            at,
        }
    }

    #[test]
    fn the_arguments_are_keepalived_s() {
        let edge = || Subject::Instance(Name::try_from("edge".to_owned()).unwrap());
        for (event, state, words) in [
            (HookEvent::Active, NoticeState::Active, "INSTANCE edge MASTER 150"),
            (HookEvent::Backup, NoticeState::Backup, "INSTANCE edge BACKUP 150"),
            (HookEvent::Fault, NoticeState::Fault, "INSTANCE edge FAULT 150"),
            (HookEvent::Stop, NoticeState::Stop, "INSTANCE edge STOP 150"),
            (HookEvent::Priority, NoticeState::Active, "INSTANCE edge MASTER_PRIORITY 150"),
            (HookEvent::Priority, NoticeState::Backup, "INSTANCE edge BACKUP_PRIORITY 150"),
            (
                HookEvent::LowerPriority,
                NoticeState::Active,
                "INSTANCE edge MASTER_RX_LOWER_PRI 150",
            ),
        ] {
            assert_eq!(notice(edge(), event, state).arguments().join(" "), words);
        }
        let pair = notice(
            Subject::Group(Name::try_from("pair".to_owned()).unwrap()),
            HookEvent::Active,
            NoticeState::Active,
        );
        assert_eq!(pair.arguments().join(" "), "GROUP pair MASTER 0");
        let web = || Subject::Service(Name::try_from("web".to_owned()).unwrap());
        let down = notice(web(), HookEvent::Down, NoticeState::Down);
        assert_eq!(down.arguments().join(" "), "SERVICE web DOWN 0");
        assert_eq!(down.news(), None, "the director tells it");
    }

    #[test]
    fn standard_input_is_one_line_of_json() {
        let subject = Subject::Instance(Name::try_from("edge".to_owned()).unwrap());
        let facts = Facts {
            node: "lb1".to_owned(),
            interface: Some("eth0".to_owned()),
            vrid: Some(33),
            family: Some("ipv4"),
            addresses: Some(vec!["192.0.2.10/24".to_owned()]),
            excluded: Some(Vec::new()),
            ..Facts::default()
        };
        let json = notice(subject, HookEvent::Active, NoticeState::Active).json(&facts);
        let expected = concat!(
            r#"{"version":1,"kind":"instance","name":"edge","event":"active","keepalived":"MASTER","#,
            r#""state":"active","priority":150,"reason":"no \"word\"\nfrom it","at_ms":1700000000123,"#,
            r#""node":"lb1","interface":"eth0","vrid":33,"family":"ipv4","addresses":["192.0.2.10/24"],"#,
            r#""excluded":[]}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(json).unwrap(), expected);
    }

    #[test]
    fn a_group_has_no_priority_and_no_address() {
        let subject = Subject::Group(Name::try_from("pair".to_owned()).unwrap());
        let facts = Facts { instances: Some(vec!["a".to_owned()]), ..Facts::default() };
        let json = notice(subject, HookEvent::Fault, NoticeState::Fault).json(&facts);
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "at_ms",
            "event",
            "instances",
            "keepalived",
            "kind",
            "name",
            "node",
            "reason",
            "state",
            "version",
        ];
        assert_eq!(keys, expected);
    }
}
