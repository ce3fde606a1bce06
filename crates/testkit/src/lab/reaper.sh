#!/bin/sh
# Waits for the end of its standard input, which is the end of the lab or of the process that owns it, and then kills
# every process in the lab's namespaces and removes them. A killed owner can't clean up after itself; this can.
# The line "keep" on standard input leaves everything as it is.
#
# reaper.sh ID FOLDER      the namespaces are ID-*; FOLDER is removed as well

trap '' HUP INT TERM
id=$1
folder=$2
read -r word
[ "$word" = keep ] && exit 0

inhabitants() {
    for namespace in /run/netns/"$id"-*; do
        [ -e "$namespace" ] && ip netns pids "${namespace##*/}" 2>/dev/null
    done
}

# A process may fork while it is being looked for, so look until there are none.
tries=0
while pids=$(inhabitants) && [ -n "$pids" ] && [ "$tries" -lt 50 ]; do
    # Word splitting is what makes them arguments.
    kill -9 $pids 2>/dev/null
    tries=$((tries + 1))
    sleep 0.02
done

for namespace in /run/netns/"$id"-*; do
    [ -e "$namespace" ] && echo "netns del ${namespace##*/}"
done | ip -force -batch - 2>/dev/null
rm -rf "$folder"
