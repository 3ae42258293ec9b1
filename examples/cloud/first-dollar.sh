#!/usr/bin/env bash
# The smallest real trial of rented machines: one machine, two runs of a second, at most a dollar. What it sees goes
# into first-dollar.md, a report to attach to an issue; numbers of accounts and your home are left out of it, the names
# of your bucket and of a project of Google's are not: read it first.
#
#   examples/cloud/first-dollar.sh ec2 s3://MY-BUCKET/first-dollar
#   examples/cloud/first-dollar.sh gcp gs://MY-BUCKET/first-dollar
#
# Further words are lines of the launcher: 'region = "eu-central-1"', 'spot = true', 'image = "docker:python:3.12"'.
# It asks before it rents. At Ctrl-C it says what is still rented. Afterwards look into the console of your cloud once:
# no machine, no disk.
set -uo pipefail
kind=${1:-} bucket=${2:-}
if [[ -z $kind || -z $bucket ]]; then
    sed -n '2,11s/^# \{0,1\}//p' "$0"
    exit 2
fi
shift 2
command -v runslot >/dev/null || { echo "there is no runslot here: activate the environment that has it" >&2; exit 2; }
report=$PWD/first-dollar.md
place=$(mktemp -d)
cd "$place" || exit 1
{
    printf '[launchers.dollar]\nkind = "%s"\nbucket = "%s"\nsync_interval = 30\n' "$kind" "$bucket"
    [[ " $* " == *instance_type* || " $* " == *cpus* || $kind == sky ]] || echo 'cpus = "2+"'
    printf '%s\n' "$@"
} >runslot.toml
cat >probe.sh <<'PROBE'
# on the machine: what ends it, and whether a key of the laptop is there
echo "it booted $(cut -d. -f1 /proc/uptime) s ago"
echo "its switch-off, $(cat /run/systemd/shutdown/scheduled 2>/dev/null | head -1 || true)"
for key in ~/.aws/credentials ~/.config/gcloud/application_default_credentials.json; do
    [ ! -e "$key" ] || echo "a key is here: $key"
done
sleep 1
printf 'step,score\n1,%s\n' "$1" >"$2/progress.csv"
PROBE
status=0
step() { # TITLE COMMAND…: its output goes to the terminal and into the report
    local began=$SECONDS code
    printf '\n## %s\n\n```\n$ %s\n' "$1" "${*:2}"
    "${@:2}" 2>&1
    code=$?
    printf '```\n\nexit status %d, %d s\n' "$code" $((SECONDS - began))
    return $code
}
versions() {
    runslot --version && python3 --version && uname -sm
    ! command -v sky >/dev/null || sky --version
}
trial() {
    trap : INT # what is at work hears it, and the report goes on
    echo "# First dollar: $kind, $(date -u +%Y-%m-%d)"
    step "Versions" versions || status=1
    step "Check" runslot launchers check dollar || status=1
    if ((status == 0)); then
        step "Two runs" runslot run --name dollar --root runs --grid value=1,2 --on dollar --max-cost 1 --max-hours 1 \
            -- bash probe.sh '{value}' '{run_dir}' || status=1
        step "Status" runslot status runs/dollar/latest || status=1
        step "What the machine said" runslot logs runs/dollar/latest/value=1/run_0 || status=1
        step "Results" runslot results runs/dollar/latest || status=1
        if [[ -e runs/dollar/latest/cloud/skypilot.log ]]; then
            step "What SkyPilot printed, the end of it" tail -n 40 runs/dollar/latest/cloud/skypilot.log
        fi
    fi
    step "What is still rented (runslot cloud down NAME gives it back)" runslot cloud ls || status=1
    ((status)) || step "The bucket, cleaned" runslot cloud clean --yes runs/dollar/latest || status=1
    echo
    echo "in all: $( ((status == 0)) && echo it works || echo "something is wrong")"
    return $status
}
trap : INT
trial 2>&1 | tee -i output
status=${PIPESTATUS[0]}
sed -E "s/(^|[^0-9])[0-9]{12}([^0-9]|\$)/\\1ACCOUNT\\2/g; s#${HOME}#~#g" output >"$report"
echo "the report: $report; what it ran in: $place"
exit "$status"
