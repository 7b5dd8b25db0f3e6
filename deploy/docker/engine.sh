#!/bin/sh
# A Docker engine where none answers: for a machine without systemd, such as a CI runner, as root.
#
#   engine.sh start   uses the engine that answers, or starts one and remembers its pid
#   engine.sh stop    stops the one that `start` started, and no other
#
# The engine must be installed (Debian: apt-get install docker.io). Every wait has an end: 25 s an attempt.
set -u

STATE=${STREAMGAUGE_ENGINE_STATE:-/run/streamgauge-engine}
PATIENCE_S=25

answers() { timeout 10 docker version --format '{{.Server.Version}}' 2>/dev/null | grep -q .; }

# 0 once the engine answers, 1 when it ended or stayed silent
await() {
    left=$PATIENCE_S
    while [ "$left" -gt 0 ]; do
        answers && return 0
        kill -0 "$1" 2>/dev/null || return 1
        sleep 1
        left=$((left - 1))
    done
    return 1
}

end() {
    kill "$1" 2>/dev/null || return 0
    left=$PATIENCE_S
    while kill -0 "$1" 2>/dev/null; do
        [ "$left" -gt 0 ] || { kill -9 "$1" 2>/dev/null; break; }
        sleep 1
        left=$((left - 1))
    done
}

attempt() { # FLAGS...
    : >"$STATE/dockerd.log"
    setsid dockerd "$@" >"$STATE/dockerd.log" 2>&1 </dev/null &
    pid=$!
    if await "$pid"; then
        echo "$pid" >"$STATE/pid"
        echo "engine: started dockerd $* (pid $pid, log $STATE/dockerd.log)"
        return 0
    fi
    end "$pid"
    echo "engine: dockerd $* did not come up: $(grep -E 'level=(error|fatal)|^failed' "$STATE/dockerd.log" | tail -n 1)" >&2
    return 1
}

start() {
    if answers; then
        echo "engine: one answers already, Docker $(docker version --format '{{.Server.Version}}')"
        return 0
    fi
    for program in docker dockerd; do
        command -v "$program" >/dev/null || { echo "engine: $program is not installed" >&2; return 1; }
    done
    [ "$(id -u)" = 0 ] || { echo "engine: only root can start one" >&2; return 1; }
    mkdir -p "$STATE"
    # The second and third are for machines that are containers themselves: no overlay on overlay, no netfilter. Ports on
    # loopback are published by docker-proxy, which needs neither.
    attempt || attempt --storage-driver=vfs || attempt --storage-driver=vfs --iptables=false --ip6tables=false || answers
}

stop() {
    [ -s "$STATE/pid" ] || { echo "engine: none of ours is running"; return 0; }
    pid=$(cat "$STATE/pid")
    if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ]; then
        end "$pid"
        echo "engine: stopped dockerd (pid $pid)"
    fi
    rm -f "$STATE/pid"
}

case ${1:-} in
start) start ;;
stop) stop ;;
*)
    echo "usage: engine.sh start | stop" >&2
    exit 2
    ;;
esac
