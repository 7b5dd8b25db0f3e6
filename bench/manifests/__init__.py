"""Kubernetes manifests from a scenario: Kafka by Strimzi, the job by Flink's own operator, Locust as Jobs.

A scenario's settings, and a size's settings, go through the same functions that configure the other backends; what
comes out is a kustomize tree. Nothing here talks to a cluster.

    evidence     what runs measured of CPU per event
    sizing       how many of what, from that
    skew         what the busiest slot reads
    brokers      Kafka, its node pools, topics and user
    job          the FlinkDeployment and what it runs as
    generator    Locust's master and workers
    watching     what Prometheus scrapes and alerts on
    kustomize    the base, and the overlays as what differs from it
    tree         all of it
"""
