//! What goes wrong between the kernel and the client, played by a script: it is tried again, or told.

use nix::errno::Errno;

use super::script::{Fault, client, key, of};
use crate::client::{ClientError, READ_ATTEMPTS, Request};
use crate::model::{Destination, Forwarding, VirtualService};
use crate::plan::Operation;
use crate::wire::Command::{GetDestination, GetService};

fn operations() -> Vec<Operation> {
    let destination = Destination::new("10.0.0.9:80".parse().unwrap(), Forwarding::Nat, 1);
    vec![
        Operation::NewService(VirtualService::new(key(82), "rr".parse().unwrap())),
        Operation::NewDestination { service: key(82), destination },
    ]
}

#[test]
fn a_table_is_read_as_it_is() {
    let (mut client, kernel) = client();
    let status = client.status().unwrap();
    assert_eq!(status.unreadable, [""; 0]);
    let table = status.table();
    for (service, destinations) in &of(&kernel).table {
        let entry = &table[&service.key];
        assert_eq!(entry.service, *service);
        assert!(entry.destinations.values().eq(destinations));
    }
    assert_eq!(of(&kernel).asked, [GetService, GetDestination, GetDestination, GetService]);
}

/// Each of these is passing: the second reading has what is there.
#[test]
fn what_is_lost_interrupted_repeated_or_moved_is_read_again() {
    for (command, fault) in [
        (GetService, Fault::Lost),
        (GetDestination, Fault::Lost),
        (GetService, Fault::Interrupted),
        (GetDestination, Fault::Interrupted),
        // A concurrent writer moves the cursor: an object comes twice, or a service is missing from one of the two listings.
        (GetDestination, Fault::Twice),
        (GetService, Fault::Skipped),
        (GetService, Fault::Stale),
        (GetDestination, Fault::Stale),
    ] {
        let (mut client, kernel) = client();
        let expected = client.status().unwrap();
        of(&kernel).faults = vec![(command, fault)];
        assert_eq!(client.status().unwrap(), expected, "{command:?} {fault:?}");
        assert!(of(&kernel).faults.is_empty(), "{command:?} {fault:?}");
    }
}

/// At the start of a daemon a server that is skipped would count as one without connections.
#[test]
fn a_glance_believes_no_dump_that_skips() {
    for is_in_file in [false, true] {
        for faults in [
            vec![],
            vec![(GetService, Fault::Skipped)],
            vec![(GetDestination, Fault::Skipped)],
            vec![(GetService, Fault::Skipped), (GetDestination, Fault::Skipped)],
        ] {
            let (mut client, kernel) = client();
            let expected = client.table().unwrap();
            let glimpses = expected.iter().filter(|_| is_in_file);
            let glimpses =
                glimpses.map(|(key, entry)| (*key, entry.destinations.clone())).collect();
            of(&kernel).faults = faults.clone();
            of(&kernel).asked.clear();
            let found = client.glance_beside(glimpses, |_, _| false).unwrap();
            assert_eq!(found, expected, "{is_in_file} {faults:?}");
            if is_in_file && faults.is_empty() {
                assert_eq!(of(&kernel).asked, [GetService, GetDestination, GetDestination]);
            }
        }
    }
}

/// Whoever has removed something since the file was read is not waited for.
#[test]
fn a_glance_puts_up_with_what_is_gone() {
    let (mut client, kernel) = client();
    let before = client.table().unwrap();
    let glimpses = before.iter().map(|(key, entry)| (*key, entry.destinations.clone())).collect();
    of(&kernel).table.pop();
    of(&kernel).table[0].1.pop();
    let expected = client.table().unwrap();
    assert_eq!(client.glance_beside(glimpses, |_, _| false).unwrap(), expected);
}

#[test]
fn what_lasts_is_told_after_three_readings_with_what_to_do() {
    for (fault, errno, help) in [
        (Fault::Lost, Errno::ENOBUFS, "rmem_max"),
        (Fault::Interrupted, Errno::EINTR, "read it again"),
    ] {
        let (mut client, kernel) = client();
        of(&kernel).faults = vec![(GetDestination, fault); READ_ATTEMPTS];
        let error = client.status().unwrap_err();
        assert!(
            matches!(&error, ClientError::Receive { request: Request::Destinations(of), source }
                if *of == key(80) && *source == errno),
            "{error:?}"
        );
        assert!(error.to_string().contains("tcp 192.0.2.10:80"), "{error}");
        assert!(error.help().unwrap().contains(help), "{error:?}");
        // And the next reading is not troubled by it.
        assert_eq!(client.status().unwrap().services.len(), 2);
    }
}

