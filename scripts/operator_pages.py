"""Writes what an operator is told from what the service is: the tables of docs/operations.md and Grafana's dashboard.

    python scripts/operator_pages.py

The tables stand between `<!-- generated: NAME -->` and `<!-- end -->`; everything else on the page is prose.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prometheus_client import Metric

from equifield_service.domain.errors import DomainError, leaves
from equifield_service.metrics import Metrics
from equifield_service.routes.problems import status_of
from equifield_service.settings import MIB, Settings

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "docs" / "operations.md"
DASHBOARD = REPOSITORY / "deploy" / "grafana" / "equifield.json"
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

FILE = "Client: `detail` and the lists beside it say what to change in the file."
WAYS_OUT = {
    "empty_body": "Client: send the file as the body.",
    "malformed_file": "Client: write the file again with a current NetCDF library.",
    "not_netcdf": "Client: send NetCDF-3, NetCDF-4 or JSON.",
    "unsafe_file": "Client: write the file without links, external or virtual storage and plugin filters.",
    "unsupported_encoding": "Client: send the body uncompressed; NetCDF-4 compresses inside.",
    "payload_too_large": "Client: send fewer samples at once. Operator: `EQUIFIELD_MAX_BODY_BYTES`.",
    "inflated_too_large": "Client: send fewer samples or a smaller grid. Operator: `EQUIFIELD_MAX_DECODED_BYTES`, "
    "`EQUIFIELD_ARENA_BYTES`.",
    "digest_mismatch": "Client: send it again; something on the way changed it.",
    "invalid_tensors": "Client: `GET /v2/models/{name}` lists the tensors that the model takes.",
    "invalid_query": "Client: correct the parameter that `detail` names.",
    "not_acceptable": "Client: accept one of the kinds that `detail` names.",
    "not_autoregressive": "Client: leave out `steps`, or choose a model whose outputs are its inputs.",
    "unknown_model": "Client: `GET /v1/models` lists the models. Operator: look into the store.",
    "unknown_version": "Client: name a version that `GET /v1/models/{name}` lists, or none.",
    "model_unavailable": "Client: try again later. Operator: `GET /v1/models` has the reason under `reason`.",
    "queue_full": "Client: wait as `Retry-After` says. Operator: more machines, or `EQUIFIELD_MAX_QUEUE_REQUESTS` "
    "and `EQUIFIELD_MAX_QUEUE_BYTES` if memory allows.",
    "deadline_exceeded": "Client: allow more time with `Equifield-Timeout-Ms`, or send less. Operator: compare queue "
    "and device time; the device is too slow for the load if both are long.",
    "worker_failed": "Client: once more at most. Operator: the log has the fault under `request_id`; memory, if "
    "workers restart.",
    "payload_process_failed": "Client: once more at most. Operator: processes were killed, mostly for memory.",
    "key_refused": "Client: send `Authorization: Bearer <key>`. Operator: is the key's line in the file, and was the "
    "service restarted since?",
    "scope_missing": "Client: use a key with the scope that `detail` names. Operator: make one.",
    "rate_limited": "Client: wait as `Retry-After` says. Operator: the key's `rate` and `burst`.",
    "body_too_slow": "Client: send on a faster line, or less. Operator: `EQUIFIELD_BODY_PATIENCE_S`, "
    "`EQUIFIELD_BODY_MIN_RATE`; a proxy that buffers requests hides slow lines.",
    "unknown_job": "Client: `GET /v1/jobs` lists the jobs of a key.",
    "job_expired": "Client: submit it again, and fetch results before `expires`.",
    "idempotency_conflict": "Client: a key of its own for each request, the same one only to send it again.",
    "result_not_ready": "Client: wait as `Retry-After` says, or follow the job's events.",
    "job_unsuccessful": "Client: `detail` says why the job ended; correct that, and submit it again.",
    "quota_exceeded": "Client: wait for a job or dismiss one.",
    "ledger_unavailable": "Client: again, with the same `Idempotency-Key`. Operator: is the database there, and does "
    "it answer? The log has its words.",
    "spool_full": "Client: again later. Operator: room on the disk of the spool or the database; nothing that was "
    "accepted is lost.",
    "spool_failed": "Client: once more at most. Operator: the log has the fault; is the spool's disk or bucket there?",
}
"""What each answer asks for; errors about the content of files share `FILE`."""

OUTSIDE = (
    ("malformed_request", 400, "This is not HTTP", "Client: speak HTTP/1.1, without TLS on a plain port."),
    ("not_found", 404, "Not Found", "Client: `GET /openapi.json` lists what is served."),
    ("method_not_allowed", 405, "Method Not Allowed", "Client: use a method that the header `Allow` names."),
    ("head_too_slow", 408, "The request came too slowly", "Operator: `EQUIFIELD_HEADER_TIMEOUT_S`."),
    ("headers_too_large", 431, "The headers are too large", "Client: send less than 64 KiB of headers."),
    ("internal_error", 500, "The service made a mistake", "Operator: the log has it under `request_id`; report it."),
    (
        "too_many_connections",
        503,
        "The service has no room for another connection",
        "Client: wait as `Retry-After` says. Operator: `EQUIFIELD_MAX_CONNECTIONS`, below `ulimit -n`.",
    ),
)
"""Answers that are about no model and no file: code, status, title, way out."""


def page() -> str:
    """docs/operations.md as it should be."""
    tables = {"settings": settings(), "failures": failures(), "metrics": metrics()}
    return BLOCK.sub(lambda block: block[1] + tables[block[2]] + block[3], PAGE.read_text())


def settings() -> str:
    """Every setting: variable, default, meaning."""
    rows = []
    for name, field in Settings.model_fields.items():
        by_factory = {"payload_processes": "4, or fewer cores"}.get(name, "none")
        default = by_factory if field.default_factory is not None else in_words(field.default)
        rows.append((f"`EQUIFIELD_{name.upper()}`", default, str(field.description)))
    return table(("variable", "default", "meaning"), rows)


def in_words(default: Any) -> str:
    """A default as the table shows it."""
    if default is None:
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, int) and default >= MIB and default % MIB == 0:
        return f"`{default} ({default // MIB} MiB)`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def failures() -> str:
    """Every failure answer: code, status, meaning, way out."""
    domain = [(kind.code, status_of(kind), kind.title, WAYS_OUT.get(kind.code, FILE)) for kind in leaves(DomainError)]
    rows = sorted([*domain, *OUTSIDE], key=lambda row: (row[1], row[0]))
    return table(
        ("code", "status", "meaning", "what it asks for"),
        [(f"`{code}`", str(status), title, way_out) for code, status, title, way_out in rows],
    )


def families() -> list[Metric]:
    """The metrics of the service."""
    return list(Metrics().registry.collect())


def labels_of(name: str) -> list[str]:
    """The labels of a metric, which an empty registry does not tell."""
    collectors = vars(Metrics()).values()
    return next(list(one._labelnames) for one in collectors if getattr(one, "_name", None) == name)


def exported(family: Metric) -> str:
    """The name under which Prometheus knows a metric."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def metrics() -> str:
    """Every metric: name, kind, labels, meaning."""
    return table(
        ("metric", "kind", "labels", "meaning"),
        [
            (
                f"`{exported(family)}`",
                family.type,
                ", ".join(f"`{label}`" for label in labels_of(family.name)) or "none",
                family.documentation,
            )
            for family in families()
        ],
    )


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table in Markdown, with blank lines around it."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def dashboard() -> str:
    """Grafana's dashboard as it should be: one panel for each metric."""
    panels = [panel(number, family) for number, family in enumerate(families())]
    return json.dumps({**FRAME, "panels": panels}, indent=2) + "\n"


