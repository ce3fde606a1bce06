//! Changes beside the configuration's file: they stand over reloads, until the file has them itself.

use anyhow::{Context, Result, ensure};
use holdfast_integration::Director;
use holdfast_testkit::lab::wait_until;

use crate::{BOTH, LIMIT, SERVICE, change_everything, changes, config, kept, lab, state};

#[test]
fn changes_stand_over_reloads_and_a_file_that_names_them_makes_them_its_own() -> Result<()> {
    let lab = lab()?;
    let mut director = Director::start(lab.lb1(), &config(&lab, BOTH, ""))?;
    change_everything(&director)?;
    let other = "  more: {listen: tcp 10.77.0.11:80, forward: nat}\n";
    director.reload(&config(&lab, BOTH, other))?;
    let after: Vec<_> = changes(&director)?.into_iter().filter(|one| !one.2).collect();
    assert_eq!(after, kept());
    // The service goes and comes back, and a restart between: nothing is forgotten, and `diff` says what can't be meanwhile.
    let without = format!("daemon: {{state: {}}}\nservices: {{}}\n", state(&lab).display());
    director.reload(&without)?;
    director.kill()?;
    director.restart()?;
    let shown = director.cli(&["diff"])?;
    // The daemon knows of it from the one before, and lets it drain.
    let why = "! web/web3 does not hold: the configuration has service `web` no longer";
    ensure!(shown.contains(why), "{shown}");
    director.reload(&config(&lab, BOTH, ""))?;
    assert_eq!(changes(&director)?, kept());
    director.wait_weights(SERVICE, &[("10.77.0.23:80", 2), ("10.77.0.25:80", 0)])?;
    // The file has it now, weight and all.
    let three = "web1: {address: 10.77.0.21:80, weight: 7}, web2: {address: 10.77.0.22:80, weight: 2}, web3: {address: 10.77.0.23:80, weight: 9}";
    director.reload(&config(&lab, three, ""))?;
    let expected: Vec<_> = kept()
        .into_iter()
        .filter(|(server, what, _)| server != "web3" && what != "weight 5")
        .collect();
    assert_eq!(changes(&director)?, expected);
    director.kill()?;
    director.restart()?;
    assert_eq!(changes(&director)?, expected);
    // A change that can't be is forgotten by hand: by its name, and by its address with and without the port.
    director.reload(&without)?;
    let mut left = expected;
    for (server, word) in [("web5", "web5"), ("web2", "10.77.0.22:80"), ("web1", "10.77.0.21")] {
        ensure!(left.iter().any(|(other, ..)| other == server), "{server}: {left:?}");
        director.cli(&["server", "rm", "web", word])?;
        left.retain(|(other, ..)| other != server);
        assert_eq!(changes(&director)?, left, "{word}");
    }
    // Until it has drained there is the service, and a server that it has not is removed already.
    wait_until(LIMIT, "the service to be gone", || {
        director.status().ok()?.services.is_empty().then_some(())
    })?;
    let (code, _, said) = director.try_cli(&["server", "rm", "web", "10.77.0.99"])?;
    ensure!(code == 1 && said.contains("no service `web`"), "{code} {said}");
    Ok(())
}

/// A server that a command has removed gets another name in the file, and is taken back by its address: the removal is over for good.
#[test]
fn a_removal_that_was_taken_back_under_another_name_does_not_strike_again() -> Result<()> {
    let lab = lab()?;
    let mut director = Director::start(lab.lb1(), &config(&lab, BOTH, ""))?;
    let both = [("10.77.0.21:80", 1), ("10.77.0.22:80", 2)];
    director.wait_weights(SERVICE, &both)?;
    for ephemeral in [false, true] {
        director.reload(&config(&lab, BOTH, ""))?;
        director.cli(&["server", "rm", "web", "web1", "--now"])?;
        let renamed = "web1b: 10.77.0.21:80, web2: {address: 10.77.0.22:80, weight: 2}";
        director.reload(&config(&lab, renamed, ""))?;
        director.wait_weights(SERVICE, &both[1..])?;
        let mut add = vec!["server", "add", "web", "10.77.0.21:80"];
        add.extend(ephemeral.then_some("--ephemeral"));
        director.cli(&add)?;
        let other = "  more: {listen: tcp 10.77.0.11:80, forward: nat}\n";
        director.reload(&config(&lab, renamed, other))?;
        let web1b = director.server("web", "web1b")?.context("web1b")?;
        ensure!(web1b.state != "draining" && web1b.order.is_none(), "{web1b:?}");
        director.wait_weights(SERVICE, &both)?;
        assert_eq!(changes(&director)?, []);
        director.kill()?;
        director.restart()?;
        let is_removed = director.server("web", "web1b")?.is_none_or(|one| one.order.is_some());
        assert_eq!(is_removed, ephemeral, "that was for this daemon's life");
    }
    director.cli(&["server", "add", "web", "10.77.0.21:80"])?;
    director.wait_weights(SERVICE, &both)?;
    assert_eq!(changes(&director)?, []);
    Ok(())
}

