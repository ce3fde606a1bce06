# Runs test binaries one after the other in the guest with the stock kernel, and says how each has ended: a line with its exit
# status, which is 124 for one that ran into its time limit.
#
# all.sh SECONDS FILTER [FOLDER LOG PROGRAM]...      FILTER may be empty: all tests

limit=$1 filter=$2
shift 2
while [ $# -gt 0 ]; do
    cd "$1" || exit 1
    CARGO_MANIFEST_DIR=$1 timeout -k 10 "$limit" "$3" --test-threads=1 ${filter:+"$filter"} </dev/null >"$2" 2>&1
    echo "$?"
    shift 3
done
