# A broker: Kafka from the base, or from the jars the toolchain pinned where the base has none (a bare Debian).
# Built by `make images`, which makes the context: bench/backends/containers/images.py.
ARG BASE
FROM ${BASE}
USER root
COPY root/ /
ENV PATH=/opt/java/bin:/opt/java/openjdk/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/tmp
# The build fails here rather than the first broker: Java, Kafka and the exporter are there, and /data can be written to
RUN mkdir -p /data && chown 1000:1000 /data \
    && ls /opt/kafka/libs/kafka-clients-*.jar /opt/streamgauge/jmx-agent.jar && java -version
USER 1000:1000
ENTRYPOINT []
CMD ["/opt/streamgauge/broker.sh"]