/// The file calls a server that a command has removed otherwise, and gives its name to another one, which commands then change: the removal is that of
/// the address, over reloads and restarts.
#[test]
fn a_removal_does_not_strike_at_who_has_the_name_now() -> Result<()> {
    let lab = lab()?;
    let mut director = Director::start(lab.lb1(), &config(&lab, BOTH, ""))?;
    director.wait_weights(SERVICE, &[("10.77.0.21:80", 1), ("10.77.0.22:80", 2)])?;
    director.cli(&["server", "rm", "web", "web1", "--now"])?;
    let swapped =
        "web9: 10.77.0.21:80, web1: 10.77.0.29:80, web2: {address: 10.77.0.22:80, weight: 2}";
    director.reload(&config(&lab, swapped, ""))?;
    director.cli(&["server", "weight", "web", "web1", "3"])?;
    director.cli(&["server", "drain", "web", "web1"])?;
    director.wait_server("web", "web1", "drained", LIMIT)?;
    director.cli(&["server", "ready", "web", "web1"])?;
    let left = [("10.77.0.22:80", 2), ("10.77.0.29:80", 3)];
    let expected = [("web9", "removed"), ("web1", "weight 3")]
        .map(|(name, what)| (name.to_owned(), what.to_owned(), false));
    let other = "  more: {listen: tcp 10.77.0.11:80, forward: nat}\n";
    for text in [swapped, &format!("{swapped}, web8: {{address: 10.77.0.28:80, weight: 0}}")] {
        director.reload(&config(&lab, text, other))?;
        assert_eq!(changes(&director)?, expected);
        let web1 = director.server("web", "web1")?.context("web1")?;
        ensure!(web1.address == "10.77.0.29:80" && web1.order.is_none(), "{web1:?}");
    }
    director.reload(&config(&lab, swapped, other))?;
    for _ in 0..2 {
        director.wait_weights(SERVICE, &left)?;
        assert_eq!(changes(&director)?, expected);
        director.kill()?;
        director.restart()?;
    }
    director.wait_weights(SERVICE, &left)?;
    // The name of one that was removed is free, for a command, too; and either is what it is.
    director.cli(&["server", "add", "web", "10.77.0.27:80", "--name", "web9"])?;
    director.kill()?;
    director.restart()?;
    director.wait_weights(
        SERVICE,
        &[("10.77.0.22:80", 2), ("10.77.0.27:80", 1), ("10.77.0.29:80", 3)],
    )?;
    let (code, text, notes) = director.try_cli(&["export"])?;
    ensure!(code == 0 && text.contains("web9: 10.77.0.27:80"), "{text} {notes}");
    ensure!(!text.contains("10.77.0.21"), "{text}");
    // The service goes and comes back: the file's server drains again, and has no name that is another's.
    let held = changes(&director)?;
    let left = [("10.77.0.22:80", 2), ("10.77.0.27:80", 1), ("10.77.0.29:80", 3)];
    let gone = format!("daemon: {{state: {}}}\nservices:\n{other}", state(&lab).display());
    director.reload(&gone)?;
    wait_until(LIMIT, "the service to be gone", || director.service("web").is_err().then_some(()))?;
    director.reload(&config(&lab, swapped, other))?;
    director.wait_weights(SERVICE, &left)?;
    assert_eq!(changes(&director)?, held);
    // Of that one, and not of the file's of the same name, speak the answers.
    for command in
        [&["server", "weight", "web", "web9", "3"][..], &["server", "rm", "web", "web9", "--now"]]
    {
        let said = director.cli(command)?;
        ensure!(
            !said.contains("in the configuration's file, and") && !said.contains("its weight is"),
            "{said}"
        );
    }
    director.cli(&["server", "weight", "web", "web1", "1"])?;
    director.cli(&["server", "add", "web", "10.77.0.21:80"])?;
    assert_eq!(changes(&director)?, []);
    director
        .wait_weights(SERVICE, &[("10.77.0.21:80", 1), ("10.77.0.22:80", 2), ("10.77.0.29:80", 1)])
}

