//! A kernel without IPVS. This test unloads the kernel's modules, so it starts a guest of its own for that; it never touches the
//! kernel that it runs on itself.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_integration::Programs;
use holdfast_testkit::guest::{Guest, Outcome};

/// What the guest runs, with our two programs as arguments: its IPVS goes and can't come back, then the daemon is started twice.
const SCRIPT: &str = r#"
holdfastd=$1 holdfast=$2
echo /bin/false >/proc/sys/kernel/modprobe
rmmod ip_vs
ip link add eth0 type dummy
ip address add 10.77.0.11/24 dev eth0
ip link set eth0 up
mkdir /run/test
cd /run/test
echo 'vrrp: {instances: {edge: {interface: eth0, vrid: 51, interval: 100ms, addresses: [10.77.0.10/24]}}}' >vrrp.yaml
{ cat vrrp.yaml; echo 'services: {web: {listen: tcp 10.77.0.10:80, forward: nat}}'; } >both.yaml

echo "== with services"
code=0
"$holdfastd" --config both.yaml --node lb1 --socket /run/test/a.sock || code=$?
echo "status $code"
ip -oneline address show dev eth0 | grep -c inet\ 
find /run/test -type s

echo "== without"
"$holdfastd" --config vrrp.yaml --node lb1 --socket /run/test/b.sock 2>log &
until "$holdfast" --socket /run/test/b.sock vrrp status 2>/dev/null | grep -q ACTIVE; do
    kill -0 $! || { cat log; exit 1; }
    sleep 0.1
done
kill $!
wait $!
echo "status $?"

echo "== ipvsadm"
mkdir ours
ln -s "$holdfast" ours/ipvsadm
mount --bind /bin/false /sbin/modprobe
for words in "" -L -h -v --nosuch "-A -t 10.0.0.1:80"; do
    theirs=0 mine=0
    PATH=/usr/sbin ipvsadm $words >out 2>&1 || theirs=$?
    PATH=/run/test/ours ipvsadm $words >out2 2>&1 || mine=$?
    /usr/bin/cmp out out2 && echo "$theirs $mine"
done
/usr/bin/cat out2
"#;

#[test]
fn services_need_ip_vs_and_vrrp_alone_does_not() -> Result<()> {
    let programs = Programs::find()?;
    let argv = [
        "sh".into(),
        "-ec".into(),
        SCRIPT.into(),
        "sh".into(),
        programs.holdfastd.into_os_string(),
        programs.holdfast.into_os_string(),
    ];
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let outcome = Guest::new(argv).timeout(Duration::from_secs(120)).run(&mut out, &mut err)?;
    let (out, err) = (String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
    ensure!(outcome == Outcome::Exited(0), "{outcome:?}\n{out}\n{err}");
    let (with, without) = out.split_once("== without\n").context("both parts")?;
    assert_eq!(with, "== with services\nstatus 1\n1\n", "{err}");
    let (without, ipvsadm) = without.split_once("== ipvsadm\n").context("the third part")?;
    assert_eq!(without, "status 0\n", "{err}");
    let sentence = "Can't initialize ipvs: Protocol not available\n\
                    Are you sure that IP Virtual Server is built in the kernel or as module?\n";
    assert_eq!(ipvsadm, format!("{}{sentence}", "2 2\n".repeat(6)), "{err}");
    // One sentence: what, why, what now.
    let said: Vec<_> = err.lines().filter(|line| !line.contains("rmmod")).collect();
    assert_eq!(said.len(), 1, "{err}");
    for part in
        ["holdfastd: ", "find IPVS in the kernel", "this kernel has no ip_vs", "`modprobe ip_vs`"]
    {
        ensure!(said[0].contains(part), "{part:?} is not in {err:?}");
    }
    Ok(())
}
