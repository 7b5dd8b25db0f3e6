#!/bin/sh
# Formats the log directory once, then becomes the broker called $BROKER (kafka-1, ...), configured by /conf.
set -eu

config=/conf/$BROKER.properties
classpath=$(printf '%s:' /opt/kafka/libs/*.jar)

if [ ! -e /data/kafka/meta.properties ]; then
    mkdir -p /data/kafka
    # C1 only: a tool that lives 1.5 s never earns back what C2 costs
    java -Xmx128m -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile=/conf/kafka-log4j2.xml -cp "$classpath" \
        kafka.tools.StorageTool format -t "$CLUSTER_ID" -c "$config"
fi
# shellcheck disable=SC2086 -- JAVA_OPTIONS are words
exec java @/conf/kafka.args ${JAVA_OPTIONS:-} -javaagent:/opt/streamgauge/jmx-agent.jar=0.0.0.0:9404:/conf/jmx.yaml \
    -cp "$classpath" kafka.Kafka "$config"
