# JobManager, TaskManager, and the S3 server: Java, Flink with connector and S3 plugin, Python with PyFlink and the
# project's jobs. On any Debian-like base with the Python that PyFlink was installed for.
# Built by `make images`, which makes the context: bench/backends/containers/images.py.
ARG BASE
FROM ${BASE}
USER root
COPY root/ /
ENV PATH=/opt/java/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    JAVA_HOME=/opt/java \
    FLINK_HOME=/opt/flink \
    FLINK_LIB_DIR=/opt/flink/lib \
    FLINK_OPT_DIR=/opt/flink/opt \
    FLINK_PLUGINS_DIR=/opt/flink/plugins \
    FLINK_CONF_DIR=/conf/flink \
    PYTHONPATH=/opt/streamgauge/python:/opt/streamgauge/src \
    PYTHONDONTWRITEBYTECODE=1 \
    USER=streamgauge \
    HOME=/tmp
# Flink calls its workers `python`. The build fails here rather than the first job: the Python that PyFlink's compiled
# parts are for, every job importable, Java
ARG PYTHON
RUN mkdir -p /checkpoints /data && chown 1000:1000 /checkpoints /data \
    && (command -v python >/dev/null || ln -s "$(command -v python3)" /usr/local/bin/python) \
    && [ "$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')" = "${PYTHON}" ] \
    && python -c 'import pyflink.fn_execution.beam.beam_boot, bench.jobs as jobs; [jobs.find(name) for name in jobs.names()]' \
    && java -version
USER 1000:1000
ENTRYPOINT []
CMD ["/opt/streamgauge/flink.sh"]
