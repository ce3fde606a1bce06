//! A pair of keepalived of which one node is moved: `holdfast import` converts its file, and what it is converted to is the other half of the
//! pair from then on, as Backup and as Active.

use holdfast_integration::pair::lab;
use holdfast_integration::{Director, Programs};
use holdfast_testkit::lab::{Keepalived, Node, VIP4, VIP6};

use super::speech::{Speech, VERSION_2, VERSION_3, never_claimed, wait_advertised};

/// The file of a node, as people write it.
fn file(speech: &Speech, priority: u8) -> String {
    let (advert, password) = if speech.version == 2 {
        ("1", "    authentication {\n        auth_type PASS\n        auth_pass secretly\n    }\n")
    } else {
        ("0.3", "")
    };
    let head = |name: &str| {
        format!(
            "vrrp_instance {name} {{\n    state BACKUP\n    interface eth0 ! the only one\n    virtual_router_id 51\n    \
             priority {priority}\n    advert_int {advert}\n    garp_master_refresh 60\n    track_interface {{\n        eth0\n    }}\n"
        )
    };
    let v4 = format!(
        "{}{password}    virtual_ipaddress {{\n        {VIP4}/24 dev eth0\n    }}\n}}\n",
        head("v4")
    );
    let v6 = format!(
        "{}    virtual_ipaddress {{\n        fe80::33/64\n        {VIP6}/64\n    }}\n}}\n",
        head("v6")
    );
    let version =
        format!("global_defs {{\n    router_id LVS\n    vrrp_version {}\n}}\n", speech.version);
    version + &v4 + if speech.version == 2 { "" } else { &v6 }
}

fn converted(node: &Node, text: &str) -> String {
    let source = node.write("source.conf", text).unwrap();
    let programs = Programs::find().unwrap();
    let argv = [programs.holdfast.as_os_str(), "import".as_ref(), source.as_os_str()];
    node.run(argv).unwrap().stdout
}

fn moved_one_by_one(speech: &Speech) {
    let lab = lab().unwrap();
    let ears = speech.listen(&lab);
    let better = Keepalived::start(lab.lb1(), &file(speech, 150)).unwrap();
    speech.wait_moved(&lab, lab.lb1(), true);

    // The Backup is moved first: it is Backup here, too.
    let config = converted(lab.lb2(), &file(speech, 100));
    let mut ours = Director::start(lab.lb2(), &config).unwrap();
    wait_advertised(&ears, lab.lb1());
    speech.wait_state(&ours, "backup");
    for (_, instance) in speech.ours(&ours) {
        let discarded = instance.counters.iter().find(|(name, _)| name.starts_with("discarded"));
        assert_eq!(discarded, None, "every packet of keepalived's is understood");
    }
    never_claimed(&ears, lab.lb2());

    // keepalived is stopped for its own move: ours is Active, with the same addresses.
    better.stop().unwrap();
    speech.wait_state(&ours, "active");
    speech.wait_moved(&lab, lab.lb2(), true);

    // It comes back instead, and takes over as ever.
    let _better = Keepalived::start(lab.lb1(), &file(speech, 150)).unwrap();
    speech.wait_state(&ours, "backup");
    speech.wait_moved(&lab, lab.lb1(), true);
    ours.stop().unwrap();
    speech.never_both(&ears);
}

#[test]
fn a_converted_node_is_the_other_half_of_a_pair_in_version_2_with_a_password() {
    moved_one_by_one(&VERSION_2);
}

#[test]
fn a_converted_node_is_the_other_half_of_a_pair_in_version_3_of_both_families() {
    moved_one_by_one(&VERSION_3);
}
