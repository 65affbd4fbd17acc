#!/bin/sh
# Run the parts of a manifest on one machine, one process for each core; ends with the gravest of
# their exit codes.  With GNU parallel the loop is
#     parallel --halt never batchfetch fetch "$@" --shard {}/8 ::: 1 2 3 4 5 6 7 8
# Usage: parallel.sh MANIFEST... [options of fetch]

count=${SHARDS:-$(getconf _NPROCESSORS_ONLN)}
pids=
trap 'for pid in $pids; do kill -TERM "$pid"; done' INT TERM

index=0
while [ "$index" -lt "$count" ]; do
    batchfetch fetch "$@" --shard "$((index + 1))/$count" --progress never &
    pids="$pids $!"
    index=$((index + 1))
done

code=0
for pid in $pids; do
    wait "$pid"
    ended=$?
    while kill -0 "$pid" 2>/dev/null; do  # A signal ends a wait, and not what is waited for.
        wait "$pid"
        ended=$?
    done
    # The first of these that one of them has ended with.
    for grave in 1 5 6 8 130 143 7 2 4 3; do
        if [ "$ended" -eq "$grave" ] || [ "$code" -eq "$grave" ]; then
            code=$grave
            break
        fi
    done
done
exit "$code"