/// Half a message is not passed over: the object in it would count as gone.
#[test]
fn an_answer_that_is_cut_short_is_an_error() {
    for command in [GetService, GetDestination] {
        for (fault, errno) in [
            (Fault::CutShort, Errno::EBADMSG),
            (Fault::TooLong, Errno::EBADMSG),
            (Fault::Endless, Errno::EAGAIN),
        ] {
            let (mut client, kernel) = client();
            of(&kernel).faults = vec![(command, fault)];
            let error = client.status().unwrap_err();
            assert!(
                matches!(&error, ClientError::Receive { source, .. } if *source == errno),
                "{command:?} {fault:?}: {error:?}"
            );
            assert!(error.help().is_some());
            assert_eq!(client.status().unwrap().services.len(), 2, "the next reading is whole");
        }
    }
}

#[test]
fn an_object_that_makes_no_sense_is_named_and_the_others_are_read() {
    let (mut client, kernel) = client();
    of(&kernel).faults = vec![(GetDestination, Fault::Garbage)];
    let status = client.status().unwrap();
    assert_eq!(status.services.iter().map(|found| found.destinations.len()).sum::<usize>(), 5);
    assert_eq!(status.unreadable.len(), 1, "{:?}", status.unreadable);
    assert!(status.unreadable[0].contains("tcp 192.0.2.10:80"), "{:?}", status.unreadable);
}

/// The table changes at each reading: after so many the last is what there is.
#[test]
fn a_table_that_never_stands_still_is_put_up_with() {
    let (mut client, kernel) = client();
    of(&kernel).faults = vec![(GetDestination, Fault::Twice); 3];
    let status = client.status().unwrap();
    assert!(status.services.iter().all(|found| found.destinations.len() == 3), "each once");
}

#[test]
fn a_family_with_another_number_is_found_again() {
    let (mut client, kernel) = client();
    let expected = client.status().unwrap();
    of(&kernel).family = Some(31);
    let report = client.apply(&operations()).unwrap();
    assert!(report.is_clean() && report.applied == 2, "{report:?}");
    of(&kernel).family = Some(32);
    client.flush().unwrap();
    of(&kernel).family = Some(33);
    assert!(client.service(&key(80)).is_err_and(|error| matches!(
        error,
        // The script has no answer to it, but it was asked by the right number.
        ClientError::Answer { .. }
    )));
    of(&kernel).family = Some(34);
    assert_eq!(client.status().unwrap(), expected);
}

#[test]
fn a_family_that_has_gone_is_told_whatever_is_asked() {
    let (mut client, kernel) = client();
    of(&kernel).family = None;
    let errors = [
        client.status().unwrap_err(),
        client.flush().unwrap_err(),
        client.apply(&operations()).unwrap_err(),
        client.daemons().unwrap_err(),
        client.info().unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, ClientError::NoIpvs), "{error:?}");
        assert!(error.help().unwrap().contains("modprobe ip_vs"));
    }
}

/// A removal that finds nothing is answered as an old number is; it is not tried again for that.
#[test]
fn a_batch_of_which_every_object_is_missing_is_sent_once() {
    let (mut client, kernel) = client();
    let removals: Vec<Operation> = operations()
        .iter()
        .filter_map(Operation::destination)
        .map(|address| Operation::DelDestination { service: key(80), address })
        .collect();
    of(&kernel).refuses = Some(Errno::ENOENT);
    let report = client.apply(&removals).unwrap();
    assert_eq!(report.errors.len(), 1);
    assert_eq!(of(&kernel).asked.len(), 1);
}

#[test]
fn a_refusal_of_everything_is_told_of_each_object() {
    for errno in [Errno::EPERM, Errno::EBUSY, Errno::ENOMEM] {
        let (mut client, kernel) = client();
        of(&kernel).refuses = Some(errno);
        let report = client.apply(&operations()).unwrap();
        assert_eq!((report.applied, report.errors.len()), (0, 2));
        for error in &report.errors {
            assert_eq!(error.errno, errno);
            assert!(error.to_string().contains("tcp 192.0.2.10:82"), "{error}");
            assert!(error.help().is_some(), "{error}");
        }
        let error = client.status().unwrap_err();
        assert!(matches!(&error, ClientError::Refused { errno: of, .. } if *of == errno));
        assert!(error.help().is_some(), "{error}");
    }
}
