#!/bin/sh
# Run a job, report its end to healthchecks.io, and tell a chat if a person has to do something.
#
#   HEALTHCHECK_URL=https://hc-ping.com/UUID CHAT_URL=https://chat.example.com/hook \
#       samples/notify.sh manifest.csv -o images
#
# Prints the summary and ends with the exit code of `batchfetch fetch`.
set -u

send() { # URL TYPE TEXT; a failure does not affect the job.
    printf '%s' "$3" |
        curl -fsS -m 10 --retry 2 -o /dev/null -H "Content-Type: $2" --data-binary @- "$1" || true
}

[ -z "${HEALTHCHECK_URL:-}" ] || send "$HEALTHCHECK_URL/start" text/plain ''
summary=$(batchfetch fetch "$@" --json)
code=$?
printf '%s\n' "$summary"

case $code in
    0) end='' ;;      # All is Completed.
    4 | 7) end=/log ;; # A limit was reached, or another run is on: the next one goes on from there.
    *) end=/fail ;;
esac
[ -z "${HEALTHCHECK_URL:-}" ] || send "$HEALTHCHECK_URL$end" application/json "$summary"

if [ "$end" = /fail ] && [ -n "${CHAT_URL:-}" ]; then
    text="batchfetch on $(uname -n) ended with exit code $code. $(batchfetch help "$code" | sed -n 3p)"
    text=$(printf '%s' "$text $summary" | tr -d '\000-\037' | sed 's/[\\"]/\\&/g')
    send "$CHAT_URL" application/json "{\"text\": \"$text\"}"
fi
exit "$code"
