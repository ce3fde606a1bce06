#!/bin/sh
# The first process of the guest. What it does, in order: puts a layer of memory over the host's tree, so that anything
# may be written and nothing of it reaches the host; mounts what programs expect; loads the modules; runs
# command.sh with its output in two files; writes the exit status; powers off.
#
# It lives in the run folder of the guest, beside: command.sh (what to run), writable (host folders that stay writable,
# one a line), keep (if the guest is to stay up afterwards), stdout, stderr, and the marks that the host waits for:
# booted, kept, status.
# HOLDFAST_RELEASE (the kernel's release), HOLDFAST_MODULES (where its modules lie) and HOLDFAST_SHARE (how the host's folders
# come in: "hostfs" is User-Mode Linux's, "9p" qemu's) come from the kernel's command line.

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
run=${0%/*}
modules=$HOLDFAST_MODULES

die() {
    echo "holdfast guest: $*"
    mount -t proc proc /proc 2>/dev/null
    echo o >/proc/sysrq-trigger
    # The host gives up on a guest that neither boots nor ends.
    while :; do sleep 1; done
}

# Mounts a folder of the host, whose number among the shared ones is $1, where the host has it.
share() {
    case $HOLDFAST_SHARE in
    9p) mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=mmap "share$1" "$2" ;;
    *) mount -t hostfs -o "$2" guest "$2" ;;
    esac || die "cannot mount $2"
}

# 1. The host's tree, read-only, under a layer of memory.
mount -t tmpfs -o mode=755 layer /mnt || die "no tmpfs on /mnt"
mkdir /mnt/upper /mnt/work /mnt/root
# A stock kernel's initramfs has loaded it.
[ "$HOLDFAST_SHARE" = 9p ] || insmod "$modules/kernel/fs/overlayfs/overlay.ko" || die "overlay.ko does not load"
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root ||
    die "no overlay over the host's tree"
mkdir -p /mnt/root/.host
cd /mnt/root && pivot_root . .host || die "pivot_root failed"
cd /

# 2. What programs expect. /run is empty: the host's pid files and sockets mean nothing here.
mount -t proc proc /proc || die "no /proc"
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev || die "no /dev"
exec </dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 run /run
ln -sf /proc/self/fd /dev/fd
ln -sf /proc/self/fd/0 /dev/stdin
ln -sf /proc/self/fd/1 /dev/stdout
ln -sf /proc/self/fd/2 /dev/stderr
mkdir -p /run/lock /run/netns /etc/netns
echo holdfast-guest >/proc/sys/kernel/hostname

# The run folder comes first among the folders that are the host's own.
share 0 "$run"
number=0
while IFS= read -r folder; do
    number=$((number + 1))
    share "$number" "$folder"
done <"$run/writable"
umount -l /.host

# 3. The modules. Those that are asked for by name (schedulers, link types, netem) load by themselves when needed; these
# must be there before the first namespace is made, or have no name to be asked by.
mkdir -p "/lib/modules/$HOLDFAST_RELEASE"
mount --bind "$modules" "/lib/modules/$HOLDFAST_RELEASE" || die "no folder for modules"
[ -e "$modules/modules.dep.bin" ] || depmod "$HOLDFAST_RELEASE" || die "depmod failed"
modprobe -a ipv6 ip_vs veth bridge dummy macvlan || die "modprobe failed"
ip link set lo up

# 4. The command, in a session of its own. It writes to pipes, because `>/dev/stderr` would empty a file. In
# parentheses, so that this shell's "Killed" goes to the console.
mkfifo /run/.stdout /run/.stderr
cat /run/.stdout >>"$run/stdout" &
out=$!
cat /run/.stderr >>"$run/stderr" &
err=$!
: >"$run/booted"
(exec setsid -w sh "$run/command.sh" </dev/null >/run/.stdout 2>/run/.stderr)
status=$?
# What was written is on its way. The pipes end at once, unless the command left somebody behind who holds them.
tries=0
while kill -0 "$out" 2>/dev/null || kill -0 "$err" 2>/dev/null; do
    [ "$tries" -ge 20 ] && break
    tries=$((tries + 1))
    sleep 0.05
done

# 5. A guest that is to be kept says so, and runs what is put into its folder "requests", until it is killed.
if [ -e "$run/keep" ] && [ "$status" -ne 2 ]; then
    echo "$status" >"$run/kept.new" && mv "$run/kept.new" "$run/kept"
    while :; do
        for request in "$run"/requests/*/command.sh; do
            [ -e "$request" ] || continue
            folder=${request%/*}
            mv "$request" "$folder/taken.sh"
            {
                (exec setsid -w sh "$folder/taken.sh" </dev/null >>"$folder/stdout" 2>>"$folder/stderr")
                echo "$?" >"$folder/status.new" && mv "$folder/status.new" "$folder/status"
            } &
        done
        sleep 0.1
    done
fi

# 6. The status is the last thing that is written: the host ends the guest when it sees it.
sync
echo "$status" >"$run/status.new" && mv "$run/status.new" "$run/status"
echo o >/proc/sysrq-trigger
while :; do sleep 1; done
