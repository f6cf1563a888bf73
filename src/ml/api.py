"""The HTTP interface of the gap analyzer and the drift monitor (FastAPI)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, model_validator

from orchestrate_backend.errors import BackendError
from orchestrate_backend.targets.choose import choose_target
from src.ml.agents import (
    BusinessMetricRepository,
    DriftMonitor,
    DriftReport,
    DriftRequest,
    GapAnalysis,
    GapAnalyzer,
    GapRequest,
    Source,
    open_source,
)
from src.ml.agents.names import UnknownNameError, check_brand, metric_key
from src.ml.limits import Limits

#: makes the source that the application reads from while it runs
OpenSource = Callable[[], Source]

_router = APIRouter(prefix="/api")


class TimeSeriesRequest(BaseModel):
    """The series asked for; bounds are included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: key or description, any case
    metric: str
    brand: str
    start: date | None = None
    end: date | None = None

    @model_validator(mode="after")
    def _can_be_answered(self) -> Self:
        metric_key(self.metric)
        check_brand(self.brand)
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"end {self.end} is before start {self.start}")
        return self


class TimeSeries(BaseModel):
    """The rows of a metric as they are stored."""

    status: str
    rows: list[dict[str, Any]]


def create_app(opened: OpenSource) -> FastAPI:
    """The application. It opens its source when it starts and closes it when it stops.

    A request that names something unknown is answered by 422 naming what is known, a database that
    does not answer by 503.
    """

    @asynccontextmanager
    async def lifespan(api: FastAPI) -> AsyncIterator[None]:
        api.state.source = source = opened()
        yield
        await source.close()

    api = FastAPI(title="Orchestrate: agents on synthetic data", lifespan=lifespan)
    for error in (RequestValidationError, UnknownNameError, BackendError):
        api.add_exception_handler(error, _failed)
    api.include_router(_router)
    api.add_middleware(Limits)
    return api


def environment_source() -> Source:
    """The source that the environment names, or the embedded server of the current folder.

    `ORCHESTRATE_TARGET` says which target it is; else it is Supabase if both its variables are
    set. Raises TargetError where a variable is missing.
    """
    root = Path(os.environ.get("ORCHESTRATE_ROOT") or Path.cwd())
    name = os.environ.get("ORCHESTRATE_TARGET") or None
    return open_source(choose_target(name, os.environ, root), os.environ)


def _source(request: Request) -> Source:
    source: Source = request.app.state.source
    return source


_Source = Annotated[Source, Depends(_source)]


@_router.get("/health")
async def health() -> dict[str, str]:
    """Whether the server runs; the database is not asked."""
    return {"status": "ok"}


@_router.post("/agents/gap_analyzer/analyze")
async def analyze_gaps(request: GapRequest, source: _Source) -> GapAnalysis:
    """Where a brand's metrics fall short, and what closing the gaps is worth."""
    return await GapAnalyzer(source).analyze(request)


@_router.get("/agents/gap_analyzer/time_series")
async def time_series(asked: Annotated[TimeSeriesRequest, Query()], source: _Source) -> TimeSeries:
    """All rows of a brand's metric, ascending by date; bounds included."""
    repository = BusinessMetricRepository(source)
    metric = metric_key(asked.metric)
    rows = await repository.get_time_series(metric, asked.brand, asked.start, asked.end)
    return TimeSeries(status="completed" if rows else "no_data", rows=list(rows))


@_router.post("/agents/drift_monitor/detect")
async def detect_drift(request: DriftRequest, source: _Source) -> DriftReport:
    """Whether features, and with a model_id its predictions, still look as they did."""
    return await DriftMonitor(source).detect(request)


async def _failed(_request: Request, error: Exception) -> JSONResponse:
    """What is wrong and where, but not what was given: NaN and broken text are not JSON."""
    detail: Any = str(error)
    if isinstance(error, RequestValidationError):
        detail = [{name: e[name] for name in ("type", "loc", "msg")} for e in error.errors()]
    elif isinstance(error, BackendError):
        detail = error.message
    status = 503 if isinstance(error, BackendError) else 422
    return JSONResponse({"status": "error", "detail": detail}, status_code=status)


#: for servers that take an application by name: `uvicorn src.ml.api:app`
app = create_app(environment_source)
