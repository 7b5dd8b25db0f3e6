# Prometheus as Debian packages it, where its official image cannot be had (make images BASE=debian). Needs Debian's
# mirror while it is built. Told like the official one: flags only, /prometheus to write to.
ARG BASE
FROM ${BASE}
RUN apt-get -qq update \
    && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends prometheus >/dev/null \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb \
    && mkdir -p /prometheus && chown 65534:65534 /prometheus && prometheus --version
USER 65534:65534
ENTRYPOINT ["/usr/bin/prometheus"]
