"""What the service measures, on a registry per app, so that two apps in one process share no counts."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SAMPLES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The Prometheus metrics of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "equifield_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.problems = Counter("equifield_problems", "Problems answered.", ["code"], registry=self.registry)
        self.received_bytes = Counter(
            "equifield_received_bytes", "Bytes of bodies that came in.", registry=self.registry
        )
        self.sent_bytes = Counter("equifield_sent_bytes", "Bytes of bodies that went out.", registry=self.registry)
        self.request_seconds = self._seconds("equifield_request_seconds", "Time to answer.", "route")
        self.payload_seconds = self._seconds(
            "equifield_payload_seconds",
            "Time to decode or encode a body, with its wait.",
            "step",
        )
        self.queue_seconds = self._seconds("equifield_queue_seconds", "Time from admission to the device.")
        self.device_seconds = self._seconds(
            "equifield_device_seconds", "Time that the worker spent on a batch.", "model"
        )
        self.batch_samples = Histogram(
            "equifield_batch_samples", "Samples per batch.", buckets=SAMPLES, registry=self.registry
        )
        self.admitted = self._gauge("equifield_admitted_requests", "Requests that are being served.")
        self.programs = self._gauge("equifield_compiled_programs", "Programs compiled and kept by the worker.")
        self.device_bytes = self._gauge("equifield_device_bytes", "Device memory that the models take.")
        self.equivariance_error = self._gauge(
            "equifield_equivariance_error", "Worst relative error of the last check of a model.", "model"
        )
        self.live_equivariance_error = self._gauge(
            "equifield_live_equivariance_error",
            "Worst relative error of a model on the live request that was checked last.",
            "model",
        )
        self.live_checks = Counter(
            "equifield_live_checks",
            "Live requests that were checked, and whether the law held.",
            ["model", "passed"],
            registry=self.registry,
        )
        self.jobs = self._gauge("equifield_jobs", "Jobs in the ledger that have not expired.", "status")
        self.jobs_ended = Counter(
            "equifield_jobs_ended", "Jobs that this gateway brought to their end.", ["status"], registry=self.registry
        )
        self.job_steps = Counter("equifield_job_steps", "Steps of rollouts computed for jobs.", registry=self.registry)
        self.worker_restarts = Counter(
            "equifield_worker_restarts", "Worker processes replaced.", registry=self.registry
        )
        self.payload_restarts = Counter(
            "equifield_payload_restarts", "Payload processes replaced.", registry=self.registry
        )
        self._requests_of = cache(self.requests.labels)  # looking labels up costs more than counting
        self._request_seconds_of = cache(self.request_seconds.labels)
        self._problems_of = cache(self.problems.labels)

    def _seconds(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=SECONDS, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def answered(self, method: str, route: str, status: int, code: str | None, seconds: float) -> None:
        """Counts one request, and its problem where the answer was one."""
        self._requests_of(method, route, status).inc()
        self._request_seconds_of(route).observe(seconds)
        if code is not None:
            self._problems_of(code).inc()

    def carried(self, received: int, sent: int) -> None:
        """Counts the bytes of a request and its answer."""
        self.received_bytes.inc(received)
        self.sent_bytes.inc(sent)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