FRAME: dict[str, Any] = {
    "uid": "equifield",
    "title": "Equifield",
    "tags": ["equifield"],
    "schemaVersion": 39,
    "time": {"from": "now-1h", "to": "now"},
    "refresh": "30s",
    "templating": {
        "list": [
            {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
            {
                "name": "instance",
                "label": "Instance",
                "type": "query",
                "datasource": {"type": "prometheus", "uid": "${source}"},
                "query": "label_values(equifield_admitted_requests, instance)",
                "includeAll": True,
                "multi": True,
                "current": {"text": "All", "value": "$__all"},
            },
        ]
    },
}


def panel(number: int, family: Metric) -> dict[str, Any]:
    """One metric over time: a counter as its rate, a histogram as median and 99th percentile."""
    labels = labels_of(family.name)
    unit = next((unit for end, unit in (("_seconds", "s"), ("_bytes", "bytes")) if family.name.endswith(end)), "short")
    if family.type == "counter":
        unit = "Bps" if unit == "bytes" else "cps"
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": family.documentation.removesuffix("."),
        "description": f"`{exported(family)}`",
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "gridPos": {"x": 12 * (number % 2), "y": 8 * (number // 2), "w": 12, "h": 8},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(65 + index), "expr": query, "legendFormat": legend}
            for index, (query, legend) in enumerate(queries(family, labels))
        ],
    }


def queries(family: Metric, labels: list[str]) -> list[tuple[str, str]]:
    """PromQL and legend of each line of a panel."""
    chosen, legend = '{instance=~"$instance"}', " ".join(f"{{{{{label}}}}}" for label in labels)
    if family.type == "gauge":
        return [(f"{family.name}{chosen}", legend or "{{instance}}")]
    if family.type == "counter":
        by = f" by ({', '.join(labels)})" if labels else ""
        return [(f"sum{by} (rate({exported(family)}{chosen}[$__rate_interval]))", legend or "all")]
    rate = f"sum by ({', '.join(['le', *labels])}) (rate({family.name}_bucket{chosen}[$__rate_interval]))"
    return [
        (f"histogram_quantile({quantile}, {rate})", f"p{quantile * 100:g} {legend}".strip()) for quantile in (0.5, 0.99)
    ]


if __name__ == "__main__":
    PAGE.write_text(page())
    DASHBOARD.write_text(dashboard())
