#!/bin/busybox sh
# The first program of a stock kernel, in its initramfs, where there is nothing but busybox and a few modules: loads what it
# takes to see the host's tree, makes that the root, and goes on there with the run folder's init.
# HOLDFAST_INIT (its path) comes from the kernel's command line.

die() {
    echo "holdfast guest: $*"
    /bin/busybox poweroff -f
}

for module in /modules/*; do
    /bin/busybox insmod "$module" || die "$module does not load"
done
# Nobody on the host changes it meanwhile, or the guest may see it as it was: what was read once is kept.
/bin/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=524288,cache=loose root /root ||
    die "the host's tree can't be mounted"
exec /bin/busybox switch_root /root "$HOLDFAST_INIT"
