#!/bin/sh
# One night's fetch: tries again where that can help, and ends with the exit code of the last try.
# Started by cron or systemd.  The five values below are to be adapted.

batchfetch=/opt/batchfetch/bin/batchfetch   # cron's PATH does not lead there
folder=/srv/ocr                             # where manifest.csv and batchfetch.toml are
budget=20000                                # calls for the whole night, all tries together
pause=900                                   # seconds between two tries
hours=6                                     # no further try begins after so many

cd "$folder" || exit 6
ends=$(($(date +%s) + hours * 3600))
while :; do
    summary=$("$batchfetch" fetch --config batchfetch.toml --log-level warning \
        --max-calls "$budget" --json)
    code=$?
    case $code,$summary in
        8,*) ;;                                    # the service cannot be reached
        4,*'"stopped_by":"max-runtime"'*) ;;       # out of time, not out of money
        *) exit "$code" ;;
    esac
    calls=$(printf '%s' "$summary" | sed -n 's/.*"calls":\([0-9]*\).*/\1/p')
    budget=$((budget - ${calls:-0}))
    [ "$(($(date +%s) + pause))" -lt "$ends" ] || exit "$code"
    sleep "$pause"
done
