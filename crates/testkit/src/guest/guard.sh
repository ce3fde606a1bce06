#!/bin/sh
# Starts the guest's kernel and waits for its owner to be done with it, or dead: either closes this script's standard
# input. Then every process of the guest dies. A killed owner can't clean up after itself; this can.
#
# guard.sh RUN PROGRAM ARGUMENT...      RUN is the run folder; the kernel's (or qemu's) own process id goes to RUN/guest.pid

trap '' HUP INT TERM
cd "$1" || exit 1
shift
# The kernel goes with this script, should somebody kill that with -9.
setpriv --pdeathsig KILL -- "$@" </dev/null >kernel.log 2>&1 &
guest=$!
echo "$guest" >guest.pid.new && mv guest.pid.new guest.pid

read -r _

# User-Mode Linux made itself the head of a session: its helper threads and the guest's processes are in its group, and
# outlive it unless they are killed with it. Until it has done so it is in ours.
kill -9 "$guest" "-$guest" 2>/dev/null
wait "$guest" 2>/dev/null
exit 0
