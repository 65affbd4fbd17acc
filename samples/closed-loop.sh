#!/bin/sh
# One night's loop: submit what is new, fetch what comes, submit once more what expired.
# Started by cron or systemd, with the credentials in the environment.  The four values below are to
# be adapted.  What was accepted is never sent again, so it may be run as often as one likes.

batchfetch=/opt/batchfetch/bin/batchfetch   # cron's PATH does not lead there
folder=/srv/ocr                             # where scans are; manifests and images go there, too
endpoint=deskew                             # deskew, dewarp, upscale or binarize
budget=5000                                 # calls of each step at most

# What needs a person.  NotExist is not among it: it is submitted again below.
fail_on=Error,TimedOut,Failed,Invalid

step() {
    "$batchfetch" "$@" --max-calls "$budget" --log-level warning
    code=$?
    case $code in
        0) ;;
        3) incomplete=3 ;;      # some images; the report says which, and the others go on
        *) exit "$code" ;;      # a limit, credentials, the disk: the next run goes on from there
    esac
}

incomplete=0
cd "$folder" || exit 6
step submit scans --endpoint "$endpoint" -o manifest.jsonl
step fetch manifest.jsonl -o images --fail-on "$fail_on"

# One round, of what expired: an image that ends in Error would most likely do so every night, and
# be paid for every time.
step submit images/report.jsonl --only NotExist --endpoint "$endpoint" -o again.jsonl
if [ -s again.jsonl ]; then
    step fetch again.jsonl -o images --fail-on "$fail_on"
fi

"$batchfetch" report images
exit "$incomplete"
