//! Where a program is measured: a namespace of its own with an empty table, in which every server of the configuration answers.

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, Result};
use holdfast_testkit::lab::{Lab, Nginx, Node, Topology, VIP4};
use socket2::SockRef;

use super::eye::Eye;
use super::rival::{Keeper, Running};
use super::setup::{PORT, Setup};

/// How long a table may take that keepalived fills.
pub const LIMIT: Duration = Duration::from_secs(240);

/// A lab whose first director is measured.
#[derive(Debug)]
pub struct Ground {
    lab: Lab,
    web: Option<Nginx>,
    listener: TcpListener,
}

impl Ground {
    /// A director alone. Every address of 10.16.0.0/12 is its own, and takes connections at port 80.
    ///
    /// # Errors
    /// The lab can't be built.
    pub fn new() -> Result<Self> {
        let lab = Lab::with(Topology::one_arm().webs(0))?;
        lab.lb1().run(["ip", "route", "add", "local", "10.16.0.0/12", "dev", "lo"])?;
        let listener = accept(lab.lb1())?;
        Ok(Self { lab, web: None, listener })
    }

    /// With a client, and a web server that it reaches through the director.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_web() -> Result<Self> {
        let lab = Lab::with(Topology::one_arm().webs(1))?;
        let director = lab.lb1();
        director.run(["ip", "route", "add", "local", "10.16.0.0/12", "dev", "lo"])?;
        director.sh(&format!("ip address add {VIP4}/24 dev eth0"))?;
        let listener = accept(director)?;
        lab.web(1).hold_vip(VIP4.into())?;
        let web = Some(Nginx::start(lab.web(1), PORT)?);
        Ok(Self { lab, web, listener })
    }

    /// The virtual address and the web server's own, for [`Setup::real`].
    pub fn real(&self) -> Option<(Ipv4Addr, Ipv4Addr)> {
        self.web.as_ref().map(|_| (VIP4, self.lab.web(1).ip4()))
    }

    /// The director.
    pub fn director(&self) -> &Node {
        self.lab.lb1()
    }

    /// The client.
    pub fn client(&self) -> &Node {
        self.lab.client()
    }

    /// Looks into the director's table.
    ///
    /// # Errors
    /// As [`Eye::open`].
    pub fn eye(&self) -> Result<Eye> {
        Eye::open(self.director())
    }

    /// Starts `keeper` and waits until its table is complete.
    ///
    /// # Errors
    /// It isn't: with the end of its log.
    pub fn start(&self, keeper: Keeper, setup: &Setup) -> Result<(Running, Duration)> {
        keeper.configure(self.director(), setup)?;
        let mut eye = self.eye()?;
        let mut running = Running::start(self.director(), keeper)?;
        let complete = eye.wait_complete(setup, LIMIT);
        running.check_alive()?;
        let complete = complete.with_context(|| running.log_tail())?;
        let took = complete.saturating_since(running.started);
        Ok((running, took))
    }
}

impl Drop for Ground {
    /// A namespace lives as long as a socket of it, and what its table has is in the way of the next one's: `/proc/net/ip_vs` leaves out
    /// what follows the entries of another namespace.
    fn drop(&mut self) {
        drop(SockRef::from(&self.listener).shutdown(Shutdown::Both));
        // Without an answer it stays, and the count of the next table is wrong, which is told.
        drop(self.eye().and_then(|mut eye| eye.flush()));
    }
}

/// Takes every connection at [`PORT`] of the node and closes it, until the listener is shut down.
fn accept(node: &Node) -> Result<TcpListener> {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    let listener = node.enter(|| TcpListener::bind(any))?.context("listen for checks")?;
    let accepting = listener.try_clone()?;
    // It ends with the listener: nobody joins it.
    let _thread = std::thread::spawn(move || while accepting.accept().is_ok() {});
    Ok(listener)
}
