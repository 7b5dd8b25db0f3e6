#!/bin/sh
# Becomes a `jobmanager`, a `taskmanager` or the `s3` server, configured by /conf.
set -eu

role=${1:?flink.sh jobmanager | taskmanager | s3}
case $role in
jobmanager)
    set -- org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint --configDir /conf/flink
    ;;
taskmanager)
    # found by its address: the name of a scaled service is shared
    set -- org.apache.flink.runtime.taskexecutor.TaskManagerRunner -D "taskmanager.host=$(hostname -i)" \
        -D "taskmanager.resource-id=$(hostname)" --configDir /conf/flink
    ;;
s3)
    # s3proxy knows a bucket only once it was made through its own door
    python3 - <<'PYTHON' &
import time, urllib.request
for _ in range(600):
    try:
        urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:9000/streamgauge", method="PUT"), timeout=5)
        break
    except OSError:
        time.sleep(0.1)
PYTHON
    mkdir -p /data/s3
    # shellcheck disable=SC2086 -- JAVA_OPTIONS are words
    exec java @/conf/s3.args ${JAVA_OPTIONS:-} -cp "$(printf '%s:' /opt/s3proxy/*.jar)" org.gaul.s3proxy.Main \
        --properties /conf/s3proxy.conf
    ;;
*)
    echo "flink.sh: no role $role, expected jobmanager, taskmanager or s3" >&2
    exit 2
    ;;
esac
# shellcheck disable=SC2086 -- JAVA_OPTIONS are words
exec java "@/conf/$role.args" ${JAVA_OPTIONS:-} -cp "$(printf '%s:' /opt/flink/lib/*.jar)" "$@"
