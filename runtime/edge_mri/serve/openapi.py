"""What the service offers, as an OpenAPI document for programs that write clients and tests."""

from typing import Any

from edge_mri import __version__
from edge_mri.labels import LabelSpace
from edge_mri.serve.config import ServeConfig
from edge_mri.serve.problems import MEDIA_TYPE

PREDICT = "/v1/predict"

_TEXT = {"type": ["string", "null"]}
_SHARE = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
_FLAGS = {
    "heatmap": "1: `heatmap` of each record is a PNG of the image with the model's map over it, "
    "as a data: URL. An explanation, not evidence.",
    "pictures": "1: each record has small pictures of its image and map, as the report shows them.",
}
_PICTURES = {
    "type": ["object", "null"],
    "properties": {
        "size": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        "thumbnail": {"type": "string", "description": "JPEG, base64"},
        "heat": {"type": ["string", "null"], "description": "PNG over all of it, base64"},
    },
    "required": ["size", "thumbnail", "heat"],
}


def document(config: ServeConfig, labels: LabelSpace) -> dict[str, Any]:
    """Return the document of a service with these limits, whose model has these labels."""
    problem = {"$ref": "#/components/responses/Problem"}
    refusals = dict.fromkeys(("400", "403", "408", "413", "415", "421", "429", "500"), problem)
    always = {"403": problem, "421": problem}
    if config.token_file is not None:
        refusals["401"] = problem
    image = {"type": "string", "format": "binary"}
    files = {
        "type": "object",
        "properties": {"files": {"type": "array", "items": image, "minItems": 1}},
        "required": ["files"],
        "additionalProperties": False,
    }
    predict = {
        "operationId": "predict",
        "summary": "Classify image files.",
        "description": "JPEG, PNG, TIFF, BMP, WebP, DICOM and NIfTI: as multipart/form-data, or "
        "one as the body itself. The records are those of `edge-mri infer --format json`, in the "
        "order of the files; a file that cannot be used becomes a record with status `error`. "
        f"At most {config.max_files:,} files and {config.max_request_bytes:,} bytes per request, "
        f"{config.max_bytes:,} bytes per file, {config.max_pixels:,} pixels per image.",
        "parameters": [
            *(_parameter(name, {"enum": ["0", "1"]}, told) for name, told in _FLAGS.items()),
            _parameter("name", {"type": "string"}, "The path of the records of a raw body."),
        ],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": files},
                "application/octet-stream": {"schema": {**image, "minLength": 1}},
            },
        },
        "responses": {
            "200": _json("The records.", {"type": "array", "items": _record(labels)}),
            **refusals,
        },
    }
    status = {"type": "object", "properties": {"status": {"type": "string"}}}
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "edge-mri",
            "version": __version__,
            "description": "Classifies brain MR slices. For research use, not for diagnosis.",
        },
        "paths": {
            PREDICT: {"post": predict},
            "/healthz": {"get": _get("Whether it works.", _json("It does.", status), problem)},
            "/readyz": {"get": _get("Whether it takes files.", _json("So.", status), problem)},
            "/metrics": {
                "get": {
                    "summary": "Counts, for Prometheus.",
                    "responses": {
                        "200": {
                            "description": "Prometheus' text format.",
                            "content": {"text/plain": {"schema": {"type": "string"}}},
                        },
                        **always,
                        **({"401": problem} if config.token_file is not None else {}),
                    },
                }
            },
        },
        "components": {
            "responses": {
                "Problem": {
                    "description": "What was expected and what to do; 429 has Retry-After.",
                    "content": {MEDIA_TYPE: {"schema": _PROBLEM}},
                }
            }
        },
    }
    if config.token_file is not None:
        bearer = {"type": "http", "scheme": "bearer"}
        described["components"]["securitySchemes"] = {"token": bearer}
        described["security"] = [{"token": []}]
    return described


_PROBLEM = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
    "required": ["title", "status", "detail"],
}


def _record(labels: LabelSpace) -> dict[str, Any]:
    """Return the schema of a record; what its fields mean is docs/records.md."""
    box = {"type": ["array", "null"], "items": {"type": "integer"}, "minItems": 4, "maxItems": 4}
    fields: dict[str, Any] = {
        "path": {"type": "string"},
        "status": {"enum": ["ok", "rejected", "error"]},
        "type": {"enum": [*labels.types, None]},
        "plane": _TEXT,
        "type_probabilities": _probabilities(labels.types),
        "plane_probabilities": _probabilities(labels.planes),
        **({labels.present_key: _SHARE} if labels.present_key else {}),
        "novelty": {"type": ["number", "null"]},
        "box": box,
        "heatmap": _TEXT,
        "rejected": {"enum": ["foreign", "unfamiliar", "undecided", None]},
        "reason": _TEXT,
        "error": _TEXT,
        "frame": {"type": ["integer", "null"], "minimum": 1},
    }
    required = list(fields)
    properties = {**fields, "pictures": _PICTURES}
    return {"type": "object", "properties": properties, "required": required}


def _probabilities(names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "type": ["object", "null"],
        "properties": {name: {"type": "number", "minimum": 0, "maximum": 1} for name in names},
    }


def _parameter(name: str, schema: dict[str, Any], told: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": told}


def _json(told: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": told, "content": {"application/json": {"schema": schema}}}


def _get(told: str, ok: dict[str, Any], problem: dict[str, Any]) -> dict[str, Any]:
    answers = {"200": ok, "403": problem, "421": problem, "503": problem}
    return {"summary": told, "responses": answers, "security": []}
