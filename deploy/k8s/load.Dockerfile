# Locust's master and workers. From the checkout's root: docker build -f deploy/k8s/load.Dockerfile -t streamgauge/load .
# The whole lock, by hash: what loads here is what loads on a laptop.
FROM python:3.11-slim-bookworm@sha256:528257d48c1da0dcecc2e725d1ae34498d60c965f1241e39cd6a85a8859bdf84
WORKDIR /opt/streamgauge
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY bench bench
ENV PYTHONPATH=/opt/streamgauge PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
# The build fails here rather than the first load
RUN python -c 'import bench.loadgen.headless, confluent_kafka, locust'
USER 1000:1000
