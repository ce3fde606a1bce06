//! `holdfast import` against the real thing: a keepalived.conf is run by keepalived, what it is converted to by holdfastd, and the kernel's
//! table, as ipvsadm reads it, is the same.

use std::time::Duration;

use anyhow::{Context, Result};
use holdfast_integration::{Director, Programs, saved_table};
use holdfast_testkit::lab::{Keepalived, Lab, Nginx, Node, Topology, wait_until};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// Both families; every scheduler's and method's form; servers that are up, down, inhibited, without a check; a group, a range, marks.
const SERVERS: &str = r#"
virtual_server_group many {
    10.77.0.11-13 8080
    10.77.0.20 8080
}
virtual_server 10.77.0.10 80 {
    delay_loop 2
    lb_algo wrr
    lb_kind NAT
    protocol TCP
    persistence_timeout 90
    persistence_granularity 255.255.255.0
    quorum 2
    sorry_server 10.77.0.59 80
    real_server 10.77.0.21 80 {
        weight 3
        HTTP_GET {
            url {
                path /
                status_code 200
            }
            connect_timeout 1
        }
    }
    real_server 10.77.0.22 80 {
        weight 2
        TCP_CHECK {
            connect_timeout 1
        }
    }
    real_server 10.77.0.22 81 {
        TCP_CHECK {
            connect_timeout 1
            retry 0
        }
    }
}
virtual_server fd00:77::10 80 {
    delay_loop 2
    lvs_sched wlc
    lvs_method DR
    protocol TCP
    inhibit_on_failure
    real_server fd00:77::21 80 {
        TCP_CHECK {
            connect_timeout 1
        }
    }
    real_server fd00:77::22 81 {
        TCP_CHECK {
            connect_timeout 1
            retry 0
        }
    }
}
virtual_server 10.77.0.10 53 {
    lb_algo rr
    lb_kind NAT
    protocol UDP
    ops
    real_server 10.77.0.21 5353 {
        weight 0
    }
    real_server 10.77.0.22 5353 {
    }
}
virtual_server fwmark 7 {
    lb_algo sh
    sh-fallback
    sh-port
    lb_kind TUN
    real_server 10.99.0.21 {
    }
}
virtual_server fwmark 8 {
    ip_family inet6
    lb_algo mh
    mh-fallback
    lb_kind DR
    real_server fd00:77::21 {
        weight 5
    }
}
virtual_server group many {
    lb_algo sed
    lb_kind DR
    protocol TCP
    real_server 10.77.0.21 8080 {
    }
    real_server 10.77.0.22 9999 {
    }
}
virtual_server 10.77.0.14 0 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    persistence_timeout 60
    real_server 10.77.0.21 {
    }
}
"#;

/// The conversion of `text`, by the program itself.
fn converted(node: &Node, text: &str) -> Result<String> {
    let source = node.write("source.conf", text)?;
    let programs = Programs::find()?;
    let output = node.run([
        programs.holdfast.as_os_str(),
        "import".as_ref(),
        source.as_os_str(),
        "--id".as_ref(),
        node.name().as_ref(),
    ])?;
    Ok(output.stdout)
}

/// Waits until the table has stood still for three looks, and holds the failed server no longer.
fn settled(node: &Node) -> Result<Vec<String>> {
    let mut before = Vec::new();
    let mut same = 0;
    wait_until(LIMIT, "a table at rest", || {
        std::thread::sleep(Duration::from_secs(1));
        let table = saved_table(node).ok()?;
        let down = !table.iter().any(|line| line.contains("10.77.0.22:81"))
            && table.iter().any(|line| line.contains("[fd00:77::22]:80") && line.ends_with("-w 0"));
        same = if down && table == before { same + 1 } else { 0 };
        before.clone_from(&table);
        (same >= 3).then_some(table)
    })
}

#[test]
fn the_table_of_a_conversion_is_the_one_that_keepalived_makes() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(2))?;
    let _webs = lab.webs().map(|web| Nginx::start(web, 80)).collect::<Result<Vec<_>>>()?;
    let node = lab.lb1();
    let converted = converted(node, SERVERS)?;

    let keepalived = Keepalived::start(node, SERVERS)?;
    let theirs = settled(node).with_context(|| keepalived.process().log_tail())?;
    keepalived.stop()?;
    wait_until(LIMIT, "keepalived's table to be gone", || {
        saved_table(node).ok()?.is_empty().then_some(())
    })?;

    let state = format!("daemon: {{state: {}}}\n", node.folder().join("state").display());
    let ours = Director::start(node, &(state + &converted))?;
    // At its start a table without servers that are up may stand still for a while, too.
    wait_until(LIMIT, "the same table", || (saved_table(node).ok()? == theirs).then_some(()))
        .with_context(|| {
            format!("{:#?}\n{theirs:#?}\n{}", saved_table(node), ours.process().log_tail())
        })?;
    let table = settled(node).with_context(|| ours.process().log_tail())?;
    assert_eq!(table, theirs, "{converted}");
    Ok(())
}
