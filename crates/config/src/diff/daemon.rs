//! The keys `daemon` and `ipvs`.

use super::{Found, Impact, Subject};
use crate::model::{Daemon, ForeignServices, Ipvs};

pub(super) fn compare(old: &Daemon, new: &Daemon, found: &mut Found) {
    let Daemon {
        control_socket,
        control_group,
        control_others,
        http,
        pair,
        // What it says counts at the start alone.
        scripts_given: _,
        script_user,
        state,
        script_timeout,
        on_bad_config,
        notifications,
    } = old;
    found
        .of(Subject::Daemon)
        .put("control.socket", control_socket, &new.control_socket, Impact::Restart)
        .put("control.group", control_group, &new.control_group, Impact::Restart)
        .put("control.others", control_others, &new.control_others, Impact::Restart)
        .put("http.listen", http, &new.http, Impact::None)
        .put("pair", pair, &new.pair, Impact::None)
        .put("scripts.user", script_user, &new.script_user, Impact::None)
        .put("state", state, &new.state, Impact::Restart)
        .put("on_bad_config", on_bad_config, &new.on_bad_config, Impact::None)
        .put("scripts.timeout", script_timeout, &new.script_timeout, Impact::None)
        .put("notifications", notifications, &new.notifications, Impact::None);
}

pub(super) fn compare_ipvs(old: &Ipvs, new: &Ipvs, found: &mut Found) {
    let Ipvs { on_stop, drain_timeout, poll, foreign, timeouts, sync, sysctls } = old;
    let others = match new.foreign {
        ForeignServices::Keep => Impact::None,
        ForeignServices::Remove => Impact::Connections,
    };
    found
        .of(Subject::Ipvs)
        .put("on_stop", on_stop, &new.on_stop, Impact::None)
        .put("drain_timeout", drain_timeout, &new.drain_timeout, Impact::None)
        .put("poll", poll, &new.poll, Impact::None)
        .put("foreign", foreign, &new.foreign, others)
        .put("timeouts", timeouts, &new.timeouts, Impact::None)
        .put("sync", sync, &new.sync, Impact::PeerMustMatch)
        .put("sysctls", sysctls, &new.sysctls, Impact::None);
}