/// What a command has removed of the file's is the file's again when its address is added: with its name, its weight and its checks, over reloads and
/// restarts.
#[test]
fn a_server_of_the_file_that_is_added_again_is_the_files_again() -> Result<()> {
    let lab = lab()?;
    let servers = "web1: 10.77.0.21:80, web2: {address: 10.77.0.22:80, weight: 2, check: {tcp: {}, interval: 1h}}";
    let six = "  six:
    listen: 'tcp [fd00:77::10]:80'
    forward: nat
    real_servers: {a: {address: '[fd00:77::21]:80', weight: 7}}
";
    let text = config(&lab, servers, six);
    let mut director = Director::start(lab.lb1(), &text)?;
    let is_back = |director: &Director| -> Result<()> {
        for (service, name, weight, checks) in [("web", "web2", 2, 1), ("six", "a", 7, 0)] {
            let found = director.server(service, name)?;
            let found = found.with_context(|| format!("{service} has no {name}"))?;
            assert_eq!((found.origin.as_str(), found.weight), ("config", weight), "{found:?}");
            assert_eq!(found.checks.len(), checks, "{found:?}");
            ensure!(found.state != "draining", "{found:?}");
        }
        assert_eq!(changes(director)?, []);
        Ok(())
    };
    let remove = |director: &Director, more: &[&str]| -> Result<()> {
        for server in ["web/web2", "six/a"] {
            director.cli(&[&["server", "rm", server], more].concat())?;
        }
        Ok(())
    };
    let add = |director: &Director| -> Result<()> {
        director.cli(&["server", "add", "web", "10.77.0.22:80"])?;
        director.cli(&["server", "add", "six", "[fd00:77::21]:80"]).map(drop)
    };
    remove(&director, &["--now"])?;
    assert_eq!(director.server("web", "web2")?.map(|one| one.name), None);
    // By another name it would be two servers at one address, for whoever reads the file.
    let other = ["server", "add", "web", "10.77.0.22:80", "--name", "other"];
    let (code, _, said) = director.try_cli(&other)?;
    ensure!(code == 1 && said.contains("`web2`") && said.contains("without a name"), "{said}");
    add(&director)?;
    is_back(&director)?;
    director.reload(&text.replace("weight: 7", "weight: 7, upper_threshold: 9"))?;
    is_back(&director)?;
    director.kill()?;
    director.restart()?;
    is_back(&director)?;
    // A server is known by its address, too.
    let said = director.cli(&["server", "drain", "web", "10.77.0.22:80"])?;
    ensure!(said.starts_with("web/web2 "), "{said}");
    director.cli(&["server", "ready", "web/10.77.0.22:80"])?;
    director.cli(&["server", "weight", "six", "[fd00:77::21]:80", "9"])?;
    director.cli(&["server", "weight", "six/[fd00:77::21]:80", "7"])?;
    is_back(&director)?;
    let (code, _, said) = director.try_cli(&["server", "drain", "web", "10.77.0.99:80"])?;
    ensure!(code == 1 && said.contains("`web` has no server at 10.77.0.99:80"), "{said}");
    // What nobody has is removed, as with a name.
    for address in
        ["web/10.77.0.99:80", "web/10.77.0.99", "six/[fd00:77::99]:80", "six/fd00:77::99"]
    {
        let said = director.cli(&["server", "rm", address])?;
        ensure!(said.contains("and nothing was removed"), "{said}");
    }
    // While it drains to be removed, too. Who takes the last one out is told.
    let said = director.cli(&["server", "maint", "six", "a"])?;
    ensure!(said.contains("no server of the service takes new connections now"), "{said}");
    let said = director.cli(&["server", "ready", "six", "a"])?;
    ensure!(!said.contains("no server of the service"), "{said}");
    remove(&director, &[])?;
    add(&director)?;
    is_back(&director)
}

/// The configuration that `holdfast export` prints is valid, and a daemon that gets it has what this one has.
#[test]
fn an_export_is_a_file_that_makes_changes_its_own() -> Result<()> {
    let lab = lab()?;
    let more = format!("include: {}/conf.d/*.yaml\n", lab.lb1().folder().display());
    std::fs::create_dir_all(lab.lb1().folder().join("conf.d"))?;
    lab.lb1()
        .write("conf.d/dns.yaml", "services: {dns: {listen: udp 10.77.0.10:53, forward: nat}}\n")?;
    let director = Director::start(lab.lb1(), &config(&lab, BOTH, &more))?;
    change_everything(&director)?;
    director.wait_server("web", "web1", "drained", LIMIT)?;
    let (code, text, notes) = director.try_cli(&["export"])?;
    ensure!(code == 0 && !text.contains("include"), "{code} {text}");
    for note in
        ["web/web1 drain: a file has no such state", "web/web4 added: it ends with the daemon"]
    {
        ensure!(notes.contains(note), "no {note:?} in {notes}");
    }
    let before = director.status()?.services;
    director.node().write("exported.yaml", &text)?;
    let file = director.node().folder().join("exported.yaml");
    let file = file.to_string_lossy();
    director.cli(&["check", "--offline", "--node", "lb1", &file])?;
    let planned = director.cli(&["plan", &file])?;
    for line in ["+ server  web/web3", "- server  web/web2", "~ server  web/web1"] {
        ensure!(planned.contains(line), "no {line:?} in {planned}");
    }
    director.reload(&text)?;
    let left: Vec<String> = changes(&director)?
        .into_iter()
        .filter(|one| !one.2)
        .map(|(name, what, _)| format!("{name} {what}"))
        .collect();
    assert_eq!(left, ["web1 drain", "web5 maint"], "what no file can say");
    let shape = |services: &[holdfast_control::Service]| -> Vec<String> {
        let servers = services.iter().flat_map(|service| &service.servers);
        servers.map(|s| format!("{} {} {}", s.name, s.address, s.state)).collect()
    };
    wait_until(LIMIT, "the same servers in the same states", || {
        (shape(&director.status().ok()?.services) == shape(&before)).then_some(())
    })
    .with_context(|| {
        format!("{:?}, not {:?}", director.status().map(|now| shape(&now.services)), shape(&before))
    })
}
